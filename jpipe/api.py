"""The front door for Python: run, plan, graph, map, load, cached."""

from __future__ import annotations

import os
import secrets
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jpipe.answer import Asked
from jpipe.chunks import ChunkBuilder, own_folders
from jpipe.errors import NothingSelectedError, OutOfDateError, UsageError
from jpipe.events import Event, Observer, RunStarted, StepEnded, everyone
from jpipe.evidence import Explainer, texts_of
from jpipe.functions import SourceStamp, source_stamps
from jpipe.history import EarlierCall, LastRun, with_earlier
from jpipe.journal import Journal, StepResult, opening_of
from jpipe.layout import expected_items
from jpipe.leaving import leave_answer
from jpipe.ledger import CallState, Ledger
from jpipe.outcomes import Outcome
from jpipe.pipeline import Pipeline
from jpipe.plan import Plan
from jpipe.planning import make_plan
from jpipe.report import Run
from jpipe.rows import journal_folder
from jpipe.scheduler import Limits, ResultLost, Scheduler
from jpipe.session import Session, load_state, prepare
from jpipe.store import MissingEntry
from jpipe.tally import Tally
from jpipe.upkeep import tidy

COMPARED = 500
"""Of a run of at most so many calls the journal notes the results even if nothing ran."""

__all__ = ["graph", "plan", "run"]

HEALING = 3
"""How often a run is planned anew when results that it counted on turn out to be damaged."""


def run(
    pipeline: Pipeline[..., Any],
    parameters: Mapping[str, Any] | None = None,
    *,
    targets: Sequence[str] = (),
    n_jobs: int | None = None,
    backend: str | None = None,
    backend_options: Mapping[str, Any] | None = None,
    cache_dir: Path | str | None = None,
    keep_going: bool = False,
    fail_fast: bool = False,
    force: Iterable[str] = (),
    items: Sequence[int] | None = None,
    failed: bool = False,
    frozen: bool = False,
    observer: Observer | None = None,
    detailed: bool = False,
    capture: bool = True,
    asked: Asked | None = None,
) -> Run:
    """Bring a pipeline up to date; what `jpipe run` calls.

    Parameters
    ----------
    pipeline
        A `@pipeline` function.
    parameters
        Its parameters, by name.
    targets
        Names of steps: only these and what they need. Default: everything.
    n_jobs
        Number of workers as in joblib; None for what ``joblib.parallel_config`` says, else all cores.
    backend, backend_options
        A joblib backend by name, and more keyword arguments for ``joblib.Parallel``.
    cache_dir
        The cache. Default: ``cache`` in the project of the pipeline's file.
    keep_going
        After a failure, go on with everything that does not depend on it.
    fail_fast
        After a failure, end the workers at once.
    force
        Names of steps to run whatever the cache has.
    items
        Positions, from 0, of the only items of the targets that may run.
    failed
        Only items that failed in the last run may run.
    frozen
        Raise instead of running anything.
    observer
        Called with each `Event`, in the main thread.
    detailed
        Whether `ChunkEnded` events carry every item.
    capture
        Whether to keep what items print, for failures and logs.
    asked
        What the command line asked for, to leave an instant answer under.

    Returns
    -------
    Run
        Also when a step failed: then `Run.value` raises.

    Raises
    ------
    UsageError, WiringError, CacheError
        Before anything runs.
    OutOfDateError
        With `frozen`, when something would run.
    """
    session = prepare(pipeline, parameters, cache_dir)
    begun = time.perf_counter()
    limits = Limits(_jobs(n_jobs, backend), keep_going, fail_fast, detailed, _memory())
    force = _known_steps(session, force)
    name = time.strftime("%Y%m%d-%H%M%S-") + secrets.token_hex(3)
    journal = Journal(journal_folder(session.store.root), opening_of(session, name))
    emit = _Once(everyone([journal, observer or _ignore]))

    distrusted: set[bytes] = set()

    def attempt(heals: bool) -> tuple[Scheduler, Ledger, Outcome]:
        scheduler = Scheduler(
            session.store,
            limits,
            make_pool=_pool_maker(n_jobs, backend, backend_options),
            emit=emit,
            seconds=dict(session.last_run.seconds),
            priorities=lambda: _priorities(session),
            failed_before=session.last_run.failed,
            heals=heals,
        )
        ledger = session.ledger(
            session.wanted(targets), forced=force, distrusted=distrusted, on_stale=_selected(scheduler, session, targets, items, failed), on_cached=scheduler.cached
        )
        explainer = Explainer(ledger, session.history, session.last_run)
        tally = Tally(ledger.states.values(), emit)
        scheduler.attach(ledger, tally, _builder_maker(session, ledger, capture), explainer.reasons)
        emit(_started(session, ledger, name, limits.n_jobs))
        ledger.begin()
        if frozen and any(not state.is_done for state in ledger.states.values()):
            raise _out_of_date(session, ledger, explainer)
        return scheduler, ledger, scheduler.run()

    scheduler, ledger, outcome = _healed(session, attempt)
    seconds = time.perf_counter() - begun
    emit(scheduler.tally.run_ended(outcome, seconds, scheduler.slowest, scheduler.largest))
    _remember(session, ledger, scheduler, name, outcome)
    if outcome is not Outcome.CACHED:
        tidy(session.store, session.identity, name, ledger.states.values())
    if asked is not None and outcome in (Outcome.CACHED, Outcome.RAN):
        _leave_answer(asked, session, targets, ledger if outcome is Outcome.CACHED else None)
    journal.close(_results(ledger) if journal.is_needed or len(ledger.states) <= COMPARED else ())

    def load_value() -> Any:
        try:
            return session.load_result(ledger)
        except MissingEntry:
            again = run(pipeline, parameters, targets=targets, n_jobs=n_jobs, backend=backend, backend_options=backend_options, cache_dir=cache_dir)
            return again.value

    def load_step(step: str) -> list[Any]:
        states = [state for state in ledger.states.values() if state.call.step.name == step]
        return [value for state in states for value in load_state(ledger, state)]

    return Run(
        pipeline=pipeline.name,
        name=name,
        outcome=outcome,
        steps=tuple(emit.steps),
        failures=tuple(scheduler.failures),
        seconds=seconds,
        make_plan=lambda: _plan_of(session, ledger),
        load_value=load_value,
        load_step=load_step,
    )


def run_shown(pipeline: Pipeline[..., Any], parameters: Mapping[str, Any]) -> Run:
    """A run from Python as its user sees it: with bars in a terminal, a block in a notebook, else silent."""
    from jpipe.progress import default_observer

    progress = default_observer()
    if progress is None:
        return run(pipeline, parameters)
    with progress:
        return run(pipeline, parameters, observer=progress)


def plan(
    pipeline: Pipeline[..., Any],
    parameters: Mapping[str, Any] | None = None,
    *,
    targets: Sequence[str] = (),
    cache_dir: Path | str | None = None,
    force: Iterable[str] = (),
    asked: Asked | None = None,
) -> Plan:
    """What `run` would do, and why; nothing runs.

    Parameters and errors are as in `run`.
    """
    session = prepare(pipeline, parameters, cache_dir)
    ledger = session.ledger(session.wanted(targets), forced=_known_steps(session, force))
    ledger.begin()
    made = _plan_of(session, ledger)
    session.fingerprinter.save()
    if asked is not None and made.up_to_date:
        leave_answer(asked, session, ledger, made)
    return made


def graph(pipeline: Pipeline[..., Any], parameters: Mapping[str, Any] | None = None) -> Any:
    """The calls of a pipeline and what each needs.

    Returns
    -------
    Graph
        With the networkx graph as ``digraph``.
    """
    from jpipe.graph import Graph
    from jpipe.parameters import check
    from jpipe.session import lay_out

    check(pipeline, dict(parameters or {}))
    layout, _ = lay_out(pipeline, dict(parameters or {}))
    return Graph(layout, pipeline.name)


class _Once:
    """Passes events on, each `RunStarted` and `StepEnded` at most once although a run may be planned anew."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._started = False
        self.steps: list[StepEnded] = []

    def __call__(self, event: Event) -> None:
        if isinstance(event, RunStarted):
            if self._started:
                return
            self._started = True
        if isinstance(event, StepEnded):
            if any(step.step == event.step for step in self.steps):
                return
            self.steps.append(event)
        self._observer(event)


def _ignore(event: Event) -> None:
    """Take an event and do nothing."""


def _healed(session: Session, attempt: Callable[[bool], tuple[Scheduler, Ledger, Outcome]]) -> tuple[Scheduler, Ledger, Outcome]:
    for _ in range(HEALING):
        try:
            return attempt(True)
        except (ResultLost, MissingEntry):
            for step in {id(call.step): call.step for call in session.layout.calls}.values():
                session.store.family(session.fingerprint(step).digest).refresh()
    return attempt(False)


def _started(session: Session, ledger: Ledger, name: str, jobs: int) -> RunStarted:
    calls = [state.call for state in ledger.states.values()]
    steps: dict[str, int] = {}
    for call in calls:
        steps[call.step.name] = steps.get(call.step.name, 0) + expected_items(call)
    return RunStarted(
        pipeline=session.pipeline.name,
        run=name,
        calls=len({(call.step.name, call.location) for call in calls}),
        items=sum(steps.values()),
        jobs=jobs,
        cache_dir=str(session.store.root),
        new_cache=session.new_cache,
        expected_seconds=dict(session.last_run.seconds),
        steps=steps,
    )


def _plan_of(session: Session, ledger: Ledger) -> Plan:
    explainer = Explainer(ledger, session.history, session.last_run)
    return make_plan(session.pipeline.name, ledger, explainer, session.last_run.seconds)


def _out_of_date(session: Session, ledger: Ledger, explainer: Explainer) -> OutOfDateError:
    made = make_plan(session.pipeline.name, ledger, explainer, session.last_run.seconds)
    names = ", ".join(step.name for step in made.steps if step.stale or step.pending)
    return OutOfDateError(f"{session.pipeline.name} is out of date: {names}", hint="run it without --frozen")


def _selected(
    scheduler: Scheduler, session: Session, targets: Sequence[str], items: Sequence[int] | None, failed: bool
) -> Callable[[CallState, Sequence[int]], None]:
    """What is told of stale items: only those that were selected may run."""
    if items is None and not failed:
        return scheduler.stale
    if items is not None and not targets:
        raise UsageError("items are selected of a step", hint="name the step: jpipe run STEP --item 3")
    if failed and not session.last_run.failed:
        raise NothingSelectedError("nothing failed in the last run", hint="run without --failed")

    def stale(state: CallState, indices: Sequence[int]) -> None:
        step = state.call.step.name
        if failed:
            chosen = [i for i in indices if state.keys[i] in session.last_run.failed]
        elif step in targets:
            first = scheduler.ledger.first_item(state)
            chosen = [i for i in indices if first + i in (items or ())]
        else:
            chosen = list(indices)
        if chosen:
            scheduler.stale(state, chosen)

    return stale


def _known_steps(session: Session, names: Iterable[str]) -> frozenset[str]:
    from jpipe.report import unknown_step

    known = list(dict.fromkeys(call.step.name for call in session.layout.calls))
    for name in names:
        if name not in known:
            raise unknown_step(name, known)
    return frozenset(names)


def _results(ledger: Ledger) -> list[StepResult]:
    """By step, the digests of what its calls gave."""
    by_step: dict[str, list[CallState]] = {}
    for state in ledger.states.values():
        by_step.setdefault(state.call.step.name, []).append(state)
    return [
        StepResult(step, states[0].fingerprint.digest, tuple(state.whole for state in states))
        for step, states in by_step.items()
    ]


def _remember(session: Session, ledger: Ledger, scheduler: Scheduler, name: str, outcome: Outcome) -> None:
    """Leave behind what later runs compare with; nothing when nothing happened."""
    session.fingerprinter.save()
    if outcome is Outcome.CACHED and session.last_run.run:
        return
    calls = _noted_calls(session, ledger)
    seconds = {**session.last_run.seconds, **scheduler.pace}
    session.history.note_run(
        session.identity, LastRun(name, time.time(), calls, frozenset(scheduler.failed_keys), seconds)
    )


def _noted_calls(session: Session, ledger: Ledger) -> dict[str, list[EarlierCall]]:
    """By step, what there is to compare with: the calls of this run, and where it did not finish them those before."""
    calls: dict[str, list[EarlierCall]] = {call.step.name: [] for call in session.layout.calls}
    for state in ledger.states.values():
        session.history.note_family(state.call.step.name, state.fingerprint)
        entries = calls[state.call.step.name]
        for family, key in _filed(state):
            if len(entries) < LastRun.LIMIT:
                entries.append(EarlierCall(family, key, dict(state.fixed), texts_of(state.call), state.is_done))
    before = session.last_run.calls
    return {step: with_earlier(entries, before.get(step, ())) for step, entries in calls.items()}


def _filed(state: CallState) -> list[tuple[bytes, bytes]]:
    """The fingerprint and the key under which the result of a call is; of some mapped calls those of each item."""
    own = state.fingerprint.digest
    if state.accepted_whole is not None:
        return [state.accepted_whole]
    if state.accepted:
        filed = [state.accepted.get(index, (own, key)) for index, key in enumerate(state.keys)]
        return [(family, key) for family, key in filed if key is not None]
    key = state.whole_key if state.call.is_mapped else state.keys[0] if state.keys else None
    return [(own, key)] if key is not None else []


def _leave_answer(asked: Asked, session: Session, targets: Sequence[str], ledger: Ledger | None) -> None:
    """Leave an instant answer; after items ran, look with new eyes whether everything is up to date now."""
    try:
        if ledger is None:
            ledger = session.ledger(session.wanted(targets))
            for family in {state.fingerprint.digest for state in ledger.states.values()}:
                session.store.family(family).refresh()
            ledger.begin()
        leave_answer(asked, session, ledger, _plan_of(session, ledger))
    except MissingEntry:
        return


def _builder_maker(session: Session, ledger: Ledger, capture: bool) -> Callable[[str | None], ChunkBuilder]:
    def is_own(file: str) -> bool:
        return session.fingerprinter.owns_file(file)

    stamps: list[tuple[SourceStamp, ...]] = []

    def sources() -> tuple[SourceStamp, ...]:
        if not stamps:
            stamps.append(source_stamps(is_own))
        return stamps[0]

    folders = own_folders(is_own, sys.path)
    return lambda slots: ChunkBuilder(ledger, session.store, str(session.root), sources, folders, slots, capture)


def _priorities(session: Session) -> dict[int, float]:
    from jpipe.graph import Graph

    return Graph(session.layout, session.pipeline.name).remaining(session.last_run.seconds)


def _pool_maker(n_jobs: int | None, backend: str | None, options: Mapping[str, Any] | None) -> Callable[[bool], Any]:
    def make(threads: bool) -> Any:
        from jpipe.pool import Pool

        wanted = -1 if n_jobs is None and not _configured() else n_jobs
        if threads:
            return Pool(wanted if wanted is not None else -1, "threading")
        return Pool(wanted, backend, options=options)

    return make


def _configured() -> bool:
    """Whether a ``joblib.parallel_config`` is active that says something of workers."""
    if "joblib" not in sys.modules:
        return False
    from joblib.parallel import get_active_backend

    backend, jobs = get_active_backend()
    return type(backend).__name__ != "LokyBackend" or jobs not in (None, 1)


def _jobs(n_jobs: int | None, backend: str | None) -> int:
    if n_jobs is not None and (not isinstance(n_jobs, int) or isinstance(n_jobs, bool) or n_jobs == 0):
        raise UsageError(f"n_jobs={n_jobs!r}: it takes a number of workers", hint="1 for none beside this process, -1 for all cores")
    if n_jobs is not None and n_jobs > 0:
        return n_jobs
    if n_jobs is None and _configured():
        import joblib

        return int(joblib.effective_n_jobs(None))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores + 1 + (n_jobs if n_jobs is not None else -1))


def _memory() -> int:
    """What items may need together, bytes: the machine's memory less a tenth."""
    try:
        return int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * 0.9)
    except (ValueError, OSError, AttributeError):
        return 0
