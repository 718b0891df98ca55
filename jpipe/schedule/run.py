"""Carry a run out: plan it, run what must run, and plan anew where results turn out to be damaged."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from jpipe.decide.call_state import CallState, Status
from jpipe.decide.explain import Explainer
from jpipe.decide.item_labels import label_of
from jpipe.decide.pipeline_session import PipelineSession
from jpipe.decide.pipeline_state import PipelineState
from jpipe.define.layout import expected_items
from jpipe.errors import NothingSelectedError, OutOfDateError, UsageError
from jpipe.model.events import Event, Notice, Observer, RunStarted, StepEnded
from jpipe.model.outcomes import Outcome
from jpipe.model.reasons import Reason
from jpipe.model.run_limits import Limits
from jpipe.parallel.expected_pool import note_pool
from jpipe.parallel.n_jobs import pool_maker
from jpipe.schedule.after_run import plan_of
from jpipe.schedule.chunks import ChunkBuilder
from jpipe.schedule.failure_details import Origins
from jpipe.schedule.in_flight import InFlight
from jpipe.schedule.item_results import ItemResults
from jpipe.schedule.ready_queue import ReadyQueue
from jpipe.schedule.scheduler import ResultLost, Scheduler
from jpipe.schedule.step_counts import RunCounts
from jpipe.store import MissingEntry
from jpipe.worker.crash_marker import died_on
from jpipe.worker.modules import WORKER_MODULES

if TYPE_CHECKING:
    from jpipe.parallel.pool import Pool

__all__ = ["Carried", "Once", "Request", "carry_out"]

HEALING = 3
"""How often a run is planned anew when results that it counted on turn out to be damaged."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of a run; the names are those of `jpipe.run`."""

    limits: Limits
    targets: Sequence[str] = ()
    n_jobs: int | None = None
    backend: str | None = None
    backend_options: Mapping[str, Any] | None = None
    force: Iterable[str] = ()
    items: Sequence[int] | None = None
    failed: bool = False
    frozen: bool = False
    capture: bool = True
    distrusted: set[bytes] = field(default_factory=set)


class Carried(NamedTuple):
    """A run that is over.

    Parameters
    ----------
    pipeline_state
        What is known of every call.
    counts
        How many items of each step became what.
    item_results
        What failed, and how long items took.
    outcome
        What became of it.
    """

    pipeline_state: PipelineState
    counts: RunCounts
    item_results: ItemResults
    outcome: Outcome


def carry_out(session: PipelineSession, request: Request, name: str, emit: Observer) -> Carried:
    """Run what must run.

    Parameters
    ----------
    session
        The pipeline, made ready.
    request
        What is asked.
    name
        The run's name.
    emit
        Takes the events.

    Raises
    ------
    UsageError
        For a selection that selects nothing.
    OutOfDateError
        When something would run although the request is `frozen`.
    """
    item_results = ItemResults(_origins(session), emit, detailed=request.limits.detailed)
    known = _Known(item_results, died_on(session.store.root))
    for attempt in range(HEALING + 1):
        selection = _Selection(session, request, frozenset(item_results.failed_keys))
        try:
            return _attempt(session, request, selection, name, emit, known, heals=attempt < HEALING)
        except (ResultLost, MissingEntry) as error:
            if attempt == HEALING:
                raise
            emit(Notice(f"a result that an item needs was lost during the run and is made again: {error}"))
            for state in selection.pipeline_state.states.values():
                known.ran.setdefault(state.call.number, set()).update(state.items(Status.RAN))
            for step in {id(call.step): call.step for call in session.layout.calls}.values():
                session.store.family(session.fingerprint(step).digest).refresh()
    raise AssertionError("the last attempt returns or raises")


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known before a run is planned, or planned anew.

    Parameters
    ----------
    item_results
        What became of the items so far.
    deadly
        The keys of items that took the main process of an earlier run with them.
    ran
        By the number of their call: the items that this run has computed.
    """

    item_results: ItemResults
    deadly: frozenset[bytes]
    ran: dict[int, set[int]] = field(default_factory=dict)


def _attempt(
    session: PipelineSession,
    request: Request,
    selection: _Selection,
    name: str,
    emit: Observer,
    known: _Known,
    *,
    heals: bool,
) -> Carried:
    pipeline_state = session.state(
        request.targets,
        forced=request.force,
        distrusted=request.distrusted,
        once=True,
        on_stale=selection.stale,
        on_cached=selection.cached,
    )
    known.item_results.follow(pipeline_state)
    counts = RunCounts(pipeline_state.states.values(), emit, known.ran)
    ready_queue = ReadyQueue(
        session.last_run.seconds, lambda: _priorities(session), session.last_run.failed, known.deadly
    )
    selection.attach(pipeline_state, counts, ready_queue)
    emit(_started(session, pipeline_state, name, request))
    pipeline_state.begin()
    _tell_deadly(pipeline_state, known.deadly, emit)
    if request.frozen and any(not state.is_done for state in pipeline_state.states.values()):
        raise _out_of_date(session, pipeline_state)
    selection.refuse_if_nothing()
    make_pool = pool_maker(request.n_jobs, request.backend, request.backend_options, _preload(session))

    def tell_pool(pool: Pool) -> None:
        if request.limits.detailed and pool.fell_back:
            emit(Notice(f"workers are started anew, not forked: {pool.fell_back}"))

    in_flight = InFlight(make_pool, tell_pool)
    scheduler = Scheduler(
        session.store,
        request.limits,
        pipeline_state=pipeline_state,
        counts=counts,
        item_results=known.item_results,
        ready_queue=ready_queue,
        in_flight=in_flight,
        make_builder=lambda slots: ChunkBuilder(session, pipeline_state, slots=slots, capture=request.capture),
        emit=emit,
        heals=heals,
    )
    outcome = scheduler.run()
    _leave_word(session, in_flight, outcome)
    return Carried(pipeline_state, counts, known.item_results, outcome)


def _leave_word(session: PipelineSession, in_flight: InFlight, outcome: Outcome) -> None:
    """Tell the next run whether this one needed workers."""
    if outcome is not Outcome.CACHED:
        note_pool(session.store.root, Path(session.pipeline.file), in_flight.has_pools)


def _preload(session: PipelineSession) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Whose imports workers are to begin with, and what of jpipe they need."""
    file = session.pipeline.file
    return (file,) if os.path.isfile(file) else (), WORKER_MODULES


def _origins(session: PipelineSession) -> Origins:
    known = session.pipeline.parameters.bind(**session.parameters)
    known.apply_defaults()
    return Origins(session.pipeline.name, known.arguments)


def _tell_deadly(pipeline_state: PipelineState, deadly: frozenset[bytes], emit: Observer) -> None:
    """Say which items a run died of that did them itself."""
    for state in pipeline_state.states.values() if deadly else ():
        for index, key in enumerate(state.keys):
            if key in deadly and state.status[index] == Status.STALE:
                label = label_of(state, index)
                message = f"a run was ended while it ran {label} itself: now a worker of its own does"
                emit(Notice(message, None, state.call.step.name))


class _Selection:
    """Puts the stale items that may run into the queue: all of them, or those that the user selected.

    Parameters
    ----------
    session, request
        As in `carry_out`.
    given_up
        The keys of items that failed in this run before it was planned anew.

    Raises
    ------
    UsageError, NothingSelectedError
        When the selection cannot mean anything.
    """

    pipeline_state: PipelineState

    def __init__(self, session: PipelineSession, request: Request, given_up: frozenset[bytes]) -> None:
        self._session = session
        self._given_up = given_up
        self._failed = session.last_run.failed if request.failed else None
        self._items = None if request.items is None else frozenset(request.items)
        self._targets = frozenset(request.targets)
        self._explained: set[str] = set()
        if request.items is not None and not request.targets:
            raise UsageError("items are selected of a step", hint="name the step: jpipe run STEP --item 3")
        if request.failed and not session.last_run.failed:
            raise NothingSelectedError("nothing failed in the last run", hint="run without --failed")

    def attach(self, pipeline_state: PipelineState, counts: RunCounts, ready_queue: ReadyQueue) -> None:
        """What it hears from, and what it tells."""
        self.pipeline_state = pipeline_state
        self._counts = counts
        self._ready_queue = ready_queue
        self._explainer = Explainer(pipeline_state, self._session.history, self._session.last_run)

    def stale(self, state: CallState, indices: Sequence[int]) -> None:
        """Items that must run."""
        for index in indices if self._given_up else ():
            if state.keys[index] in self._given_up:
                state.item_failed(index)
        indices = [index for index in indices if state.status[index] != Status.FAILED]
        chosen = [index for index in indices if self._may_run(state, index)]
        if len(chosen) < len(indices):
            for index in set(indices).difference(chosen):
                state.item_unasked(index)
        if not chosen:
            return
        self._ready_queue.add(state, chosen)
        step = state.call.step.name
        reasons: tuple[Reason, ...] = ()
        if step not in self._explained:
            self._explained.add(step)
            reasons = self._explainer.reasons(state, chosen[0])
        self._counts.known(state, stale=len(chosen), reasons=reasons)

    def cached(self, state: CallState, count: int, seconds: float) -> None:
        """Items that need not run."""
        self._counts.known(state, cached=count, saved=seconds)

    def refuse_if_nothing(self) -> None:
        """Raise `NothingSelectedError` when the target has no item of the numbers that were given."""
        if self._items is None:
            return
        states = [state for state in self.pipeline_state.states.values() if state.call.step.name in self._targets]
        if any(state.count is None for state in states):
            return
        count = sum(state.count or 0 for state in states)
        if not any(item < count for item in self._items):
            step = ", ".join(sorted(self._targets))
            raise NothingSelectedError(f"{step} has {count} items, from 0 to {count - 1}", hint="choose one of these")

    def _may_run(self, state: CallState, index: int) -> bool:
        if self._failed is not None:
            return state.keys[index] in self._failed
        if self._items is not None and state.call.step.name in self._targets:
            return self.pipeline_state.numbers.first_of(state) + index in self._items
        return True


class Once:
    """Passes events on, each `RunStarted` and `StepEnded` at most once although a run may be planned anew."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._started = False
        self._ended: dict[str, StepEnded] = {}

    @property
    def steps(self) -> list[StepEnded]:
        """How each step ended at last."""
        return list(self._ended.values())

    def __call__(self, event: Event) -> None:
        if isinstance(event, RunStarted):
            if self._started:
                return
            self._started = True
        if isinstance(event, StepEnded):
            was_told = event.step in self._ended
            self._ended[event.step] = event
            if was_told:
                return
        self._observer(event)


def _started(session: PipelineSession, pipeline_state: PipelineState, name: str, request: Request) -> RunStarted:
    calls = [state.call for state in pipeline_state.states.values()]
    steps: dict[str, int] = {}
    needs: dict[str, dict[str, None]] = {}
    for call in calls:
        steps[call.step.name] = steps.get(call.step.name, 0) + expected_items(call)
        taken = (pipeline_state.states[number].call.step.name for number in sorted(call.needs))
        needs.setdefault(call.step.name, {}).update(dict.fromkeys(taken))
    return RunStarted(
        pipeline=session.pipeline.name,
        run=name,
        calls=len({(call.step.name, call.location) for call in calls}),
        items=sum(steps.values()),
        jobs=request.limits.n_jobs,
        cache_dir=str(session.store.root),
        new_cache=session.is_new,
        expected_seconds=dict(session.last_run.seconds),
        steps=steps,
        partial=request.failed or request.items is not None,
        needs={step: tuple(taken) for step, taken in needs.items()},
    )


def _out_of_date(session: PipelineSession, pipeline_state: PipelineState) -> OutOfDateError:
    names = ", ".join(step.name for step in plan_of(session, pipeline_state).steps if step.stale or step.pending)
    return OutOfDateError(f"{session.pipeline.name} is out of date: {names}", hint="run it without --frozen")


def _priorities(session: PipelineSession) -> dict[int, float]:
    from jpipe.define.graph import Graph

    return Graph(session.layout, session.pipeline.name).remaining(session.last_run.seconds)
