"""What is known of every call of a layout: keys, verdicts, results; and what follows when a result becomes known.

A plan is such a state in which nothing runs. A run is the same state, told of each result as it comes in: then the
calls and items that needed it get their keys, and the rebuilder decides about them. Items of chained maps are decided
one by one. A call that is fresh costs a look at one record, and so does a mapped call whose lists are unchanged,
whatever its length.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from jpipe.decide.argument_digests import Digester, file_parameters
from jpipe.decide.argument_rules import rules_of
from jpipe.decide.call_state import CallState, Status
from jpipe.decide.chained_maps import ElementIndex, is_streamed_to, streams
from jpipe.decide.equal_items import EqualItems, SharedResult
from jpipe.decide.item_numbers import ItemNumbers
from jpipe.decide.occurrences import Occurrences
from jpipe.decide.rebuilder import Decision, decide
from jpipe.decide.record_lookup import RecordedResults
from jpipe.define.layout import Call, Layout, Output, contains_output, needs_of
from jpipe.digest import combine
from jpipe.files import FileDigests, Read
from jpipe.fingerprint import Fingerprint
from jpipe.model.outcomes import Verdict
from jpipe.store import Held, Store, Stored

__all__ = ["PipelineState"]


class PipelineState(RecordedResults):
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
    once
        Whether equal items run once: then the others are not told of, and take the result of the first.
    on_stale
        Told of items that must run: (state, indices).
    on_cached
        Told of items that are fresh: (state, number of items, seconds they once took).

    Attributes
    ----------
    numbers
        The numbers of the items of each step.
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
        once: bool = False,
        on_stale: Callable[[CallState, Sequence[int]], None] = lambda state, items: None,
        on_cached: Callable[[CallState, int, float], None] = lambda state, count, seconds: None,
    ) -> None:
        calls = [layout.calls[number] for number in sorted(wanted)]
        states = {
            call.number: CallState(call, fingerprints(call.step), rules_of(call.step, fingerprinter)) for call in calls
        }
        digester = Digester(fingerprinter, files, self.digest_of)
        super().__init__(
            states,
            store,
            fingerprinter,
            occurrences=Occurrences(layout, states, fingerprints, digester.written, self.item_keys),
            files=files,
            forced=forced,
            distrusted=distrusted if distrusted is not None else set(),
            now=now,
            accepted=accepted or {},
            on_cached=on_cached,
        )
        self.layout = layout
        self.numbers = ItemNumbers(layout, self.states)
        self._on_stale = on_stale
        self._equal = EqualItems() if once else None
        self._digester = digester
        self._whole_waiters: dict[int, list[CallState]] = defaultdict(list)
        self._item_waiters: dict[int, list[CallState]] = defaultdict(list)
        self._elements = ElementIndex()
        self._agenda: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()

    def begin(self) -> None:
        """Decide everything that can be decided before anything runs."""
        for state in self.states.values():
            self._enter(state)
        self.work_off()

    # -- calls become decidable ----------------------------------------------------------------------------------

    def _enter(self, state: CallState) -> None:
        call = state.call
        for name, value in call.arguments.items():
            for output in needs_of(value):
                if self.states[output.call.number].whole is None:
                    if name in call.over and streams(value):
                        self._item_waiters[output.call.number].append(state)
                    else:
                        state.needs.add(output.call.number)
        state.was_pending = bool(state.needs) or any(self.states[n].whole is None for n in call.needs)
        for number in state.needs:
            self._whole_waiters[number].append(state)
        if not state.needs:
            self._open(state)

    def _open(self, state: CallState) -> None:
        """All constants are known: fix them, find the number of items, and decide what can be decided."""
        call = state.call
        state.is_open = True
        ignored = call.step.declared.ignore
        are_files = file_parameters(call)
        state.fixed = [
            (name, self._digester.argument(call, name, value, name in are_files))
            for name, value in call.arguments.items()
            if name not in call.over and name not in ignored
        ]
        if not call.is_mapped:
            state.size(1)
            state.keys[0] = self.key_of(state, 0, state.fixed)
            self._decide(state, [0])
        else:
            self._open_mapped(state)

    def _open_mapped(self, state: CallState) -> None:
        lists = [(name, self._list_digest(state.call, name)) for name in state.call.over]
        known = [(name, found) for name, found in lists if found is not None]
        if len(known) == len(lists):
            state.whole_key = self._key_of_whole(state, known)
            if self._take_whole(state) or self._take_accepted_whole(state, known):
                self._tell_waiters(state)
                self._tell_item_waiters(state, range(state.count or 0))
                return
        counts = [self._source_count(state, name) for name in state.call.over]
        if any(count is None for count in counts):
            return
        state.size(min(count for count in counts if count is not None))
        if state.count == 0:
            self._finish(state)
            return
        for name in state.call.over:
            self._fill_source(state, name)
        self._advance(state, range(state.count or 0))

    def _list_digest(self, call: Call, name: str) -> bytes | None:
        """The digest of a list that is mapped over, if it is known as a whole by now."""
        value = call.arguments[name]
        if any(self.states[o.call.number].whole is None for o in needs_of(value)):
            return None
        return self._digester.argument(call, name, value, name in file_parameters(call))

    def _source_count(self, state: CallState, name: str) -> int | None:
        value = state.call.arguments[name]
        if type(value) is not Output:
            return len(value)
        source = self.states[value.call.number]
        if source.call.is_mapped and not value.path:
            if source.record is not None:
                self._expand(source)
            return source.count
        state.sources[name] = [*self._parts_of(value, state.call)]
        return len(state.sources[name])

    def _fill_source(self, state: CallState, name: str) -> None:
        value = state.call.arguments[name]
        count = state.count or 0
        is_file = name in file_parameters(state.call)
        if type(value) is Output:
            if streams(value):
                state.sources[name] = [None] * count
            else:
                del state.sources[name][count:]
        elif contains_output(value):
            state.sources[name] = [None] * count
        else:
            state.sources[name] = list(self._digester.elements(state.call, name, value[:count], is_file))

    def _advance(self, state: CallState, indices: Iterable[int]) -> None:
        """Decide those of the items whose elements are known by now."""
        ready = [
            index
            for index in indices
            if state.status[index] == Status.WAITING
            and state.keys[index] is None
            and self._elements_known(state, index)
        ]
        if not ready:
            return
        keys = self._keys_of(state, ready)
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

    def _decide(self, state: CallState, indices: Sequence[int]) -> None:
        keys = [state.keys[index] for index in indices]
        found = self._look_up(state, keys)  # type: ignore[arg-type]
        stale, seconds, cached = [], 0.0, 0
        for position, (index, key, plain) in enumerate(zip(indices, keys, self._plain(state, found), strict=True)):
            if plain is not None:
                state.status[index] = Status.CACHED
                state.contents[index] = plain[0]
                state.nbytes += plain[1]
                seconds += plain[2]
                cached += 1
                continue
            decision = Decision(Verdict.STALE)
            if records := found[position]:
                decision = decide(self.question(state, key), records, self.unchanged, self._is_there)
            record = decision.record or self._accepted_record(state, index)
            if record is None:
                state.status[index] = Status.STALE
                if self._equal is not None and (equal := self._equal.result(key)) is not None:
                    state.ran(index, equal.stored, equal.reads, 0.0, is_kept=equal.is_kept, status=Status.CACHED)
                    cached += 1
                elif self._equal is None or self._equal.is_first(state, index):
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
            for index in stale:
                if state.status[index] != Status.STALE:
                    self.gave_up(state, index)

    # -- results come in -----------------------------------------------------------------------------------------

    def ran(
        self,
        state: CallState,
        index: int,
        stored: Stored,
        reads: Sequence[Read],
        seconds: float,
        *,
        is_kept: bool = True,
    ) -> None:
        """An item ran (or was finished by another run meanwhile); follow it up with `work_off`.

        Parameters
        ----------
        is_kept
            Whether its result was recorded.
        """
        state.ran(index, stored, reads, seconds, is_kept=is_kept)
        self._agenda.append((self._done, (state, [index])))
        if self._equal is not None:
            result = SharedResult(stored, reads, is_kept)
            for other, position in self._equal.ran(state.keys[index], result):
                if isinstance(stored.where, Held):
                    self._on_stale(other, [position])
                    continue
                other.ran(position, stored, reads, 0.0, is_kept=is_kept, status=Status.CACHED)
                self._on_cached(other, 1, 0.0)
                self._agenda.append((self._done, (other, [position])))

    def found(self, state: CallState, index: int) -> bool:
        """Whether another run has filed an item meanwhile; then it is taken, to be followed up with `work_off`."""
        records = self._look_up(state, [state.keys[index]])[0]  # type: ignore[list-item]
        decision = decide(self.question(state, state.keys[index]), records, self.unchanged, self._is_there)
        if decision.record is None:
            return False
        self._take(state, index, decision.record)
        state.seconds += decision.record.seconds
        self._agenda.append((self._done, (state, [index])))
        for other, position in self._equal.over(state.keys[index]) if self._equal is not None else ():
            self._decide(other, [position])
        return True

    def gave_up(self, state: CallState, index: int) -> None:
        """An item has no result that others may take: what waits for an equal one runs by itself."""
        for other, position in self._equal.over(state.keys[index]) if self._equal is not None else ():
            self._on_stale(other, [position])

    def work_off(self) -> None:
        """Decide everything that follows from the results that came in."""
        while self._agenda:
            function, arguments = self._agenda.popleft()
            function(*arguments)

    def _done(self, state: CallState, indices: Sequence[int]) -> None:
        state.open_items -= len(indices)
        if state.open_items == 0:
            self._finish(state)
        self._tell_item_waiters(state, indices)

    def _tell_item_waiters(self, state: CallState, indices: Sequence[int]) -> None:
        for waiter in self._item_waiters.get(state.call.number, ()):
            self._agenda.append((self._follow, (waiter, state, indices)))

    def _follow(self, waiter: CallState, source: CallState, indices: Sequence[int]) -> None:
        """Items of `source` are done: decide about those of a mapped call that take them."""
        if waiter.count is None:
            # Sizing a call starts it anew, so it is done once, however many items were waited for together; and after
            # its constants are fixed, which stands on the agenda where the last of them came with these items.
            if waiter.is_open:
                self._open_mapped(waiter)
        elif is_streamed_to(waiter.call, source.call):
            self._advance(waiter, [index for index in indices if index < (waiter.count or 0)])
        elif source.whole is not None:
            self._advance(waiter, self._elements.holding(source.call, waiter.call, waiter.count or 0))

    def _finish(self, state: CallState) -> None:
        """Every item is done: the whole result has a digest now."""
        if state.call.is_mapped:
            assert None not in state.contents, "a mapped call is whole when every item has its result"
            content = combine("list", [content for content in state.contents if content is not None])
            code = tuple(sorted({entry for codes in state.codes.values() for entry in codes}))
        else:
            assert state.contents[0] is not None
            content, code = state.contents[0], state.codes.get(0, ())
        state.whole = self._completed(content, code)
        if state.call.is_mapped:
            self._record_whole(state, self._whole_key(state) if self._may_record_whole(state) else None, content, code)
        self._tell_waiters(state)
        if state.count == 0:
            self._tell_item_waiters(state, ())

    def _tell_waiters(self, state: CallState) -> None:
        for waiter in self._whole_waiters.get(state.call.number, ()):
            waiter.needs.discard(state.call.number)
            if not waiter.needs and waiter.count is None:
                self._agenda.append((self._open, (waiter,)))

    def _whole_key(self, state: CallState) -> bytes | None:
        """The key of a mapped call as a whole, once all lists are known."""
        if state.whole_key is None:
            lists = [(name, self._list_digest(state.call, name)) for name in state.call.over]
            known = [(name, found) for name, found in lists if found is not None]
            if len(known) == len(lists):
                state.whole_key = self._key_of_whole(state, known)
        return state.whole_key
