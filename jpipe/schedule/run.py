"""The phases of a run: lay out, decide, run, record, tell."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jpipe.decide.call_state import Status
from jpipe.decide.make_plan import plan_of
from jpipe.decide.pipeline_session import PipelineSession
from jpipe.decide.pipeline_state import PipelineState
from jpipe.decide.stored_results import load_result, load_step
from jpipe.define.import_guard import refuse_run_while_importing
from jpipe.errors import OutOfDateError
from jpipe.history.journal_writer import Journal
from jpipe.history.run_index import journal_folder
from jpipe.model.events import Event, Notice, Observer, everyone
from jpipe.model.outcomes import Outcome
from jpipe.model.run_report import Run
from jpipe.parallel.backends import reached
from jpipe.parallel.expected_pool import note_pool
from jpipe.parallel.n_jobs import Pools
from jpipe.parallel.preload_request import Preload
from jpipe.schedule.after_run import FinishedRun, leave_behind, results_of
from jpipe.schedule.chunks import ChunkBuilder
from jpipe.schedule.executed_items import ExecutedItems
from jpipe.schedule.failure_details import Origins
from jpipe.schedule.handover import handover
from jpipe.schedule.in_flight import InFlight
from jpipe.schedule.in_this_process import needs_workers
from jpipe.schedule.item_results import ItemResults
from jpipe.schedule.ready_queue import ReadyQueue
from jpipe.schedule.remote_write_back import tell_complaints
from jpipe.schedule.run_request import RunRequest
from jpipe.schedule.run_start import Once, run_started, tell_advice, tell_deadly
from jpipe.schedule.scheduler import ResultLost, Scheduler
from jpipe.schedule.selection import Selection
from jpipe.schedule.step_counts import RunCounts
from jpipe.store import CacheWarning, MissingEntry
from jpipe.worker.current_item import died_on
from jpipe.worker.preloaded_modules import WORKER_MODULES

if TYPE_CHECKING:
    from jpipe.parallel.pool import Pool

__all__ = ["run_pipeline"]

HEALING = 3
"""How often a run is planned anew when results that it counted on turn out to be damaged."""
COMPARED = 500
"""Of a run of at most so many calls the journal notes the results even if nothing ran."""

WriteHtml = Callable[[PipelineSession, str, Any], None]


def run_pipeline(request: RunRequest, write_html: WriteHtml) -> Run:
    """Bring a pipeline up to date: lay it out, decide, run, record, and tell.

    Parameters
    ----------
    request
        What is asked.
    write_html
        Writes the page of a run: (session, name of the run, path).

    Raises
    ------
    UsageError, WiringError, CacheError
        Before anything runs.
    OutOfDateError
        When something would run although the request is `frozen`.
    """
    refuse_run_while_importing()
    # Lay out: the pipeline function is called once, and its project's cache opened.
    session = PipelineSession(request.pipeline, request.parameters, request.cache_dir)
    begun = time.perf_counter()
    request = request.with_settings(session.settings)
    name = time.strftime("%Y%m%d-%H%M%S-") + os.urandom(3).hex()
    journal = Journal(journal_folder(session.store.root), session.opening(name))
    emit = Once(everyone([journal, request.observer or _ignore]))
    # Decide, run and record: one loop, because what ran decides about what needs it.
    with reached(request.backend, request.backend_options, request.n_jobs) as (backend, options):
        done = _bring_up_to_date(session, request._replace(backend=backend, backend_options=options), name, emit)
    seconds = time.perf_counter() - begun
    emit(done.counts.run_ended(done.outcome, seconds, done.item_results))
    # Record what the next run compares with, and the run itself.
    is_other = leave_behind(session, request, done, emit) or journal.is_needed
    is_told = is_other or len(done.pipeline_state.states) <= COMPARED
    journal.close(results_of(done.pipeline_state, with_places=is_other) if is_told else (), whole=is_other)
    # Tell.
    if request.observer is None:
        for complaint in done.item_results.complaints:
            warnings.warn(complaint, CacheWarning, stacklevel=3)
    return Run(
        pipeline=session.pipeline.name,
        name=name,
        outcome=done.outcome,
        steps=tuple(emit.steps),
        failures=tuple(done.item_results.failures),
        seconds=seconds,
        make_plan=lambda: plan_of(session, done.pipeline_state),
        load_value=lambda: _value(session, request, done.pipeline_state, write_html),
        load_step=lambda step: load_step(done.pipeline_state, step),
        write_html=lambda path: write_html(session, name, path),
    )


def _value(session: PipelineSession, request: RunRequest, pipeline_state: PipelineState, write_html: WriteHtml) -> Any:
    """What the pipeline returns; results that were lost after the run are made again."""
    try:
        return load_result(session.result, pipeline_state)
    except MissingEntry:
        return run_pipeline(request.for_its_value(), write_html).value


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
    distrusted
        Keys of mapped calls whose record turned out to name items that are gone.
    """

    item_results: ItemResults
    deadly: frozenset[bytes]
    ran: dict[int, set[int]] = field(default_factory=dict)
    distrusted: set[bytes] = field(default_factory=set)


def _bring_up_to_date(session: PipelineSession, request: RunRequest, name: str, emit: Observer) -> FinishedRun:
    """Decide and run, anew where results that were counted on turn out to be damaged."""
    executed = ExecutedItems(session.fingerprinter.relative)
    item_results = ItemResults(_origins(session), emit, executed, detailed=request.detailed)
    known = _Known(item_results, died_on(session.store.root))
    for attempt in range(HEALING + 1):
        selection = Selection(session, request, frozenset(item_results.failed_keys))
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


def _attempt(
    session: PipelineSession,
    request: RunRequest,
    selection: Selection,
    name: str,
    emit: Observer,
    known: _Known,
    *,
    heals: bool,
) -> FinishedRun:
    begun = time.perf_counter()
    pools = Pools(request.n_jobs, request.backend, request.backend_options, _preload(session))
    pipeline_state = session.state(
        request.targets,
        forced=request.force,
        distrusted=known.distrusted,
        once=True,
        on_stale=selection.stale,
        on_cached=selection.cached,
    )
    counts = RunCounts(pipeline_state.states.values(), emit, known.ran)
    ready_queue = ReadyQueue(session.layout.calls, session.last_run.seconds, session.last_run.failed, known.deadly)
    known.item_results.follow(pipeline_state, ready_queue.failures, ready_queue.have_failed)
    selection.attach(pipeline_state, counts, ready_queue)
    emit(run_started(session, request, pipeline_state, name, pools.n_jobs))
    tell_complaints(session.store.remote, emit)
    pipeline_state.begin()
    handover.plans(session.store, pipeline_state)
    tell_deadly(pipeline_state, known.deadly, emit)
    if request.frozen and any(not state.is_done for state in pipeline_state.states.values()):
        refusal = _out_of_date(session, pipeline_state)
        counts.settle(interrupted=False, failed=True)
        emit(counts.run_ended(Outcome.BLOCKED, time.perf_counter() - begun, known.item_results))
        raise refusal
    tell_advice(session, pipeline_state, emit)
    selection.refuse_if_nothing()

    in_flight = InFlight(pools, lambda pool: _tell_pool(pool, request, emit), emit)
    scheduler = Scheduler(
        session.store,
        request,
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
    if outcome is not Outcome.CACHED:
        # The next run begins its workers early where this one needed them, and not only because no item was timed.
        is_needed = in_flight.has_pools and (
            outcome is not Outcome.RAN or needs_workers(pipeline_state.states.values())
        )
        note_pool(session.store.root, Path(session.pipeline.file), is_needed)
    return FinishedRun(name, outcome, pipeline_state, counts, known.item_results)


def _tell_pool(pool: Pool, request: RunRequest, emit: Observer) -> None:
    for worker, why in pool.unfit.items():
        emit(Notice(f"the worker {worker} is not used: {why}"))
    if request.detailed and pool.fell_back:
        emit(Notice(f"workers are started anew, not forked: {pool.fell_back}"))


def _preload(session: PipelineSession) -> Preload:
    """Whose imports workers are to begin with, and what of jpipe they need."""
    file = session.pipeline.file
    return Preload((file,) if os.path.isfile(file) else (), WORKER_MODULES)


def _origins(session: PipelineSession) -> Origins:
    known = session.pipeline.bound(session.parameters)
    return Origins(session.pipeline.name, known.arguments)


def _out_of_date(session: PipelineSession, pipeline_state: PipelineState) -> OutOfDateError:
    names = ", ".join(step.name for step in plan_of(session, pipeline_state).steps if step.stale or step.pending)
    return OutOfDateError(f"{session.pipeline.name} is out of date: {names}", hint="run it without --frozen")


def _ignore(event: Event) -> None:
    """Ignore an event."""
