"""Whether what an item printed holds a warning."""

from __future__ import annotations

import re

__all__ = ["is_warning"]

_WARNING = (
    r"\b[A-Z]\w*Warning: "  # Python's
    r"|\b(?:WARNING|WARN|ERROR|CRITICAL)\b"  # logging's and loguru's
    r"|\[(?:warning|error|critical) *\]"  # structlog's
    r'|"(?:level|severity|levelname)": *"(?:warning|warn|error|critical)"'  # of logs as JSON
)


def is_warning(output: str) -> bool:
    """Whether a warning of Python's, or a line of a log of that level or above, is in the output of an item."""
    return re.search(_WARNING, output) is not None  # compiled where something was printed, not at each start
