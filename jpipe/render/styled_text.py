"""Text with meaning: lines made of pieces, each in a style that says what the piece is."""

from __future__ import annotations

import re
import unicodedata
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "Line", "Piece", "Style", "bad", "code", "columns", "dim", "good", "line", "name", "strong", "warn", "width_of",
]  # fmt: skip

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class Style(StrEnum):
    """What a piece of text is; the paper decides how that looks."""

    PLAIN = "plain"
    GOOD = "good"
    """Done now."""
    DIM = "dim"
    """Not done, because it need not be; or an aside."""
    WARN = "warn"
    """May have to be done, or should be known."""
    BAD = "bad"
    """Failed."""
    NAME = "name"
    """A name that the user gave."""
    STRONG = "strong"
    """What the line is about."""
    CODE = "code"
    """Python source."""


Piece = tuple[str, Style]
Line = tuple[Piece, ...]


def line(*parts: str | Piece | Line) -> Line:
    """One line from texts, pieces and other lines."""
    pieces: list[Piece] = []
    for part in parts:
        if isinstance(part, str):
            pieces.append((part, Style.PLAIN))
        elif part and isinstance(part[0], str):
            pieces.append(part)
        else:
            pieces.extend(part)
    return tuple((_printable(text), style) for text, style in pieces if text)


def good(text: str) -> Piece:
    """Text about something that was done now."""
    return text, Style.GOOD


def dim(text: str) -> Piece:
    """Text about something that needed nothing."""
    return text, Style.DIM


def warn(text: str) -> Piece:
    """Text that should be read."""
    return text, Style.WARN


def bad(text: str) -> Piece:
    """Text about a failure."""
    return text, Style.BAD


def name(text: str) -> Piece:
    """A name that the user gave."""
    return text, Style.NAME


def strong(text: str) -> Piece:
    """What the line is about."""
    return text, Style.STRONG


def code(text: str) -> Piece:
    """Python source."""
    return text, Style.CODE


def width_of(text: str) -> int:
    """Columns that `text` takes in a terminal: wide characters take two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(_width(character) for character in text)


def columns(rows: Iterable[tuple[Line, ...]], *, gap: int = 2, right: frozenset[int] = frozenset()) -> list[Line]:
    """Rows of cells as lines, each column as wide as its widest cell.

    Parameters
    ----------
    rows
        Cells; a row may be shorter than others.
    gap
        Blanks between columns.
    right
        Numbers of the columns whose text stands at the right, from 0.
    """
    rows = list(rows)
    count = max(map(len, rows), default=0)
    widths = [max((_line_width(row[i]) for row in rows if i < len(row)), default=0) for i in range(count)]
    return [_joined(row, widths, gap, right) for row in rows]


def _joined(row: tuple[Line, ...], widths: list[int], gap: int, right: frozenset[int]) -> Line:
    parts: list[Line | str] = []
    last = max((i for i, cell in enumerate(row) if cell), default=-1)
    for index in range(last + 1):
        cell, blank = row[index], " " * (widths[index] - _line_width(row[index]))
        after = "" if index == last else " " * gap
        parts += [blank, cell, after] if index in right else [cell, blank if after else "", after]
    return line(*parts)


def _line_width(text: Line) -> int:
    return sum(width_of(piece) for piece, _ in text)


def _width(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _printable(text: str) -> str:
    """Control characters would let a step's output or a label move the cursor of the terminal."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found.group()):02x}", text.expandtabs(4))
