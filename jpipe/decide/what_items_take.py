"""Whether an item takes what another item gave, by itself or through others: then it comes later."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jpipe.decide.call_state import CallState
from jpipe.define.layout import Call, Output, needs_of

__all__ = ["Upstream"]

Item = tuple[int, int]
"""The number of a call, and of an item of it; `Upstream.ALL` for all of its items."""


class Upstream:
    """What is upstream of items.

    Parameters
    ----------
    states
        The calls of the run by number.
    """

    ALL = -1

    def __init__(self, states: Mapping[int, CallState]) -> None:
        self._states = states
        self._known: dict[int, frozenset[int]] = {}

    def takes(self, item: Item, other: Item) -> bool:
        """Whether `item` can only begin when `other` is over."""
        number, index = item
        if other[0] not in self.of_call(number):
            return False
        call = self._states[number].call
        if index == self.ALL or other[1] == self.ALL:
            return True
        return any(self._through(call, name, value, index, other) for name, value in call.arguments.items())

    def _through(self, call: Call, name: str, value: Any, index: int, other: Item) -> bool:
        """Whether `other` is behind one argument of an item."""
        if call.is_mapped and name in call.over:
            if type(value) is Output and value.call.is_mapped and not value.path:
                source = value.call.number, index
                return source == other or (source[0] != other[0] and self.takes(source, other))
            if type(value) is list:
                value = value[index] if index < len(value) else None
        return any(self._holds(output, other) for output in needs_of(value))

    def _holds(self, output: Output, other: Item) -> bool:
        number = output.call.number
        if number != other[0]:
            return other[0] in self.of_call(number)
        if output.call.is_mapped and output.path and isinstance(output.path[0], int) and output.path[0] >= 0:
            return output.path[0] == other[1]
        return True

    def of_call(self, number: int) -> frozenset[int]:
        """The numbers of all calls that a call needs, by itself or through others."""
        known = self._known.get(number)
        if known is None:
            found: set[int] = set()
            pending = [number]
            while pending:
                state = self._states.get(pending.pop())
                new = set(state.call.needs) - found if state is not None else set()
                found |= new
                pending += new
            known = self._known[number] = frozenset(found)
        return known
