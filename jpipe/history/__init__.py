"""What earlier runs left: journals, the last run, what was accepted."""
