"""Which calls are fresh, and why the others are not."""
