"""A cluster's network as facts: linted, rendered, proven on a twin, deployed, watched."""
