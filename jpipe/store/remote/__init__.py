"""Results elsewhere: what goes to a shared address, and what comes from there."""
