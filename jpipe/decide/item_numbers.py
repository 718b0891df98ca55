"""The numbers of items: those of all calls of a step, counted from 0, are what users select and messages name."""

from __future__ import annotations

from collections.abc import Mapping

from jpipe.decide.call_state import CallState
from jpipe.define.layout import Call, Layout, expected_items

__all__ = ["ItemNumbers"]


class ItemNumbers:
    """Counts the items of a layout's calls, as far as they are known.

    Parameters
    ----------
    layout
        All calls. Those that do not take part count too, so that an item has the same number whatever is asked for.
    states
        What is known of the calls that take part, by number.
    """

    def __init__(self, layout: Layout, states: Mapping[int, CallState]) -> None:
        self._layout = layout
        self._states = states
        self._first: dict[int, int] = {}
        self._calls: dict[str, list[Call]] = {}

    def first_of(self, state: CallState) -> int:
        """The number of a call's first item."""
        known = self._first.get(state.call.number)
        if known is not None:
            return known
        found, is_certain = 0, True
        number = 0
        for call in self._calls_of(state.call.step.name):
            if is_certain:
                self._first[call.number] = number
            if call is state.call:
                found = number
            number += self.count_of(call)
            other = self._states.get(call.number)
            is_certain = is_certain and (not call.is_mapped or (other is not None and other.count is not None))
        return found

    def count_of(self, call: Call) -> int:
        """How many items a call has."""
        state = self._states.get(call.number)
        return expected_items(call) if state is None or state.count is None else state.count

    def count_of_step(self, step: str) -> int:
        """How many items all calls of a step have."""
        return sum(map(self.count_of, self._calls_of(step)))

    def _calls_of(self, step: str) -> list[Call]:
        if not self._calls:
            for call in self._layout.calls:
                self._calls.setdefault(call.step.name, []).append(call)
        return self._calls[step]
