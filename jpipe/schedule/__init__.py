"""The one loop that runs what must run: what is ready, in flight and over, and what is left behind."""
