"""The one loop that runs what must run."""
