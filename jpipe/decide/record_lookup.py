"""Ask the store whether a call's result is there: every decision is taken on what is found here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from jpipe.decide.call_state import CallState, Status
from jpipe.decide.keys import item_key, item_keys, key_base, map_key
from jpipe.decide.occurrences import Occurrences
from jpipe.decide.rebuilder import Question, decide
from jpipe.decide.result_digests import KnownResults
from jpipe.digest import Code
from jpipe.files import FileDigests, Read
from jpipe.store import MissingEntry, NewRecord, Record, Store
from jpipe.store.family import Matches

__all__ = ["RecordedResults", "count_argument", "item_count", "unpack_keys"]

Arguments = Sequence[tuple[str, bytes]]
"""(parameter, digest) of what counts, in the order of the signature."""
_COUNT = "items"
_LONGEST_COUNT = 8


class RecordedResults(KnownResults):
    """The results that earlier runs recorded.

    Parameters
    ----------
    states, store, fingerprinter
        As in `KnownResults`.
    files
        Digests of files.
    forced
        Names of steps whose records do not count.
    distrusted
        Keys of mapped calls whose record turned out to name items that are gone; added to.
    now
        Seconds since 1970.
    accepted
        By fingerprint, the older ones whose records the user wants to count too.
    occurrences
        Which of several equal calls an item is.
    on_cached
        Told of items that are fresh: (state, number of items, seconds they once took).

    Attributes
    ----------
    unpublished
        Records of mapped calls as wholes, to be filed: (step, fingerprint, record).
    """

    def __init__(
        self,
        states: dict[int, CallState],
        store: Store,
        fingerprinter: Any,
        *,
        occurrences: Occurrences,
        files: FileDigests,
        forced: Iterable[str],
        distrusted: set[bytes],
        now: float,
        accepted: Mapping[bytes, Sequence[bytes]],
        on_cached: Callable[[CallState, int, float], None],
    ) -> None:
        super().__init__(states, store, fingerprinter)
        self.occurrences = occurrences
        self.files = files
        self.forced = frozenset(forced)
        self.now = now
        self.accepted = accepted
        self._distrusted = distrusted
        self._on_cached = on_cached
        self.unpublished: list[tuple[str, bytes, NewRecord]] = []
        self._unchanged: dict[Read, bool] = {}

    def keeps(self, state: CallState) -> bool:
        """Whether the results of a call are looked up and recorded."""
        return state.call.step.declared.cache and not any(self.states[number].held for number in state.call.needs)

    def key_of(self, state: CallState, index: int, arguments: Arguments, fingerprint: bytes | None = None) -> bytes:
        """The key of an item with these arguments; of other code where a fingerprint is given."""
        code = fingerprint or state.fingerprint.digest
        return item_key(key_base(code, state.rules, self.occurrences.of(state, index)), arguments)

    def item_keys(self, state: CallState) -> Sequence[bytes | None]:
        """The keys of all items of a call whose lists are known."""
        self._expand(state)
        return state.keys

    def _keys_of(self, state: CallState, indices: Sequence[int]) -> list[bytes]:
        """The keys of items whose elements are known."""
        ignored = state.call.step.declared.ignore
        counted = [
            (name, [state.sources[name][index] for index in indices]) for name in state.call.over if name not in ignored
        ]
        if not counted or any(self.occurrences.of(state, index) for index in indices):
            return [self.key_of(state, index, list(self.arguments_of(state, index).items())) for index in indices]
        base = key_base(state.fingerprint.digest, state.rules)
        return item_keys(base, state.fixed, counted, list(state.call.arguments))  # type: ignore[arg-type]

    def _key_of_whole(self, state: CallState, over: Arguments, fingerprint: bytes | None = None) -> bytes:
        """The key of a mapped call as a whole."""
        code = fingerprint or state.fingerprint.digest
        return map_key(key_base(code, state.rules, self.occurrences.of_whole(state)), state.fixed, over)

    def question(self, state: CallState, key: bytes | None) -> Question:
        """What is asked of an item with this key."""
        declared = state.call.step.declared
        return Question(key, state.call.step.name in self.forced, declared.expires, self.now)

    def unchanged(self, read: Read) -> bool:
        """Whether a file is as it was read; asked once a run for each."""
        known = self._unchanged.get(read)
        if known is None:
            known = self._unchanged[read] = self.files.unchanged(read)
        return known

    def _is_there(self, record: Record) -> bool:
        return self.store.has(record.where)

    def _look_up(
        self, state: CallState, keys: Sequence[bytes], fingerprint: bytes | None = None
    ) -> Sequence[Sequence[Record]]:
        if not self.keeps(state):
            return [()] * len(keys)
        family = self.store.family(fingerprint or state.fingerprint.digest)
        if len(keys) == 1:
            return [family.find(keys[0])]
        return family.find_many(keys)

    def _plain(self, state: CallState, found: Sequence[Sequence[Record]]) -> Iterable[tuple[bytes, int, float] | None]:
        """By item: digest, bytes and seconds of what is fresh without a decision about its record, None for others."""
        declared = state.call.step.declared
        is_forced = state.call.step.name in self.forced
        if isinstance(found, Matches) and state.call.is_mapped and declared.expires is None and not is_forced:
            return found.plain()
        return [None] * len(found)

    def _fill_places(self, state: CallState) -> None:
        known = zip(state.contents, state.places, strict=True)
        indices = [index for index, (content, place) in enumerate(known) if content is not None and place is None]
        keys = [state.keys[index] for index in indices]
        found = self._look_up(state, keys)  # type: ignore[arg-type]
        single = found.places() if isinstance(found, Matches) else [None] * len(found)
        for position, (index, only) in enumerate(zip(indices, single, strict=True)):
            content = state.contents[index]
            if only is not None and only[0] == content:
                state.places[index] = only[1]
                continue
            places = [record.where for record in found[position] if record.content == content]
            if not places:
                raise MissingEntry(f"an item of {state.call.step.name} is gone")
            state.places[index] = places[0]

    def _take(self, state: CallState, index: int, record: Record) -> None:
        state.status[index] = Status.CACHED
        state.contents[index] = record.content
        state.places[index] = record.where
        state.nbytes += record.nbytes
        if record.code:
            state.codes[index] = record.code
        if record.reads and state.call.is_mapped:
            state.reads.update(dict.fromkeys(record.reads))
        if not state.call.is_mapped:
            state.parts, state.part_code = record.parts, record.part_code
            state.record = record

    def _accepted_record(self, state: CallState, index: int) -> Record | None:
        """A record of older code that the user accepted, for the same arguments."""
        for fingerprint in self.accepted.get(state.fingerprint.digest, ()):
            key = self.key_of(state, index, list(self.arguments_of(state, index).items()), fingerprint)
            records = self._look_up(state, [key], fingerprint)[0]
            decision = decide(self.question(state, key), records, self.unchanged, self._is_there)
            if decision.record is not None:
                state.accepted[index] = fingerprint, key
                return decision.record
        return None

    def arguments_of(self, state: CallState, index: int) -> dict[str, bytes]:
        """The digests of an item's arguments, as far as they are known and count, in the order of the signature."""
        known = dict(state.fixed)
        for name in state.call.over:
            digest = state.sources[name][index]
            if digest is not None and name not in state.call.step.declared.ignore:
                known[name] = digest
        return {name: known[name] for name in state.call.arguments if name in known}

    def _take_accepted_whole(self, state: CallState, over: Sequence[tuple[str, bytes]]) -> bool:
        for fingerprint in self.accepted.get(state.fingerprint.digest, ()):
            key = self._key_of_whole(state, over, fingerprint)
            if self._take_whole(state, (fingerprint, key)):
                state.accepted_whole = fingerprint, key
                return True
        return False

    def _take_whole(self, state: CallState, filed: tuple[bytes, bytes] | None = None) -> bool:
        """Use the record of a mapped call as a whole, which answers for all its items.

        Parameters
        ----------
        filed
            The (fingerprint, key) that it is filed under; default the call's own.
        """
        assert state.whole_key is not None
        fingerprint, key = filed or (state.fingerprint.digest, state.whole_key)
        if key in self._distrusted:
            return False
        records = self._look_up(state, [key], fingerprint)[0]
        decision = decide(self.question(state, key), records, self.unchanged, self._is_there)
        record = decision.record
        if record is None or not self._items_last(state, record, fingerprint):
            return False
        count = item_count(record) or 0
        state.record = record
        state.count = count
        state.status = bytearray([Status.CACHED]) * count
        state.seconds, state.nbytes = record.seconds, record.nbytes
        state.whole = self._completed(record.content, record.code)
        self._on_cached(state, count, record.seconds)
        return True

    def _items_last(self, state: CallState, whole: Record, fingerprint: bytes) -> bool:
        """Whether no item that a record of a whole names has expired: they may be much older than it."""
        if state.call.step.declared.expires is None:
            return True
        keys = unpack_keys(self.store.load(whole.where))
        found = self._look_up(state, keys, fingerprint)
        decisions = (
            decide(self.question(state, key), records, self.unchanged, self._is_there)
            for key, records in zip(keys, found, strict=True)
        )
        return all(decision.record is not None for decision in decisions)

    def _may_record_whole(self, state: CallState) -> bool:
        return not state.held and state.is_complete and not state.accepted and self.keeps(state)

    def _record_whole(self, state: CallState, key: bytes | None, content: bytes, code: Code) -> None:
        """File that these items are what the mapped call gives, so that the next run need not ask for each."""
        if key is None:
            return
        stored = self.store.put(b"".join(key for key in state.keys if key is not None))
        stored = stored._replace(content=content, code=code, nbytes=state.nbytes)
        arguments = (count_argument(len(state.keys)),)
        record = NewRecord(key, stored, arguments, tuple(state.reads), state.seconds)
        self.unpublished.append((state.call.step.name, state.fingerprint.digest, record))

    def _expand(self, state: CallState) -> None:
        """Look the items of a mapped call up that was answered as a whole so far."""
        if state.contents or not state.call.is_mapped or state.record is None:
            return
        keys = unpack_keys(self.store.load(state.record.where))
        filed = state.accepted_whole or (state.fingerprint.digest, state.whole_key)
        found = self._look_up(state, keys, filed[0])
        state.keys = list(keys)
        state.contents, state.places = [None] * len(keys), [None] * len(keys)
        for index, (key, records) in enumerate(zip(keys, found, strict=True)):
            decision = decide(self.question(state, key), records, self.unchanged, self._is_there)
            if decision.record is None:
                if filed[1] is not None:
                    self._distrusted.add(filed[1])
                raise MissingEntry(f"an item of {state.call.step.name} is gone")
            state.contents[index] = decision.record.content
            state.places[index] = decision.record.where
            if decision.record.code:
                state.codes[index] = decision.record.code


def count_argument(count: int) -> tuple[str, bytes]:
    """What the record of a mapped call as a whole has in place of its arguments: how many items there are."""
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
