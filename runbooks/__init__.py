"""What a person or cron runs: one verb a module; the command line is made of these."""
