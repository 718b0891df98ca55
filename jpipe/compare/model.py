"""The words of a comparison: what is tolerated, and what was found."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

__all__ = ["EXACT", "Change", "Tolerance", "short"]

_WIDEST = 60


class Tolerance(NamedTuple):
    """How far apart numbers may be and count as the same, as in `math.isclose`.

    Parameters
    ----------
    relative
        As a share of the larger of both.
    absolute
        As a difference.
    """

    relative: float = 0.0
    absolute: float = 0.0


EXACT = Tolerance()


class Change(NamedTuple):
    """One difference between two values.

    Parameters
    ----------
    where
        The place inside the values: ``['acc']``, ``[3].mass``, ``row 'b', column 'x'``; "" for the value itself.
    kind
        ``"number"``, ``"array"``, ``"cell"``, ``"moved"``, ``"added"``, ``"removed"``, ``"text"``, ``"type"``,
        ``"figure"`` or ``"value"``.
    old, new
        Both in a few words; "" where there is none.
    absolute, relative
        By how much a number changed (new - old), and that as a share of the old; of arrays the largest of each. None
        where that means nothing.
    detail
        What else there is to say: where an array differs most, in how many of its elements.
    diff
        Lines of a unified diff, of text that has several lines.
    pictures
        Both figures, where figures differ, for pages that can show them.
    """

    where: str
    kind: str
    old: str = ""
    new: str = ""
    absolute: float | None = None
    relative: float | None = None
    detail: str = ""
    diff: str = ""
    pictures: tuple[Any, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """The change as ``diff --json`` prints it; a difference that is infinite or NaN, which JSON lacks, is null."""
        row = self._asdict()
        del row["pictures"]
        for name in ("absolute", "relative"):
            value = row[name]
            row[name] = value if value is not None and math.isfinite(value) else None
        return row

    def __str__(self) -> str:
        parts = [self.where, self._what()]
        return ": ".join(part for part in parts if part)

    def _what(self) -> str:
        if self.kind in ("added", "removed"):
            value = self.new if self.kind == "added" else self.old
            return f"{self.kind} {value}".rstrip()
        arrow = f"{self.old} → {self.new}" if self.old or self.new else self.kind
        amounts = [signed(self.absolute)] if self.absolute is not None and self.kind in ("number", "cell") else []
        if amounts and self.relative is not None:
            amounts.append(percent(self.relative))
        behind = ", ".join([*amounts, *([self.detail] if self.detail else [])])
        return f"{arrow} ({behind})" if behind else arrow


def signed(value: float) -> str:
    """A difference with its sign: ``+0.0031``."""
    return f"{value:+.3g}"


def percent(share: float) -> str:
    """A share with its sign: ``+0.33 %``."""
    return f"{share * 100:+.3g} %"


def short(value: Any, width: int = _WIDEST) -> str:
    """A value in one line of at most `width` characters; the repr of a user's class may raise anything."""
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and shape:
        return f"{type(value).__name__} {' × '.join(map(str, shape))}"
    try:
        text = " ".join(repr(value).split())
    except Exception as error:
        return f"{type(value).__name__} (its repr raises {type(error).__name__})"
    return text if len(text) <= width else f"{text[: width - 1]}…"
