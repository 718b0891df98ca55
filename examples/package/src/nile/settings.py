"""Numbers that the study is made with."""

QUANTILE = 0.5
"""What counts as the middle of some years."""
UNUSED = 1
