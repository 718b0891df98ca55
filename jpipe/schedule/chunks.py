"""Cut items that are ready into chunks: big enough that a worker is not kept waiting, small enough to share fairly."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from blake3 import blake3

from jpipe.decide.argument_digests import returns_file
from jpipe.decide.call_state import CallState
from jpipe.decide.item_columns import as_range
from jpipe.decide.pipeline_state import PipelineState
from jpipe.decide.session import Session
from jpipe.define.layout import Output, contains_output, replace_outputs
from jpipe.fingerprint import BlindSpot, PartKind
from jpipe.model.step_options import StepOptions
from jpipe.parallel.chunk_size import Pace
from jpipe.schedule.isolation import resizes_arrays
from jpipe.schedule.ready_items import Item, Ready
from jpipe.store import PutOptions, Where
from jpipe.system.by_value import ByValue
from jpipe.system.memoised import marks_of
from jpipe.system.ownership import owns_folder
from jpipe.worker.function_reference import SourceStamp, reference_to, source_stamps
from jpipe.worker.messages import ItemWork, StepWork, Work
from jpipe.worker.packed_items import PackedItems, keys_of
from jpipe.worker.surroundings import Surroundings, pack
from jpipe.worker.value_references import Live, Payload, Reference, ReferenceList, payload_of

__all__ = ["Chunk", "ChunkBuilder", "StepQueue"]

_READ_UNSEEN = frozenset({BlindSpot.NATIVE_READ, BlindSpot.OTHER_PROCESS})

QUICK = 0.5
"""Items that take less are over before a worker could be given the next, seconds."""
MANY = 8
"""So many items of one call and more are sent in columns."""
SPILLED = 1 << 20
"""Arguments whose pickled form is larger go through the store, once, bytes."""


@dataclass(slots=True, eq=False, repr=False)
class StepQueue:
    """The items of one step that are ready to run.

    Attributes
    ----------
    step
        The step.
    ready
        The items.
    running
        How many chunks are with workers; each has one item at a time going.
    returned
        Call number and index of items that were lost with a worker: what is found of them was done by this run.
    """

    step: Any
    ready: Ready = field(default_factory=Ready)
    running: int = 0
    pace: Pace = field(default_factory=Pace)
    priority: float = 0.0
    returned: set[tuple[int, int]] = field(default_factory=set)

    @property
    def options(self) -> StepOptions:
        """The options of the step."""
        declared: StepOptions = self.step.declared
        return declared

    def room(self) -> int:
        """How many more chunks may run now."""
        limit = self.options.n_jobs
        return len(self.ready) if limit is None else max(0, limit - self.running)

    def window(self, workers: int) -> int:
        """How many chunks may be with workers before one of this step is: none of them is to wait for the next."""
        is_quick = self.pace.seconds is None or self.pace.seconds < QUICK
        return 2 * workers if is_quick else workers + 1

    def take(self, workers: int) -> list[Item]:
        """The items of the next chunk."""
        options = self.options
        if options.memory is not None or options.timeout is not None:
            size = 1
        elif options.batch_size != "auto":
            size = int(options.batch_size)
        else:
            size = self.pace.chunk_size(len(self.ready), workers)
        if options.n_jobs is not None:
            size = min(size, max(1, len(self.ready) // options.n_jobs))
        return self.ready.take(size)


@dataclass(slots=True, eq=False, repr=False)
class Chunk:
    """Items that are with a worker, of `pool`, or in this process where that is None; `needs`: where arguments are."""

    queue: StepQueue
    items: list[Item]
    work: Work
    pool: Any = None
    needs: tuple[Where, ...] = ()

    def at(self, positions: Sequence[int]) -> tuple[CallState, Sequence[int]]:
        """The call of some items, all of one, and their indices in it."""
        return self.items[positions[0]][0], as_range([self.items[position][1] for position in positions])

    @property
    def is_away(self) -> bool:
        """Whether it is with workers that may be on other machines."""
        return self.pool is not None and not self.pool.is_local

    @property
    def is_bound(self) -> bool:
        """Whether it can only run in this process."""
        own = () if isinstance(self.work.items, PackedItems) else self.work.items
        payloads: Iterable[Payload] = [item.arguments for item in own]
        return any(isinstance(payload, Live) for payload in [*payloads, *self.work.shared])


class ChunkBuilder:
    """Turns items into the work that is sent.

    Parameters
    ----------
    session
        The project, its cache and its code.
    pipeline_state
        Where results are known.
    slots
        The folder where workers say what they are doing, or None.
    capture
        Whether to keep what items print.
    is_owner
        Whether the items are announced to other runs before they are built.
    """

    def __init__(
        self,
        session: Session,
        pipeline_state: PipelineState,
        *,
        slots: str | None = None,
        capture: bool = False,
        is_owner: bool = True,
    ) -> None:
        self._is_owner = is_owner
        self._session = session
        self._pipeline_state = pipeline_state
        self._store = session.store
        self._slots = slots
        self._capture = capture
        self._number = 0
        self._steps: dict[int, StepWork] = {}
        self._shared: dict[int, Payload | None] = {}
        self._spilled: dict[int, tuple[Any, Any]] = {}
        self._needed: list[Where] = []
        self._shared_needs: dict[int, list[Where]] = {}

    def build(self, queue: StepQueue, items: list[Item]) -> Chunk:
        """The chunk of these items."""
        self._number += 1
        shared: list[Payload] = []
        positions: dict[int, int] = {}
        for state in {state.call.number: state for state, _ in items}.values():
            constants = self._constants(state)
            positions[state.call.number] = -1 if constants is None else len(shared)
            shared += [] if constants is None else [constants]
        packed = self._packed(items, min(positions.values())) if len(items) >= MANY and len(positions) == 1 else None
        work_items = packed or [self._item(state, index, positions[state.call.number]) for state, index in items]
        needed, self._needed = self._needed, []
        self._store.bring(needed)
        work = Work(
            number=self._number,
            key=blake3(keys_of(work_items)).hexdigest(),
            store=self._store,
            step=self._step(queue, items[0][0]),
            items=work_items,
            shared=shared,
            wants_parts=any(state.call.wants_parts and not state.call.is_mapped for state, _ in items),
            slots=self._slots,
            capture=self._capture,
            is_own=self._is_owner,
            tells_result=len(items) == 1 and not items[0][0].call.is_mapped,
        )
        return Chunk(queue, items, work, needs=tuple(needed))

    @functools.cached_property
    def _sources(self) -> tuple[SourceStamp, ...]:
        """The user's modules as they are imported here."""
        return source_stamps(self._session.fingerprinter.old_files())

    @functools.cached_property
    def _surroundings(self) -> Surroundings:
        """The state of this process, as it is before the first item runs."""
        return pack(self._session.fingerprinter.variables(), self._session.fingerprinter.environment())

    @functools.cached_property
    def _own_folders(self) -> tuple[str, ...]:
        """The entries of ``sys.path`` that hold the user's own modules."""
        return own_folders(sys.path)

    def _step(self, queue: StepQueue, state: CallState) -> StepWork:
        known = self._steps.get(id(queue))
        if known is None:
            known = self._steps[id(queue)] = self._new_step(queue, state)
        return known

    def _new_step(self, queue: StepQueue, state: CallState) -> StepWork:
        options = queue.options
        mapped = options.max_nbytes if options.mmap_mode is not None and not options.compress else None
        return StepWork(
            name=queue.step.name,
            function=reference_to(queue.step, self._own_folders),
            family=state.fingerprint.digest,
            put=PutOptions(max_nbytes=mapped, compress=options.compress),
            mmap_mode=options.mmap_mode,
            hashers=ByValue(dict(options.hash)),
            timeout=options.timeout,
            cache=options.cache,
            returns_file=returns_file(queue.step.function),
            reached=_marks(state),
            reads_unseen=any(spot.what in _READ_UNSEEN for spot in state.fingerprint.unseen),
            root=str(self._session.root),
            sources=self._sources,
            surroundings=self._surroundings,
            is_random=state.fingerprint.is_random,
            owns_arrays=resizes_arrays(queue.step),
            traces=self._session.follows_code(queue.step),
            calls_imports=any(spot.what == BlindSpot.COMPUTED_IMPORT for spot in state.fingerprint.unseen),
            packages=tuple((p.name, str(p.text)) for p in state.fingerprint.parts if p.kind is PartKind.PACKAGE),
        )

    def _item(self, state: CallState, index: int, shared: int) -> ItemWork:
        call = state.call
        if call.is_mapped:
            arguments = {name: self._element(call.arguments[name], index) for name in call.over}
        else:
            arguments = call.arguments
        digests = list(state.fixed)
        for name in call.over:
            digest = state.sources[name][index]
            if digest is not None and name not in call.step.declared.ignore:
                digests.append((name, digest))
        key = state.keys[index]
        assert key is not None
        keeps = self._pipeline_state.lookup.keeps(state)
        occurrence = self._pipeline_state.keys.occurrences.for_seed(state, index)
        return ItemWork(key, self._payload(arguments), shared, tuple(digests), keeps, occurrence)

    def _packed(self, items: list[Item], shared: int) -> PackedItems | None:
        """Items of one mapped call in columns; None where they are no plain values, or more is to be said of each."""
        state = items[0][0]
        call = state.call
        if not self._pipeline_state.lookup.keeps(state) or self._pipeline_state.keys.occurrences.matter(call):
            return None
        indices = as_range([index for _, index in items])
        values = {}
        for name in call.over:
            source = call.arguments[name]
            values[name] = [] if type(source) is Output else [source[index] for index in indices]
            if type(source) is Output or not PackedItems.can_hold(values[name]):
                return None
        ignored = call.step.declared.ignore
        digests = {n: b"".join(state.sources[n].take(indices)) for n in call.over if n not in ignored}
        return PackedItems(b"".join(state.keys.take(indices)), tuple(state.fixed), digests, values, shared)

    def _element(self, source: Any, index: int) -> Any:
        return source[index] if type(source) is not Output else _Part(source, index)

    def _constants(self, state: CallState) -> Payload | None:
        """What all items of a mapped call are given, if anything is."""
        number, call = state.call.number, state.call
        if number not in self._shared:
            constants = {n: v for n, v in call.arguments.items() if n not in call.over} if call.is_mapped else {}
            before = len(self._needed)
            self._shared[number] = self._payload(constants) if constants else None
            self._shared_needs[number] = self._needed[before:]
        else:
            self._needed += self._shared_needs[number]
        return self._shared[number]

    def _payload(self, arguments: dict[str, Any]) -> Payload:
        resolved = {name: self._resolved(value) for name, value in arguments.items()}
        if self._spilled:
            resolved = {n: self._spill(v) if id(v) in self._spilled else v for n, v in resolved.items()}
        payload = payload_of(resolved)
        if isinstance(payload, bytes) and len(payload) > SPILLED:
            return payload_of({name: self._spill(value) for name, value in resolved.items()})
        return payload

    def _resolved(self, value: Any) -> Any:
        if type(value) is _Part:
            return self._part_reference(value)
        return replace_outputs(value, self._reference) if contains_output(value) else value

    def _reference(self, output: Output) -> Any:
        places, path = self._pipeline_state.results.place_of(output)
        self._needed += places
        return ReferenceList(tuple(places)) if path is None else Reference(places[0], path)

    def _part_reference(self, part: _Part) -> Reference:
        source = part.source
        if source.call.is_mapped and not source.path:
            place = self._pipeline_state.results.place_of(source[part.position])[0][0]
            self._needed.append(place)
            return Reference(place)
        places, path = self._pipeline_state.results.place_of(source)
        self._needed += places
        return Reference(places[0], (*(path or ()), part.position))

    def _spill(self, value: Any) -> Any:
        """A large argument as a reference into the store; written once, however many items take it."""
        if _holds_reference(value):
            return value
        known = self._spilled.get(id(value))
        if known is None:
            if _size_of(value) <= SPILLED // 8:
                return value
            stored = self._store.put(value)
            known = self._spilled[id(value)] = value, Reference(stored.where)
        self._needed.append(known[1].where)
        return known[1]


def _marks(state: CallState) -> frozenset[int]:
    parts = [part for part in state.fingerprint.parts if part.file is not None]
    return frozenset(mark for part in parts for mark in marks_of(str(part.file), part.name))


class _Part(NamedTuple):
    """The `index`-th element of a list that another call gives."""

    source: Output
    position: int


def _size_of(value: Any) -> int:
    """Bytes of the pickled form of a value; 0 where it has none."""
    payload = payload_of({"": value})
    return len(payload) if isinstance(payload, bytes) else 0


def _holds_reference(value: Any) -> bool:
    """Whether a value is a reference already, or a list, tuple or dict that holds one."""
    if isinstance(value, (Reference, ReferenceList)):
        return True
    if isinstance(value, dict):
        return any(map(_holds_reference, value.values()))
    return isinstance(value, (list, tuple)) and any(map(_holds_reference, value))


def own_folders(paths: Iterable[str]) -> tuple[str, ...]:
    """The entries of ``sys.path`` that hold the user's own modules."""
    return tuple(os.path.abspath(path) for path in paths if os.path.isdir(path or ".") and owns_folder(path))
