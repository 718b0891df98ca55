"""Items of one key: the first of them runs, the others take its result."""

from __future__ import annotations

from collections.abc import Sequence
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
    """Which items wait for an equal one, and the results of those that ran."""

    def __init__(self) -> None:
        self._first: dict[bytes | None, Item | SharedResult] = {}
        self._waiting: dict[bytes | None, list[Item]] = {}

    def result(self, key: bytes | None) -> SharedResult | None:
        """What an equal item gave that ran in this run."""
        found = self._first.get(key)
        return found if isinstance(found, SharedResult) else None

    def is_first(self, state: CallState, index: int) -> bool:
        """Whether an item that must run is the first of its key; else it waits for that one."""
        key = state.keys[index]
        if self._first.setdefault(key, item := (state, index)) is item:
            return True
        self._waiting.setdefault(key, []).append(item)
        return False

    def ran(self, key: bytes | None, result: SharedResult) -> list[Item]:
        """The first item of a key has a result: those that waited for it, and take it.

        An object that is in memory only is nobody else's: then they are to run.
        """
        if isinstance(result.stored.where, Held):
            self._first.pop(key, None)
        else:
            self._first[key] = result
        return self._waiting.pop(key, []) if self._waiting else []

    def over(self, key: bytes | None) -> list[Item]:
        """The first item of a key has no result here: those that waited for it."""
        self._first.pop(key, None)
        return self._waiting.pop(key, []) if self._waiting else []
