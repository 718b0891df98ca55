"""Lines of the user's own files, as excerpts around a line."""

from __future__ import annotations

import linecache
import os
import tokenize
from pathlib import Path

from jpipe.render.styled_text import Line, bad, code, dim, line
from jpipe.system.notebook_cells import cell_name

__all__ = ["excerpt", "place", "short_path"]

_MOST_BYTES = 5_000_000


def short_path(file: str) -> str:
    """`file` relative to the current folder where that is shorter to read, else as it is."""
    try:
        relative = os.path.relpath(file)
    except ValueError:
        return file
    return file if relative.startswith(os.pardir + os.sep + os.pardir) else relative


def place(file: str, number: int | None = None) -> str:
    """``pipeline.py:23``, or ``In[5]:2`` for what was typed into a notebook."""
    cell = cell_name(file)
    return (cell if cell != file else short_path(file)) + (f":{number}" if number else "")


def excerpt(file: str, number: int, *, before: int = 2, after: int = 0) -> list[Line]:
    """The lines around line `number` (from 1) of a file, that line marked; empty where the file cannot be read."""
    lines = _lines_of(file)
    if not 1 <= number <= len(lines):
        return []
    first, last = max(1, number - before), min(len(lines), number + after)
    while first < number and not lines[first - 1].strip():
        first += 1
    digits = len(str(last))
    return [_numbered(lines[i - 1], i, digits, i == number) for i in range(first, last + 1)]


def _numbered(text: str, number: int, digits: int, marked: bool) -> Line:
    mark = bad("❱ ") if marked else dim("  ")
    return line("  ", mark, dim(f"{number:>{digits}} │ "), code(text.rstrip()))


def _lines_of(file: str) -> list[str]:
    if not os.path.exists(file):
        return [text.rstrip("\n") for text in linecache.getlines(file)]  # a notebook's cells are there
    try:
        if Path(file).stat().st_size > _MOST_BYTES:
            return []
        with tokenize.open(file) as stream:
            return stream.read().splitlines()
    except (OSError, SyntaxError, UnicodeError, ValueError):
        return []
