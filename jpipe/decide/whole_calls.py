"""Mapped calls as wholes: the key of all items together, and the record under it."""

from __future__ import annotations

from jpipe.decide.call_keys import CallKeys
from jpipe.decide.call_state import CallState
from jpipe.decide.mapped_lists import MappedLists
from jpipe.decide.record_lookup import RecordLookup, count_argument
from jpipe.digest import Code
from jpipe.store import NewRecord

__all__ = ["WholeCalls"]


class WholeCalls:
    """Names and records mapped calls, so that the next run need not look up each of their items.

    Parameters
    ----------
    lists
        What they are mapped over.
    keys
        Makes the keys.
    lookup
        Says what is recorded.
    """

    def __init__(self, lists: MappedLists, keys: CallKeys, lookup: RecordLookup) -> None:
        self._lists = lists
        self._keys = keys
        self._lookup = lookup

    def find_key(self, state: CallState) -> list[tuple[str, bytes]] | None:
        """Set the key of a call whose lists are known, and give their digests; None where they are not."""
        lists = [(name, self._lists.digest(state.call, name)) for name in state.call.over]
        known = [(name, found) for name, found in lists if found is not None]
        if len(known) < len(lists):
            return None
        state.set_whole_key(self._keys.of_whole(state, known))
        return known

    def record(self, state: CallState, content: bytes, code: Code) -> NewRecord | None:
        """The record of a mapped call that is done; None where not all of it may be kept."""
        if state.held or not state.is_complete or state.accepted or not self._lookup.keeps(state):
            return None
        if state.whole_key is None:
            self.find_key(state)
        if state.whole_key is None:
            return None
        stored = self._lookup.store.put(bytes(state.keys.joined()))
        stored = stored._replace(content=content, code=code, nbytes=state.nbytes)
        arguments = (count_argument(len(state.keys)),)
        return NewRecord(state.whole_key, stored, arguments, tuple(state.reads), state.seconds)
