"""What results look like to people and to machines. Pure: values in, text out."""
