"""What is known of every call of a layout: keys, verdicts, results; and what follows when a result becomes known.

A plan is a ledger in which nothing runs. A run is the same ledger, told of each result as it comes in: then the calls
and items that needed it get their keys, and the rebuilder decides about them. Items of chained maps are decided one by
one. A call that is fresh costs a look at one record, and so does a mapped call whose lists are unchanged, whatever its
length.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any

from jpipe.arguments import Digester, file_parameters
from jpipe.digest import combine, complete, digest
from jpipe.errors import WiringError
from jpipe.files import FileDigests, Read
from jpipe.fingerprint import Fingerprint
from jpipe.keys import item_key, item_keys, map_key
from jpipe.layout import Call, Layout, Output, contains_output, describe, expected_items, needs_of
from jpipe.outcomes import Verdict
from jpipe.rebuilder import Decision, Question, decide
from jpipe.store import Held, MissingEntry, NewRecord, Record, Store, Stored, Where

__all__ = ["CallState", "Ledger", "Status"]

Code = tuple[tuple[str, str], ...]


class Status(IntEnum):
    """How far an item is."""

    WAITING = 0
    STALE = 1
    CACHED = 2
    RAN = 3
    FAILED = 4
    BLOCKED = 5
    INTERRUPTED = 6


_COUNT = "items"
"""Under this name the record of a mapped call holds, in the place of a digest, how many items it has."""
DONE = (Status.CACHED, Status.RAN)


@dataclass(slots=True, eq=False)
class CallState:
    """What is known of one call.

    Attributes
    ----------
    call, fingerprint
        The call, and the code of its step.
    count
        How many items it has; None until its lists are known. A plain call has one.
    status, keys, contents, places
        By item: how far it is, its key, the digest of its result (without code), and where that is.
    codes
        By item: the user's own code inside the result, where there is any.
    parts
        The digests of the parts of a plain call's result, where they are wanted.
    whole
        The digest of the whole result, once every item is done.
    seconds, nbytes
        What the items took when they ran, and the size of all results.
    was_pending
        It had to wait for a result that was not known before the run.
    held
        A result of it could not be stored and is in memory: what takes it cannot be recorded.
    accepted, accepted_whole
        The (fingerprint, key) of records of older code that answered because the user accepted them: by item, and for
        the call as a whole.
    """

    call: Call
    fingerprint: Fingerprint
    count: int | None = None
    status: bytearray = field(default_factory=bytearray)
    keys: list[bytes | None] = field(default_factory=list)
    contents: list[bytes | None] = field(default_factory=list)
    places: list[Where | None] = field(default_factory=list)
    codes: dict[int, Code] = field(default_factory=dict)
    parts: dict[Any, bytes] | None = None
    part_code: Mapping[Any, Code] = field(default_factory=dict)
    whole: bytes | None = None
    whole_key: bytes | None = None
    record: Record | None = None
    open_items: int = 0
    needs: set[int] = field(default_factory=set)
    fixed: list[tuple[str, bytes]] = field(default_factory=list)
    sources: dict[str, list[bytes | None]] = field(default_factory=dict)
    reads: dict[Read, None] = field(default_factory=dict)
    seconds: float = 0.0
    nbytes: int = 0
    was_pending: bool = False
    held: bool = False
    accepted: dict[int, tuple[bytes, bytes]] = field(default_factory=dict)
    accepted_whole: tuple[bytes, bytes] | None = None

    @property
    def is_done(self) -> bool:
        """Whether the result of every item is known."""
        return self.whole is not None

    def items(self, *wanted: Status) -> list[int]:
        """The items that are as far as one of `wanted`."""
        return [index for index, status in enumerate(self.status) if status in wanted]


class Ledger:
    """The calls of a layout and what is known of them.

    Parameters
    ----------
    layout
        The calls.
    wanted
        Numbers of the calls that take part.
    store
        Where records are.
    fingerprints
        The fingerprint of each step.
    fingerprinter
        For code inside values.
    files
        Digests of files.
    forced
        Names of steps that run whatever their records say.
    distrusted
        Keys of mapped calls whose record turned out to name items that are gone; added to.
    now
        Seconds since 1970.
    accepted
        By fingerprint, the older ones whose records the user wants to count too.
    on_stale
        Told of items that must run: (state, indices).
    on_cached
        Told of items that are fresh: (state, number of items, seconds they once took).
    """

    def __init__(
        self,
        layout: Layout,
        wanted: Iterable[int],
        *,
        store: Store,
        fingerprints: Callable[[Any], Fingerprint],
        fingerprinter: Any,
        files: FileDigests,
        forced: Iterable[str] = (),
        distrusted: set[bytes] | None = None,
        now: float = 0.0,
        accepted: Mapping[bytes, Sequence[bytes]] | None = None,
        on_stale: Callable[[CallState, Sequence[int]], None] = lambda state, items: None,
        on_cached: Callable[[CallState, int, float], None] = lambda state, count, seconds: None,
    ) -> None:
        self.layout = layout
        self.store = store
        self.files = files
        self.now = now
        self.forced = frozenset(forced)
        self.accepted = accepted or {}
        self._distrusted = distrusted if distrusted is not None else set()
        self._fingerprints = fingerprints
        self._fingerprinter = fingerprinter
        self._on_stale = on_stale
        self._on_cached = on_cached
        self._digester = Digester(fingerprinter, files, self.digest_of)
        self._unchanged: dict[Read, bool] = {}
        self._whole_waiters: dict[int, list[CallState]] = defaultdict(list)
        self._item_waiters: dict[int, list[CallState]] = defaultdict(list)
        self._element_index: dict[tuple[int, str], dict[int, list[int]]] = {}
        self.unpublished: list[tuple[str, bytes, NewRecord]] = []
        self._agenda: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self.states: dict[int, CallState] = {}
        self._first_items: dict[int, int] = {}
        self._calls: dict[str, list[Call]] = {}
        for number in sorted(wanted):
            call = layout.calls[number]
            self.states[number] = CallState(call, fingerprints(call.step))

    def begin(self) -> None:
        """Decide everything that can be decided before anything runs."""
        for state in self.states.values():
            self._enter(state)
        self._work_off()

    def first_item(self, state: CallState) -> int:
        """The number of a call's first item, when the items of all calls of its step are counted from 0.

        Calls that do not take part count too, so that an item has the same number whatever is asked for.
        """
        known = self._first_items.get(state.call.number)
        if known is not None:
            return known
        found, is_certain = 0, True
        number = 0
        for call in self._calls_of(state.call.step.name):
            if is_certain:
                self._first_items[call.number] = number
            if call is state.call:
                found = number
            number += self.count_of(call)
            other = self.states.get(call.number)
            is_certain = is_certain and (not call.is_mapped or (other is not None and other.count is not None))
        return found

    def items_of(self, step: str) -> int:
        """How many items all calls of a step have, as far as known."""
        return sum(map(self.count_of, self._calls_of(step)))

    def count_of(self, call: Call) -> int:
        """How many items a call has, as far as known."""
        state = self.states.get(call.number)
        return expected_items(call) if state is None or state.count is None else state.count

    def _calls_of(self, step: str) -> list[Call]:
        if not self._calls:
            for call in self.layout.calls:
                self._calls.setdefault(call.step.name, []).append(call)
        return self._calls[step]

    # -- what a result is ----------------------------------------------------------------------------------------

    def digest_of(self, output: Output) -> bytes:
        """The digest of what an output stands for; its call must be done."""
        state = self.states[output.call.number]
        if not output.path:
            assert state.whole is not None
            return state.whole
        if state.call.is_mapped and len(output.path) == 1 and isinstance(output.path[0], int):
            return self._item_digest(state, self._position(output, state))
        part = self._part(state, output.path)
        if part is not None:
            return part
        return self._digest_by_loading(output)

    def place_of(self, output: Output) -> tuple[list[Where], tuple[Any, ...] | None]:
        """Where the value of an output is: one place and the path inside it, or all places of a mapped call."""
        state = self.states[output.call.number]
        if not state.call.is_mapped:
            return [self._place(state, 0)], output.path
        if not output.path:
            return [self._place(state, index) for index in range(state.count or 0)], None
        return [self._place(state, self._position(output, state))], output.path[1:]

    def _position(self, output: Output, state: CallState) -> int:
        try:
            return range(state.count or 0)[output.path[0]]
        except IndexError:
            raise WiringError(
                f"{describe(output)}: {state.call.step.name} has {state.count} items", location=state.call.location
            ) from None

    def _part(self, state: CallState, path: tuple[Any, ...]) -> bytes | None:
        if state.call.is_mapped or len(path) != 1 or state.parts is None:
            return None
        key = path[0]
        if isinstance(key, int) and key < 0:
            key += len(state.parts)
        found = state.parts.get(key)
        return None if found is None else self._completed(found, state.part_code.get(key, ()))

    def _digest_by_loading(self, output: Output) -> bytes:
        places, path = self.place_of(output)
        value: Any = places[0].value if isinstance(places[0], Held) else self.store.load(places[0])
        try:
            for key in path or ():
                value = value[key]
        except (LookupError, TypeError) as error:
            raise WiringError(
                f"{describe(output)}: {type(error).__name__}: {error}", location=output.call.location
            ) from None
        found = digest(value, fingerprint=self._fingerprinter, hashers=output.call.step.declared.hash)
        return self._completed(found.content, found.code)

    def _item_digest(self, state: CallState, index: int) -> bytes:
        content = state.contents[index]
        assert content is not None
        return self._completed(content, state.codes.get(index, ()))

    def _completed(self, content: bytes, code: Code) -> bytes:
        return complete(content, code, self._fingerprinter.of_reference) if code else content

    def _place(self, state: CallState, index: int) -> Where:
        if not state.places:
            self._expand(state)
        place = state.places[index]
        assert place is not None
        return place

    # -- calls become decidable ----------------------------------------------------------------------------------

    def _enter(self, state: CallState) -> None:
        call = state.call
        for name, value in call.arguments.items():
            for output in needs_of(value):
                if self.states[output.call.number].whole is None:
                    if name in call.over and self._streams(value):
                        self._item_waiters[output.call.number].append(state)
                    else:
                        state.needs.add(output.call.number)
        state.was_pending = bool(state.needs) or any(
            self.states[n].whole is None for n in call.needs
        )
        for number in state.needs:
            self._whole_waiters[number].append(state)
        if not state.needs:
            self._open(state)

    @staticmethod
    def _streams(source: Any) -> bool:
        """Whether the elements of what is mapped over become known one by one."""
        return type(source) is list or (type(source) is Output and source.call.is_mapped and not source.path)

    def _open(self, state: CallState) -> None:
        """All constants are known: fix them, find the number of items, and decide what can be decided."""
        call = state.call
        ignored = call.step.declared.ignore
        are_files = file_parameters(call)
        state.fixed = [
            (name, self._digester.argument(call, name, value, name in are_files))
            for name, value in call.arguments.items()
            if name not in call.over and name not in ignored
        ]
        if not call.is_mapped:
            self._size(state, 1)
            state.keys[0] = item_key(state.fingerprint.digest, state.fixed)
            self._decide(state, [0])
        else:
            self._open_mapped(state)

    def _open_mapped(self, state: CallState) -> None:
        lists = {name: self._list_digest(state.call, name) for name in state.call.over}
        if all(found is not None for found in lists.values()):
            over = [(name, found) for name, found in lists.items() if found is not None]
            state.whole_key = map_key(state.fingerprint.digest, state.fixed, over)
            if self._take_whole(state) or self._take_accepted_whole(state, over):
                return
        counts = [self._source_count(state.call, name) for name in state.call.over]
        if any(count is None for count in counts):
            return
        self._size(state, min(count for count in counts if count is not None))
        if state.count == 0:
            self._finish(state)
            return
        for name in state.call.over:
            self._fill_source(state, name)
        self._advance(state, range(state.count or 0))

    def _size(self, state: CallState, count: int) -> None:
        state.count = state.open_items = count
        state.status = bytearray(count)
        state.keys = [None] * count
        state.contents = [None] * count
        state.places = [None] * count

    def _list_digest(self, call: Call, name: str) -> bytes | None:
        """The digest of a list that is mapped over, if it is known as a whole by now."""
        value = call.arguments[name]
        if any(self.states[o.call.number].whole is None for o in needs_of(value)):
            return None
        return self._digester.argument(call, name, value, name in file_parameters(call))

    def _source_count(self, call: Call, name: str) -> int | None:
        value = call.arguments[name]
        if type(value) is not Output:
            return len(value)
        source = self.states[value.call.number]
        if source.call.is_mapped and not value.path:
            if source.record is not None:
                self._expand(source)
            return source.count
        parts = self._parts_of(value)
        return None if parts is None else len(parts)

    def _parts_of(self, output: Output) -> list[bytes] | None:
        """Digests of the elements of a list that a plain call returned."""
        state = self.states[output.call.number]
        if not output.path and state.parts is not None and not state.call.is_mapped:
            return [self._completed(part, state.part_code.get(key, ())) for key, part in state.parts.items()]
        places, path = self.place_of(output)
        value: Any = self.store.load(places[0]) if not isinstance(places[0], Held) else places[0].value
        for key in path or ():
            value = value[key]
        hashers = output.call.step.declared.hash
        return [
            self._completed(found.content, found.code)
            for found in (digest(element, fingerprint=self._fingerprinter, hashers=hashers) for element in value)
        ]

    def _fill_source(self, state: CallState, name: str) -> None:
        value = state.call.arguments[name]
        count = state.count or 0
        is_file = name in file_parameters(state.call)
        if type(value) is Output:
            if self._streams(value):
                state.sources[name] = [None] * count
            else:
                state.sources[name] = list(self._parts_of(value) or ())[:count]
        elif contains_output(value):
            state.sources[name] = [None] * count
        else:
            state.sources[name] = list(self._digester.elements(state.call, name, value[:count], is_file))

    def _advance(self, state: CallState, indices: Iterable[int]) -> None:
        """Decide those of the items whose elements are known by now."""
        ready = [
            index
            for index in indices
            if state.status[index] == Status.WAITING and state.keys[index] is None and self._elements_known(state, index)
        ]
        if not ready:
            return
        over = [(name, [state.sources[name][index] for index in ready]) for name in state.call.over]
        order = list(state.call.arguments)
        ignored = set(state.call.step.declared.ignore)
        counted = [(name, column) for name, column in over if name not in ignored]
        if counted:
            keys = item_keys(state.fingerprint.digest, state.fixed, counted, order)  # type: ignore[arg-type]
        else:
            keys = [item_key(state.fingerprint.digest, state.fixed)] * len(ready)
        for index, key in zip(ready, keys, strict=True):
            state.keys[index] = key
        self._decide(state, ready)

    def _elements_known(self, state: CallState, index: int) -> bool:
        for name in state.call.over:
            column = state.sources[name]
            if column[index] is None:
                column[index] = self._element(state, name, index)
                if column[index] is None:
                    return False
        return True

    def _element(self, state: CallState, name: str, index: int) -> bytes | None:
        value = state.call.arguments[name]
        if type(value) is Output:
            source = self.states[value.call.number]
            return self._item_digest(source, index) if source.contents[index] is not None else None
        element = value[index]
        if any(self.states[o.call.number].whole is None for o in needs_of(element)):
            return None
        return self._digester.argument(state.call, name, element, name in file_parameters(state.call))

    # -- verdicts ------------------------------------------------------------------------------------------------

    def keeps(self, state: CallState) -> bool:
        """Whether the results of a call are looked up and recorded."""
        return state.call.step.declared.cache and not any(self.states[number].held for number in state.call.needs)

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
    ) -> list[Sequence[Record]]:
        if not self.keeps(state):
            return [()] * len(keys)
        family = self.store.family(fingerprint or state.fingerprint.digest)
        if len(keys) == 1:
            return [family.find(keys[0])]
        return list(family.find_many(keys))

    def _decide(self, state: CallState, indices: Sequence[int]) -> None:
        keys = [state.keys[index] for index in indices]
        found = self._look_up(state, keys)  # type: ignore[arg-type]
        stale, seconds, cached = [], 0.0, 0
        for index, key, records in zip(indices, keys, found, strict=True):
            decision = Decision(Verdict.STALE)
            if records:
                decision = decide(self.question(state, key), records, self.unchanged, self._is_there)
            record = decision.record or self._accepted_record(state, index)
            if record is None:
                state.status[index] = Status.STALE
                stale.append(index)
                continue
            self._take(state, index, record)
            seconds += record.seconds
            cached += 1
        if cached:
            state.seconds += seconds
            self._on_cached(state, cached, seconds)
            self._done(state, [index for index in indices if state.status[index] == Status.CACHED])
        if stale:
            self._on_stale(state, stale)

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
            key = item_key(fingerprint, list(self.arguments_of(state, index).items()))
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
            key = map_key(fingerprint, state.fixed, over)
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
        if record is None:
            return False
        count = int.from_bytes(dict(record.arguments)[_COUNT], "little")
        state.record = record
        state.count = count
        state.status = bytearray([Status.CACHED]) * count
        state.seconds, state.nbytes = record.seconds, record.nbytes
        state.whole = self._completed(record.content, record.code)
        self._on_cached(state, count, record.seconds)
        return True

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

    # -- results come in -----------------------------------------------------------------------------------------

    def ran(self, state: CallState, index: int, stored: Stored, reads: Sequence[Read], seconds: float) -> None:
        """An item ran (or was finished by another run meanwhile); follow it up with `work_off`."""
        state.status[index] = Status.RAN
        state.contents[index] = stored.content
        state.places[index] = stored.where
        state.nbytes += stored.nbytes
        state.seconds += seconds
        if isinstance(stored.where, Held):
            state.held = True
        if stored.code:
            state.codes[index] = stored.code
        if reads and state.call.is_mapped:
            state.reads.update(dict.fromkeys(reads))
        if not state.call.is_mapped:
            state.parts, state.part_code = stored.parts, stored.part_code
        self._agenda.append((self._done, (state, [index])))

    def found(self, state: CallState, index: int) -> bool:
        """Whether another run has filed an item meanwhile; then it is taken, to be followed up with `work_off`."""
        records = self._look_up(state, [state.keys[index]])[0]  # type: ignore[list-item]
        decision = decide(self.question(state, state.keys[index]), records, self.unchanged, self._is_there)
        if decision.record is None:
            return False
        self._take(state, index, decision.record)
        state.seconds += decision.record.seconds
        self._agenda.append((self._done, (state, [index])))
        return True

    def work_off(self) -> None:
        """Decide everything that follows from the results that came in."""
        self._work_off()

    def _done(self, state: CallState, indices: Sequence[int]) -> None:
        state.open_items -= len(indices)
        if state.open_items == 0:
            self._finish(state)
        for waiter in self._item_waiters.get(state.call.number, ()):
            if waiter.count is None:
                if not waiter.needs:
                    self._agenda.append((self._open_mapped, (waiter,)))
            elif type(next(iter(self._streaming(waiter, state)), None)) is Output:
                self._agenda.append((self._advance, (waiter, indices)))
            else:
                self._agenda.append((self._advance, (waiter, self._positions(waiter, state))))

    @staticmethod
    def _streaming(waiter: CallState, source: CallState) -> list[Any]:
        values = [waiter.call.arguments[name] for name in waiter.call.over]
        return [v for v in values if type(v) is Output and v.call is source.call and not v.path]

    def _positions(self, waiter: CallState, source: CallState) -> list[int]:
        """Which elements of a list of outputs come from `source`."""
        if source.whole is None:
            return []
        found: set[int] = set()
        for name in waiter.call.over:
            value = waiter.call.arguments[name]
            if type(value) is list:
                positions = self._index_of(waiter, name).get(source.call.number, ())
                found.update(p for p in positions if p < (waiter.count or 0))
        return sorted(found)

    def _index_of(self, waiter: CallState, name: str) -> dict[int, list[int]]:
        known = self._element_index.get((waiter.call.number, name))
        if known is None:
            known = self._element_index[waiter.call.number, name] = defaultdict(list)
            for position, element in enumerate(waiter.call.arguments[name]):
                for output in needs_of(element):
                    known[output.call.number].append(position)
        return known

    def _finish(self, state: CallState) -> None:
        """Every item is done: the whole result has a digest now."""
        if state.call.is_mapped:
            contents = [content for content in state.contents if content is not None]
            content = combine("list", contents)
            code = tuple(sorted({entry for codes in state.codes.values() for entry in codes}))
        else:
            assert state.contents[0] is not None
            content, code = state.contents[0], state.codes.get(0, ())
        state.whole = self._completed(content, code)
        if state.call.is_mapped:
            self._record_whole(state, content, code)
        for waiter in self._whole_waiters.get(state.call.number, ()):
            waiter.needs.discard(state.call.number)
            if not waiter.needs and waiter.count is None:
                self._agenda.append((self._open, (waiter,)))

    def _record_whole(self, state: CallState, content: bytes, code: Code) -> None:
        """File that these items are what the mapped call gives, so that the next run need not ask for each."""
        if state.held or state.accepted or not self.keeps(state) or not self._whole_key(state):
            return
        assert state.whole_key is not None
        stored = self.store.put(b"".join(key for key in state.keys if key is not None))
        stored = replace(stored, content=content, code=code, nbytes=state.nbytes)
        count = (_COUNT, len(state.keys).to_bytes(32, "little"))
        record = NewRecord(state.whole_key, stored, (count,), tuple(state.reads), state.seconds)
        self.unpublished.append((state.call.step.name, state.fingerprint.digest, record))

    def _whole_key(self, state: CallState) -> bool:
        if state.whole_key is not None:
            return True
        lists = [(name, self._list_digest(state.call, name)) for name in state.call.over]
        if any(found is None for _, found in lists):
            return False
        state.whole_key = map_key(state.fingerprint.digest, state.fixed, [(n, f) for n, f in lists if f is not None])
        return True

    def _work_off(self) -> None:
        while self._agenda:
            function, arguments = self._agenda.popleft()
            function(*arguments)


def unpack_keys(value: bytes) -> list[bytes]:
    """The keys of the items of a mapped call, from the value of its record."""
    return [value[start : start + 32] for start in range(0, len(value), 32)]
