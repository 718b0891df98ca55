"""The instant answer: what an earlier run noted, and whether it still holds."""
