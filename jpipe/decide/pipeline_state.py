"""What is known of every call of a layout: keys, verdicts, results; and what follows when a result becomes known.

A plan is such a state in which nothing runs. A run is the same state, told of each result as it comes in: then the
calls and items that needed it get their keys, and the rebuilder decides about them. Items of chained maps are decided
one by one. A call that is fresh costs a look at one record, and so does a mapped call whose lists are unchanged,
whatever its length.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jpipe.decide.argument_digests import Digester, file_parameters
from jpipe.decide.call_keys import CallKeys
from jpipe.decide.call_state import CallState, Status
from jpipe.decide.chained_maps import ElementIndex, is_streamed_to, streams
from jpipe.decide.equal_items import EqualItems, SharedResult
from jpipe.decide.file_traffic import FileTraffic
from jpipe.decide.item_columns import as_range, blocks, chosen
from jpipe.decide.item_numbers import ItemNumbers
from jpipe.decide.mapped_lists import MappedLists
from jpipe.decide.occurrences import Occurrences
from jpipe.decide.record_lookup import RecordLookup, item_count
from jpipe.decide.result_digests import KnownResults
from jpipe.decide.what_items_take import Upstream
from jpipe.decide.whole_calls import WholeCalls
from jpipe.define.layout import Layout, needs_of
from jpipe.define.step import Step
from jpipe.digest import combine_joined
from jpipe.files import Read
from jpipe.fingerprint import Fingerprint
from jpipe.store import Held, NewRecord, Record, Stored
from jpipe.system.import_observer import observing
from jpipe.worker.plain_results import PlainResults

__all__ = ["PipelineState"]

SOME, MANY = 1 << 8, 1 << 15
"""Of more items than the first it is asked whether any are equal; of more than the second, what is known of all."""


class PipelineState:
    """The calls of a layout and what is known of them.

    Parameters
    ----------
    layout
        The calls.
    states
        What is known of those that take part, by number. Those that are done stay as they are.
    lookup
        What earlier runs recorded.
    fingerprints
        The fingerprint of each step.
    fingerprinter
        For code inside values.
    once
        Whether equal items run once: then the others are not told of, and take the result of the first.
    places
        As in `Occurrences`.
    on_stale
        Told of items that must run: (state, indices).
    on_cached
        Told of items that are fresh: (state, number of items, seconds they once took).

    Attributes
    ----------
    results
        Digests and places of the results that are known.
    keys
        Makes the keys of calls and items.
    numbers
        The numbers of the items of each step.
    """

    def __init__(
        self,
        layout: Layout,
        states: Mapping[int, CallState],
        lookup: RecordLookup,
        fingerprints: Callable[[Step[..., Any]], Fingerprint],
        fingerprinter: Any,
        *,
        once: bool = False,
        places: dict[bytes, list[bytes]] | None = None,
        on_stale: Callable[[CallState, Sequence[int]], None] = lambda state, items: None,
        on_cached: Callable[[CallState, int, float], None] = lambda state, count, seconds: None,
    ) -> None:
        self.layout = layout
        self.states = states
        self.lookup = lookup
        self.results = KnownResults(states, lookup, fingerprinter)
        self.numbers = ItemNumbers(layout, states)
        self._on_stale = on_stale
        self._on_cached = on_cached
        self._digester = Digester(fingerprinter, lookup.files, self.results.digest_of)
        self.written = written = self._digester.written
        self.keys = CallKeys(Occurrences(layout, states, fingerprints, written, lookup.item_keys, places))
        self.traffic = FileTraffic(states)
        self._lists = MappedLists(states, self._digester, self.results, lookup)
        self._wholes = WholeCalls(self._lists, self.keys, lookup)
        self._equal = EqualItems(states.values()) if once else None
        self._unpublished: list[tuple[str, bytes, NewRecord]] = []
        self._whole_waiters: dict[int, list[CallState]] = defaultdict(list)
        self._item_waiters: dict[int, list[CallState]] = defaultdict(list)
        self._elements = ElementIndex()
        self._agenda: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()

    def begin(self) -> None:
        """Decide everything that can be decided before anything runs."""
        with observing(stays=False):
            for state in self.states.values():
                if not state.is_done:
                    self._enter(state)
            self.work_off()

    # -- calls become decidable ----------------------------------------------------------------------------------

    def _enter(self, state: CallState) -> None:
        call = state.call
        needs = set()
        is_pending = any(not self.states[number].is_done for number in call.needs)
        for name, value in call.arguments.items() if is_pending else ():
            for output in needs_of(value):
                if not self.states[output.call.number].is_done:
                    if name in call.over and streams(value):
                        self._item_waiters[output.call.number].append(state)
                    else:
                        needs.add(output.call.number)
        for number in needs:
            self._whole_waiters[number].append(state)
        state.wait_for(needs, is_pending=is_pending)
        if not needs:
            self._open(state)

    def _open(self, state: CallState) -> None:
        """Set the arguments that all items share, find the number of items, and decide what can be decided."""
        call = state.call
        ignored = call.step.declared.ignore
        are_files = file_parameters(call)
        state.open(
            [
                (name, self._digester.argument(call, name, value, name in are_files))
                for name, value in call.arguments.items()
                if name not in call.over and name not in ignored
            ]
        )
        if not call.is_mapped:
            state.size(1)
            state.set_keys([0], [self.keys.of_item(state, 0)])
            self._decide(state, [0])
        else:
            self._open_mapped(state)

    def _open_mapped(self, state: CallState) -> None:
        known = self._wholes.find_key(state)
        if known is not None and self._answer_as_whole(state, known):
            self._tell_waiters(state)
            self._tell_item_waiters(state, range(state.count or 0))
            return
        counts = [self._lists.count(state, name) for name in state.call.over]
        if any(count is None for count in counts):
            return
        state.size(min(count for count in counts if count is not None))
        if state.count == 0:
            self._finish(state)
            return
        for name in state.call.over:
            self._lists.fill(state, name)
        self._advance(state, range(state.count or 0))

    def _answer_as_whole(self, state: CallState, over: Sequence[tuple[str, bytes]]) -> bool:
        """Answer all items of a mapped call by one record, where one counts."""
        found = self.lookup.whole_record(state, lambda code: self.keys.of_whole(state, over, code))
        if found is None:
            return False
        record, accepted = found
        if self.lookup.are_shared(record.reads) or self._is_handed_on(state, Upstream.ALL, record.reads):
            return False
        count = item_count(record) or 0
        state.answer_as_whole(record, count, self.results.completed(record.content, record.code), accepted)
        self._on_cached(state, count, record.seconds)
        return True

    def _advance(self, state: CallState, indices: Sequence[int]) -> None:
        """Decide about those of the items whose elements are known."""
        ready = self._decidable(state, indices)
        for some in blocks(ready):
            state.set_keys(some, self.keys.of_items(state, some))
        is_distinct = len(ready) > SOME and (self._equal is None or self._equal.has_distinct(state))
        if is_distinct and len(ready) > MANY:
            ready = self._decide_together(state, ready)
        if ready:
            self._decide(state, ready)

    def _decide_together(self, state: CallState, indices: Sequence[int]) -> Sequence[int]:
        """Decide about those of very many items of which no two are equal and one look says all; give the others."""
        others: list[int] = []
        for some in blocks(indices):
            found = self.lookup.together(state, state.keys.take(some))
            if found is None:
                others += some
                continue
            others += [some[position] for position in found.others]
            cached = chosen(some, found.plain)
            state.items_cached(cached, found.contents, found.nbytes, found.seconds)
            self._answered(state, cached, found.seconds)
            stale = chosen(some, found.unrecorded)
            state.items_stale(stale)
            self._must_run(state, stale)
        return others

    def _decidable(self, state: CallState, indices: Sequence[int]) -> Sequence[int]:
        """Those items that are not decided and whose elements are known."""
        is_new = len(indices) == state.count and not any(state.status)
        if is_new and all(None not in state.sources[name] for name in state.call.over):
            return range(len(indices))
        return [
            index
            for index in indices
            if state.status[index] == Status.WAITING
            and state.keys[index] is None
            and self._elements_known(state, index)
        ]

    def _elements_known(self, state: CallState, index: int) -> bool:
        for name in state.call.over:
            if state.sources[name][index] is None:
                digest = self._lists.element(state, name, index)
                if digest is None:
                    return False
                state.set_element(name, index, digest)
        return True

    def _decide(self, state: CallState, indices: Sequence[int]) -> None:
        """Decide about items whose keys are known."""
        keys = state.keys.take(indices)
        cached, stale, plain, before = [], [], [], state.seconds
        has_older = any(self.lookup.older(state))
        for index, answer in zip(indices, self.lookup.answers(state, keys), strict=True):
            if type(answer) is tuple:
                plain.append((index, answer))
                continue
            if isinstance(answer, Record) and not self._is_handed_on(state, index, answer.reads):
                state.item_recorded(index, answer)
            elif has_older and (accepted := self._accepted(state, index)) is not None:
                state.item_recorded(index, *accepted)
            elif (equal := self._equal.result(state, index) if self._equal is not None else None) is not None:
                state.item_shared(index, equal.stored, equal.reads, is_kept=equal.is_kept)
            else:
                state.item_stale(index)
                if self._equal is None or self._equal.is_first(state, index):
                    stale.append(index)
                continue
            cached.append(index)
        if plain:
            answered = as_range([index for index, _ in plain])
            contents, nbytes, seconds = zip(*[answer for _, answer in plain], strict=True)
            state.items_cached(answered, b"".join(contents), sum(nbytes), sum(seconds))
            cached += answered
        self._answered(state, cached, state.seconds - before)
        self._must_run(state, stale)

    def _answered(self, state: CallState, cached: Sequence[int], seconds: float) -> None:
        if cached:
            self._on_cached(state, len(cached), seconds)
            self._done(state, cached)

    def _must_run(self, state: CallState, stale: Sequence[int]) -> None:
        if stale:
            self._on_stale(state, stale)
            for index in stale:
                if state.status[index] != Status.STALE:
                    self.gave_up(state, index)

    def _is_handed_on(self, state: CallState, index: int, reads: Sequence[Read]) -> bool:
        """Whether an item looked at what a step of this run writes and it does not take: it runs, and is refused."""
        return self.traffic.saw(state, index, reads) is not None

    def _accepted(self, state: CallState, index: int) -> tuple[Record, tuple[bytes, bytes]] | None:
        """A record of older code for an item, where the user accepted one."""
        return self.lookup.accepted_record(state, lambda code: self.keys.of_item(state, index, code))

    # -- results come in -----------------------------------------------------------------------------------------

    def most_items(self) -> int | None:
        """How many items can still run, at most; None while a list is not known that is mapped over."""
        open_calls = [state for state in self.states.values() if not state.is_done]
        if any(state.count is None and state.call.is_mapped for state in open_calls):
            return None
        return sum(1 if state.count is None else state.open_items for state in open_calls)

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
        """Take the result of an item that ran; `is_kept` where it was recorded. Call `work_off` afterwards."""
        state.item_ran(index, stored, reads, seconds, is_kept=is_kept)
        if reads:
            self.lookup.written(reads)
        self._agenda.append((self._done, (state, [index])))
        self._share(state, index, SharedResult(stored, reads, is_kept))

    def _share(self, state: CallState, index: int, result: SharedResult) -> None:
        """Give the result of an item that ran to those that waited for it because they are equal."""
        for other, position in self._equal.ran(state, index, result) if self._equal is not None else ():
            if isinstance(result.stored.where, Held) or self._is_handed_on(other, position, result.reads):
                self._on_stale(other, [position])
                continue
            other.item_shared(position, result.stored, result.reads, is_kept=result.is_kept)
            self._on_cached(other, 1, 0.0)
            self._agenda.append((self._done, (other, [position])))

    def ran_plainly(self, state: CallState, indices: Sequence[int], plain: PlainResults) -> None:
        """Take the plain values of many items of a mapped call that ran. Call `work_off` afterwards."""
        state.items_ran(indices, plain.contents, plain.payloads, sum(plain.nbytes()), sum(plain.seconds))
        self._agenda.append((self._done, (state, indices)))
        if self._equal is not None and not self._equal.are_distinct(state):
            for index, stored in zip(indices, plain.stored(), strict=True):
                self._share(state, index, SharedResult(stored, (), True))

    def found(self, state: CallState, index: int) -> bool:
        """Take the result of an item where another run has recorded it meanwhile. Call `work_off` afterwards."""
        key = state.keys[index]
        record = None if key is None else self.lookup.record_of(state, key)
        if record is None or self._is_handed_on(state, index, record.reads):
            return False
        state.item_recorded(index, record)
        self._agenda.append((self._done, (state, [index])))
        for other, position in self._equal.over(state, index) if self._equal is not None else ():
            self._decide(other, [position])
        return True

    def gave_up(self, state: CallState, index: int) -> None:
        """Let the items that wait for an equal one run themselves, because that one gives no result."""
        for other, position in self._equal.over(state, index) if self._equal is not None else ():
            self._on_stale(other, [position])

    def work_off(self) -> None:
        """Decide about all calls and items that became decidable."""
        while self._agenda:
            function, arguments = self._agenda.popleft()
            function(*arguments)

    def take_unpublished(self) -> list[tuple[str, bytes, NewRecord]]:
        """Take the new records of whole mapped calls, to be published: (step, fingerprint, record)."""
        taken, self._unpublished = self._unpublished, []
        return taken

    def _done(self, state: CallState, indices: Sequence[int]) -> None:
        if state.items_done(len(indices)):
            self._finish(state)
        self._tell_item_waiters(state, indices)

    def _tell_item_waiters(self, state: CallState, indices: Sequence[int]) -> None:
        for waiter in self._item_waiters.get(state.call.number, ()):
            self._agenda.append((self._follow, (waiter, state, indices)))

    def _follow(self, waiter: CallState, source: CallState, indices: Sequence[int]) -> None:
        """Decide about the items of a mapped call that take items of `source`, which are done."""
        if waiter.count is None:
            # Sizing a call starts it anew, so it is done once, however many items were waited for together; and after
            # its constants are fixed, which stands on the agenda where the last of them came with these items.
            if waiter.is_open:
                self._open_mapped(waiter)
        elif is_streamed_to(waiter.call, source.call):
            self._advance(waiter, [index for index in indices if index < (waiter.count or 0)])
        elif source.is_done:
            self._advance(waiter, self._elements.holding(source.call, waiter.call, waiter.count or 0))

    def _finish(self, state: CallState) -> None:
        """Digest the whole result, once every item is done, and go on with the calls that take it."""
        if state.call.is_mapped:
            assert None not in state.contents, "a mapped call is whole when every item has its result"
            content = combine_joined("list", state.contents.joined())
            code = tuple(sorted({entry for codes in state.codes.values() for entry in codes}))
        else:
            assert state.contents[0] is not None
            content, code = state.contents[0], state.codes.get(0, ())
        state.finish(self.results.completed(content, code))
        if state.call.is_mapped and (record := self._wholes.record(state, content, code)) is not None:
            self._unpublished.append((state.call.step.name, state.fingerprint.digest, record))
        self._tell_waiters(state)
        if state.count == 0:
            self._tell_item_waiters(state, ())

    def _tell_waiters(self, state: CallState) -> None:
        for waiter in self._whole_waiters.get(state.call.number, ()):
            if waiter.need_is_known(state.call.number):
                self._agenda.append((self._open, (waiter,)))
