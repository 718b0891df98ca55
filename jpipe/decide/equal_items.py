"""Items of one key: the first of them runs, the others take its result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from jpipe.decide.call_state import CallState
from jpipe.files import Read
from jpipe.store import Held, Stored

__all__ = ["EqualItems", "SharedResult"]

Item = tuple[CallState, int]


class SharedResult(NamedTuple):
    """What an item gave that ran; `is_kept` where it was recorded."""

    stored: Stored
    reads: Sequence[Read]
    is_kept: bool


class EqualItems:
    """Which items wait for an equal one, and the results of those that ran.

    Of a long mapped call none of whose items can be equal to another, nothing is remembered.

    Parameters
    ----------
    states
        All calls.
    """

    def __init__(self, states: Iterable[CallState]) -> None:
        self._calls = Counter(state.fingerprint.digest for state in states)
        self._distinct: set[int] = set()
        self._first: dict[bytes | None, Item | SharedResult] = {}
        self._waiting: dict[bytes | None, list[Item]] = {}

    def has_distinct(self, state: CallState) -> bool:
        """Whether no item of a call is equal to another, as the only one of its code; once all keys are known."""
        number = state.call.number
        if number in self._distinct:
            return True
        is_only = state.call.is_mapped and self._calls[state.fingerprint.digest] == 1
        if is_only and not any(state.status) and state.keys.are_distinct():
            self._distinct.add(number)
            return True
        return False

    def are_distinct(self, state: CallState) -> bool:
        """Whether `has_distinct` has said so."""
        return state.call.number in self._distinct

    def result(self, state: CallState, index: int) -> SharedResult | None:
        """What an item equal to this one gave that ran in this run."""
        found = self._first.get(state.keys[index]) if self._first else None
        return found if isinstance(found, SharedResult) else None

    def is_first(self, state: CallState, index: int) -> bool:
        """Whether an item that must run is the first of its key; else it waits for that one."""
        if state.call.number in self._distinct:
            return True
        key = state.keys[index]
        if self._first.setdefault(key, item := (state, index)) is item:
            return True
        self._waiting.setdefault(key, []).append(item)
        return False

    def ran(self, state: CallState, index: int, result: SharedResult) -> list[Item]:
        """The first item of a key has a result: those that waited for it, and take it.

        An object that is in memory only is nobody else's: then they are to run.
        """
        if state.call.number in self._distinct:
            return []
        key = state.keys[index]
        if isinstance(result.stored.where, Held):
            self._first.pop(key, None)
        else:
            self._first[key] = result
        return self._waiting.pop(key, []) if self._waiting else []

    def over(self, state: CallState, index: int) -> list[Item]:
        """The first item of a key has no result here: those that waited for it."""
        if state.call.number in self._distinct:
            return []
        key = state.keys[index]
        self._first.pop(key, None)
        return self._waiting.pop(key, []) if self._waiting else []
