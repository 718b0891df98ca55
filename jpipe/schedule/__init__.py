"""The one loop that runs what must run: what is ready, what is in flight, what became of it."""
