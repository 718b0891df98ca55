"""Two texts: old and new where they are short, a unified diff where they have lines."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from jpipe.compare.model import Change, short

__all__ = ["compare_text"]

_MOST_LINES = 5000
"""difflib takes seconds for more."""


def compare_text(old: str | bytes | bytearray, new: str | bytes | bytearray, where: str) -> Iterator[Change]:
    """Where two texts differ."""
    if old == new:
        return
    if isinstance(old, str) and isinstance(new, str) and ("\n" in old or "\n" in new):
        yield _by_lines(old, new, where)
        return
    first = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    lengths = f", length {len(old):,} → {len(new):,}" if len(old) != len(new) else ""
    detail = f"from character {first:,} on{lengths}" if max(len(old), len(new)) > 40 else ""
    start = max(0, first - 10) if detail else 0
    yield Change(where, "text", short(old[start : start + 60]), short(new[start : start + 60]), detail=detail)


def _by_lines(old: str, new: str, where: str) -> Change:
    before, after = old.splitlines(), new.splitlines()
    if max(len(before), len(after)) > _MOST_LINES:
        return Change(where, "text", f"{len(before):,} lines", f"{len(after):,} lines")
    lines = [
        line for line in difflib.unified_diff(before, after, lineterm="", n=2) if not line.startswith(("---", "+++"))
    ]
    gone = sum(line.startswith("-") for line in lines)
    come = sum(line.startswith("+") for line in lines)
    # Lines may be the same and their ends not.
    detail = f"{gone:,} lines removed, {come:,} added" if lines else "only the ends of lines differ"
    return Change(
        where, "text", f"{len(before):,} lines", f"{len(after):,} lines", detail=detail, diff="\n".join(lines)
    )
