"""What a terminal would show of a text in the end: no colours, and of a progress bar its last state."""

from __future__ import annotations

import re

__all__ = ["as_seen"]

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\^_=>()][0-9A-B]?)")
"""Control sequences: colours and movements, titles and links, character sets."""
_TOKENS = re.compile(r"\r|\n|\x08|\x1b\[(\d*)([AK])")
"""What moves the place of writing or clears the rest of a line."""
_MOST_ROWS = 50
"""So many rows up from the last one a text may reach: progress bars below each other."""


def as_seen(text: str) -> str:
    """A text as it stands on a terminal when all of it was written.

    Examples
    --------
    >>> as_seen("\\r 10%|#   |\\r 50%|##  |\\r100%|####|\\n\\x1b[31mdone\\x1b[0m\\n")
    '100%|####|\\ndone\\n'
    """
    if "\x1b" not in text and "\x08" not in text and "\r" not in text.replace("\r\n", "\n"):
        return text
    kept = _ESCAPES.sub(lambda found: found[0] if found[0][-1] in "AK" and _TOKENS.fullmatch(found[0]) else "", text)
    return "\n".join(_written(kept.replace("\r\n", "\n"))) if _TOKENS.search(kept) else kept


def _written(text: str) -> list[str]:
    """The rows that a text leaves."""
    rows, row, column, start = [""], 0, 0, 0
    for token in (*_TOKENS.finditer(text), None):
        piece = text[start : token.start() if token else len(text)]
        if piece:
            line = rows[row].ljust(column)
            rows[row] = line[:column] + piece + line[column + len(piece) :]
            column += len(piece)
        if token is None:
            break
        start = token.end()
        if token[0] == "\n":
            row, column = row + 1, 0
            if row == len(rows):
                rows.append("")
        elif token[0] == "\r":
            column = 0
        elif token[0] == "\x08":
            column = max(0, column - 1)
        elif token[2] == "A":
            row = max(0, len(rows) - _MOST_ROWS, row - int(token[1] or 1))
        else:
            rows[row] = rows[row][:column]
    return [line.rstrip() for line in rows]
