"""Looking after a cache: what it takes, what may go, what is damaged."""
