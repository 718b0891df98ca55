"""Source files, read into normalised facts."""
