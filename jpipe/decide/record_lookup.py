"""Look results up in the store: the only place that asks whether a record answers."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import repeat

from jpipe.decide.call_state import CallState
from jpipe.decide.executed_families import ExecutedFamilies
from jpipe.decide.item_columns import as_range
from jpipe.decide.rebuilder import Question, decide
from jpipe.files import FileDigests, Read
from jpipe.fingerprint import Executed
from jpipe.history.outputs import shared_outputs
from jpipe.store import MissingEntry, Record, Store
from jpipe.store.record_index import Matches, Together

__all__ = ["RecordLookup", "count_argument", "item_count", "unpack_keys"]

_COUNT = "items"
_LONGEST_COUNT = 8

Filed = tuple[bytes, bytes]
"""The fingerprint and the key that a record is filed under."""


class RecordLookup:
    """The results that earlier runs recorded.

    Parameters
    ----------
    states
        What is known of each call, by its number.
    store
        Where records are.
    files
        Digests of files.
    now
        Seconds since 1970.
    forced
        Names of steps whose records do not count.
    accepted
        By fingerprint, the older ones whose records the user wants to count too.
    executed
        Knows the older ones whose records count because nothing was edited that ran.
    distrusted
        Keys of mapped calls whose record turned out to name items that are gone; added to.
    """

    def __init__(
        self,
        states: Mapping[int, CallState],
        store: Store,
        files: FileDigests,
        *,
        now: float = 0.0,
        forced: Iterable[str] = (),
        accepted: Mapping[bytes, Sequence[bytes]] | None = None,
        executed: ExecutedFamilies | None = None,
        distrusted: set[bytes] | None = None,
    ) -> None:
        self.store = store
        self.files = files
        self.now = now
        self.forced = frozenset(forced)
        self.accepted = accepted or {}
        self._executed = executed
        self._states = states
        self._distrusted = distrusted if distrusted is not None else set()
        self._unchanged: dict[Read, bool] = {}

    @functools.cached_property
    def shared(self) -> frozenset[str]:
        """Files that several items wrote, as runs have seen: of them only counts that they are there."""
        return shared_outputs(self.store)

    def keeps(self, state: CallState) -> bool:
        """Whether the results of a call are looked up and recorded."""
        if not state.call.step.declared.cache:
            return False
        for number in state.call.needs:  # noqa: SIM110 -- all items ask, and a generator takes longer
            if self._states[number].held:
                return False
        return True

    def unchanged(self, read: Read) -> bool:
        """Whether a file is as it was read; asked once a run for each."""
        known = self._unchanged.get(read)
        if known is None:
            known = self.files.unchanged(read)
            if not known and read.written and read.path in self.shared:
                known = os.path.exists(self.files.full(read.path))
            self._unchanged[read] = known
        return known

    def are_shared(self, reads: Iterable[Read]) -> bool:
        """Whether among files there is one that several items wrote: then it counts which of them did."""
        return any(read.written and read.path in self.shared for read in reads)

    def written(self, reads: Iterable[Read]) -> None:
        """Look anew at files that an item wrote."""
        paths = {read.path for read in reads if read.written}
        for read in [read for read in self._unchanged if read.path in paths] if paths else ():
            del self._unchanged[read]

    # -- items ---------------------------------------------------------------------------------------------------

    def record_of(self, state: CallState, key: bytes) -> Record | None:
        """The record that answers for one item."""
        return self._answer(state, key, self._found(state, [key])[0])

    def answers(self, state: CallState, keys: Sequence[bytes]) -> Iterable[Record | tuple[bytes, int, float] | None]:
        """For each item the record that answers, or its digest, bytes and seconds where the rest need not be read."""
        found = self._found(state, keys)
        if not isinstance(found, Matches) or not self._may_be_plain(state):
            return map(self._answer, repeat(state), keys, found)
        return (
            plain or self._answer(state, keys[position], found[position])
            for position, plain in enumerate(found.plain())
        )

    def together(self, state: CallState, keys: Sequence[bytes]) -> Together | None:
        """Of very many items of a mapped call at once which a plain record answers; None where each has to be asked."""
        found = self._found(state, keys)
        if not self._may_be_plain(state) or not isinstance(found, Matches) or any(self.older(state)):
            return None
        return found.together()

    def _may_be_plain(self, state: CallState) -> bool:
        """Whether a record can answer for an item by its digest alone."""
        declared = state.call.step.declared
        return state.call.is_mapped and declared.expires is None and state.call.step.name not in self.forced

    def older(self, state: CallState) -> Iterator[tuple[bytes, Callable[[bytes], bool]]]:
        """The older fingerprints whose records count for a call too, and for which keys each does."""
        for fingerprint in self.accepted.get(state.fingerprint.digest, ()):
            yield fingerprint, lambda key: True
        if self._executed is not None and state.call.step.name not in self.forced:
            for execution in self._executed.of(state.call.step, state.fingerprint):
                yield execution.family, execution.covers

    def executed_with(self, state: CallState, fingerprint: bytes) -> Executed | None:
        """What ran when a call was computed with older code; None where that is not known, or does not count."""
        return None if self._executed is None else self._executed.with_code(state.call.step, fingerprint)

    def accepted_record(self, state: CallState, key_of: Callable[[bytes], bytes]) -> tuple[Record, Filed] | None:
        """A record of older code that counts too, for the arguments of an item.

        Parameters
        ----------
        key_of
            The key of the item with the code of a fingerprint.
        """
        for fingerprint, counts in self.older(state):
            key = key_of(fingerprint)
            if not counts(key):
                continue
            record = self._answer(state, key, self._found(state, [key], fingerprint)[0])
            if record is not None:
                return record, (fingerprint, key)
        return None

    def find_places(self, state: CallState) -> None:
        """Look up where results are that were answered by their digests alone."""
        known = enumerate(zip(state.contents, state.places, strict=True))
        wanted = [(index, content) for index, (content, place) in known if content is not None and place is None]
        keys = state.keys.take(as_range([index for index, _ in wanted]))
        found = self._found(state, keys)
        single = found.places() if isinstance(found, Matches) else [None] * len(found)
        for position, ((index, content), only) in enumerate(zip(wanted, single, strict=True)):
            if only is not None and only[0] == content:
                state.found_at(index, only[1])
                continue
            places = [record.where for record in found[position] if record.content == content]
            if not places:
                raise MissingEntry(f"an item of {state.call.step.name} is gone")
            state.found_at(index, places[0])

    # -- mapped calls as wholes ----------------------------------------------------------------------------------

    def whole_record(self, state: CallState, key_of: Callable[[bytes], bytes]) -> tuple[Record, Filed | None] | None:
        """The record that answers for all items of a mapped call; where its code was accepted, where that is filed.

        Parameters
        ----------
        key_of
            The key of the call as a whole with the code of a fingerprint.
        """
        assert state.whole_key is not None
        own = state.fingerprint.digest
        record = self._whole(state, (own, state.whole_key))
        if record is not None:
            return record, None
        for fingerprint, counts in self.older(state):
            filed = fingerprint, key_of(fingerprint)
            record = self._whole(state, filed) if counts(filed[1]) else None
            if record is not None:
                return record, filed
        return None

    def list_items(self, state: CallState) -> None:
        """Look up the items of a mapped call that was answered by one record."""
        if state.contents or not state.call.is_mapped or state.record is None:
            return
        keys = unpack_keys(self.store.load(state.record.where))
        fingerprint, key = state.accepted_whole or (state.fingerprint.digest, state.whole_key)
        records = [*map(self._answer, repeat(state), keys, self._found(state, keys, fingerprint))]
        known = [record for record in records if record is not None]
        if len(known) < len(keys):
            if key is not None:
                self._distrusted.add(key)
            raise MissingEntry(f"an item of {state.call.step.name} is gone")
        state.list_items(keys, known)

    def item_keys(self, state: CallState) -> Sequence[bytes | None]:
        """The keys of all items of a call whose lists are known."""
        self.list_items(state)
        return state.keys

    def _whole(self, state: CallState, filed: Filed) -> Record | None:
        fingerprint, key = filed
        if key in self._distrusted:
            return None
        record = self._answer(state, key, self._found(state, [key], fingerprint)[0])
        return record if record is not None and self._items_last(state, record, fingerprint) else None

    def _items_last(self, state: CallState, whole: Record, fingerprint: bytes) -> bool:
        """Whether none of the items behind a record of a whole call has expired: they may be much older than it."""
        if state.call.step.declared.expires is None:
            return True
        keys = unpack_keys(self.store.load(whole.where))
        return None not in map(self._answer, repeat(state), keys, self._found(state, keys, fingerprint))

    # -- the store -----------------------------------------------------------------------------------------------

    def _found(
        self, state: CallState, keys: Sequence[bytes], fingerprint: bytes | None = None
    ) -> Sequence[Sequence[Record]]:
        """The records under each key."""
        if not self.keeps(state):
            return [()] * len(keys)
        digest = fingerprint or state.fingerprint.digest
        family = self.store.family(digest)
        since = self._executed.since(state.call.step, state.fingerprint, digest) if self._executed is not None else 0.0
        if since:
            return [[record for record in family.find(key) if record.created >= since] for key in keys]
        return [family.find(keys[0])] if len(keys) == 1 else family.find_many(keys)

    def _answer(self, state: CallState, key: bytes, records: Sequence[Record]) -> Record | None:
        """The record that answers for a key, of those that were found under it."""
        if not records:
            return None
        question = Question(key, state.call.step.name in self.forced, state.call.step.declared.expires, self.now)
        return decide(question, records, self.unchanged, self._is_there).record

    def _is_there(self, record: Record) -> bool:
        return self.store.has(record.where)


def count_argument(count: int) -> tuple[str, bytes]:
    """The number of items, as the record of a whole mapped call holds it in place of arguments."""
    return _COUNT, count.to_bytes(32, "little")


def item_count(record: Record) -> int | None:
    """How many items the record of a mapped call as a whole names; None for that of a plain call or of an item.

    A step may have a parameter of that name, but no digest is mostly zeros.
    """
    (name, raw), *others = record.arguments or (("", b""),)
    if others or name != _COUNT or any(raw[_LONGEST_COUNT:]):
        return None
    return int.from_bytes(raw, "little")


def unpack_keys(value: bytes) -> list[bytes]:
    """The keys of the items of a mapped call, from the value of its record."""
    return [value[start : start + 32] for start in range(0, len(value), 32)]
