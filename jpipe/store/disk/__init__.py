"""Safe writing: folders, files that are published whole, locks, signatures."""
