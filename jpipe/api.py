"""The front door for Python: run, plan, graph."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jpipe.decide.instant.answer import Asked
from jpipe.decide.instant.leave_answer import leave_answer
from jpipe.decide.make_plan import plan_of
from jpipe.decide.pipeline_session import PipelineSession
from jpipe.define.pipeline import Pipeline
from jpipe.errors import CacheMiss
from jpipe.history.run_index import journal_folder
from jpipe.model.events import Observer
from jpipe.model.plan import Plan
from jpipe.model.run_report import Run
from jpipe.schedule.after_run import is_last_run, results_in_short
from jpipe.schedule.run import run_pipeline
from jpipe.schedule.run_request import RunRequest

if TYPE_CHECKING:
    from jpipe.render.progress import Progress

__all__ = ["graph", "plan", "run"]


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
        The cache. Default: what the settings say, else ``cache`` in the project of the pipeline's file.
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
        Called with each `Event`, in the main thread. Default: what shows the run where somebody looks, with bars in a
        terminal and a block in a notebook; ``JPIPE_PROGRESS=off`` shows nothing.
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

    Examples
    --------
    >>> import jpipe
    >>> from jpipe import pipeline, step
    >>> @step
    ... def square(n: int) -> int:
    ...     return n * n
    >>> @pipeline
    ... def main(count: int = 3) -> list[int]:
    ...     return [square(n) for n in range(count)]
    >>> done = jpipe.run(main, {"count": 4}, n_jobs=1)
    >>> done.value, done.outcomes["square"].ran
    ([0, 1, 4, 9], 4)
    >>> jpipe.run(main, {"count": 5}, n_jobs=1).outcomes["square"].ran
    1
    """
    request = RunRequest(
        pipeline,
        parameters,
        targets=targets,
        n_jobs=n_jobs,
        backend=backend,
        backend_options=backend_options,
        cache_dir=cache_dir,
        keep_going=keep_going,
        fail_fast=fail_fast,
        force=force,
        items=items,
        failed=failed,
        frozen=frozen,
        observer=observer,
        detailed=detailed,
        capture=capture,
        asked=asked,
    )
    progress = _progress(pipeline, not parameters) if observer is None else None
    if progress is None:
        return run_pipeline(request, _write_html)
    with progress:
        return run_pipeline(request._replace(observer=progress), _write_html)


def _progress(pipeline: Pipeline[..., Any], has_defaults: bool) -> Progress | None:
    from jpipe.render.progress import default_observer

    return default_observer(file=pipeline.file, name=pipeline.name, has_defaults=has_defaults)


def _write_html(session: PipelineSession, run: str, path: str | os.PathLike[str]) -> None:
    from jpipe.history.journal_reader import find_run, runs
    from jpipe.render.printed_commands import Commands
    from jpipe.report.write_report import report_html, write_file

    folder = journal_folder(session.store.root)
    rows = [row for row in runs(folder) if row.pipeline == session.identity]
    write_file(Path(path), report_html(session.store, folder, rows, find_run(rows, run), Commands(known=())))


def display_forms(thing: Any) -> dict[str, str]:
    """What a notebook shows of a plan, run, graph, step or pipeline."""
    from jpipe.report.notebook import display_forms

    return display_forms(thing)


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

    Parameters
    ----------
    pipeline, parameters, targets, cache_dir, force, asked
        As for `run`.

    Returns
    -------
    Plan
        For each step the number of its items that would run, with the reasons.

    Raises
    ------
    UsageError, WiringError, CacheError
        As for `run`.

    Examples
    --------
    >>> import jpipe
    >>> from jpipe import pipeline, step
    >>> @step
    ... def square(n: int) -> int:
    ...     return n * n
    >>> @pipeline
    ... def main(count: int = 3) -> list[int]:
    ...     return [square(n) for n in range(count)]
    >>> main.run(n_jobs=1)
    [0, 1, 4]
    >>> (todo,) = jpipe.api.plan(main, {"count": 5}).steps
    >>> todo.name, todo.stale, todo.fresh, todo.reasons[0][0].detail
    ('square', 2, 3, 'new items 3, 4')
    """
    session = PipelineSession(pipeline, parameters, cache_dir)
    pipeline_state = session.state(targets, forced=force)
    pipeline_state.begin()
    made = plan_of(session, pipeline_state)
    session.fingerprinter.save()
    if asked is not None and made.up_to_date and is_last_run(session, pipeline_state):
        leave_answer(asked, session, pipeline_state, made, results_in_short(pipeline_state))
    return made


def stored_value(
    pipeline: Pipeline[..., Any], parameters: Mapping[str, Any] | None = None, cache_dir: Path | str | None = None
) -> Any:
    """What a pipeline gives, from the cache; nothing runs.

    Raises
    ------
    CacheMiss
        When something of it is not up to date.
    """
    session = PipelineSession(pipeline, parameters, cache_dir)
    pipeline_state = session.state()
    pipeline_state.begin()
    stale = [state.call.step.name for state in pipeline_state.states.values() if not state.is_done]
    if stale:
        names = ", ".join(dict.fromkeys(stale))
        raise CacheMiss(f"{pipeline.name} is not up to date: {names}", hint="run it first: jpipe run")
    from jpipe.decide.stored_results import load_result

    return load_result(session.result, pipeline_state)


def graph(pipeline: Pipeline[..., Any], parameters: Mapping[str, Any] | None = None) -> Any:
    """The calls of a pipeline and what each needs; nothing runs.

    Parameters
    ----------
    pipeline, parameters
        As for `run`.

    Returns
    -------
    Graph
        With the networkx graph as ``digraph``.

    Raises
    ------
    UsageError, WiringError
        As for `run`.

    Examples
    --------
    >>> import jpipe
    >>> from jpipe import pipeline, step
    >>> @step
    ... def square(n: int) -> int:
    ...     return n * n
    >>> @pipeline
    ... def main() -> int:
    ...     return square(square(3))
    >>> graph = jpipe.api.graph(main)
    >>> graph.digraph.number_of_nodes(), graph.digraph.number_of_edges()
    (2, 1)
    """
    from jpipe.decide.pipeline_session import lay_out
    from jpipe.define.graph import Graph
    from jpipe.define.parameters import check

    check(pipeline, dict(parameters or {}))
    layout, _ = lay_out(pipeline, dict(parameters or {}))
    return Graph(layout, pipeline.name)
