"""Chained maps: which items of a mapped call take which results of another call."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from jpipe.define.layout import Call, Output, needs_of

__all__ = ["ElementIndex", "is_streamed_to", "streams"]


def streams(source: Any) -> bool:
    """Whether the elements of what is mapped over become known one by one."""
    return type(source) is list or (type(source) is Output and source.call.is_mapped and not source.path)


def is_streamed_to(taker: Call, source: Call) -> bool:
    """Whether item *i* of `taker` takes item *i* of `source`."""
    values = (taker.arguments[name] for name in taker.over)
    return any(type(value) is Output and value.call is source and not value.path for value in values)


class ElementIndex:
    """Finds the elements of lists that hold results of a call; each list is looked through once."""

    def __init__(self) -> None:
        self._positions: dict[tuple[int, str], Mapping[int, Sequence[int]]] = {}

    def holding(self, source: Call, taker: Call, count: int) -> list[int]:
        """Which of the first `count` items of `taker` take a result of `source`, in order."""
        found: set[int] = set()
        for name in taker.over:
            if type(taker.arguments[name]) is list:
                found.update(self._of(taker, name).get(source.number, ()))
        return sorted(position for position in found if position < count)

    def _of(self, taker: Call, name: str) -> Mapping[int, Sequence[int]]:
        known = self._positions.get((taker.number, name))
        if known is None:
            positions: dict[int, list[int]] = defaultdict(list)
            for position, element in enumerate(taker.arguments[name]):
                for output in needs_of(element):
                    positions[output.call.number].append(position)
            known = self._positions[taker.number, name] = positions
        return known
