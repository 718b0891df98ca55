"""``jpipe run``: bring a pipeline up to date."""

from __future__ import annotations

import gc
import os
import sys
import time
from typing import Any

import click

from jpipe.cli import flags
from jpipe.cli.flags import Given
from jpipe.cli.instant import asked, recalled, tell_again
from jpipe.cli.invocation import Invocation, invocation
from jpipe.decide.instant.answer import Asked, is_likely
from jpipe.errors import ExitCode, UsageError
from jpipe.model.events import Observer, everyone
from jpipe.system.machine import workers_of

__all__ = ["command", "items_of"]


@click.command("run")
@flags.PLACE
@flags.settings("jobs", "keep_going", "fail_fast", "cache_dir", "backend", "backend_options", "progress", "tb")
@click.option("-n", "--dry-run", is_flag=True, help="Only say what would run, like jpipe plan.")
@flags.FORCE
@flags.parameters
@click.option("--item", "items", multiple=True, metavar="N", help="Only this item of the step: 7, 0-4 or 3,9,12.")
@click.option("--failed", is_flag=True, help="Only the items that failed last time.")
@click.option("--frozen", is_flag=True, help="Run nothing; exit 4 if anything would run.")
@flags.QUIET
@click.option("-v", "--verbose", is_flag=True, help="Tell of each item.")
@click.option("-s", "--show-output", is_flag=True, help="Show what steps print.")
@click.option("--json", "as_json", is_flag=True, help="Write events to stdout, a JSON object a line.")
@click.option("--report", metavar="FILE", help="Write what the run did and gave as one HTML page.")
@click.option("--live", is_flag=True, help="Serve the page of the run to a browser of this machine while it runs.")
@click.option("--trace", metavar="FILE", help="Write when which worker did what, for Chrome's tracing.")
def command(words: tuple[str, ...], given: Given, dry_run: bool, **options: Any) -> int:
    """Bring a pipeline up to date: run what has to run, take the rest from the cache.

    FILE defaults to pipeline.py. With STEPs, only they and what they need.
    """
    call = invocation(words, flags.flags_of(options), given)
    if dry_run:
        pages = [flag for flag in ("report", "live", "trace") if options[flag]]
        if pages:
            raise UsageError(f"--{pages[0]}: a dry run has no page", hint="leave out -n, or see jpipe plan and graph")
        from jpipe.cli.plan import tell_plan

        return tell_plan(call, options["force"], why=bool(options["verbose"]), as_json=options["as_json"])
    return _run(call, options)


def _run(call: Invocation, options: dict[str, Any]) -> int:
    items = items_of(options["items"])
    if items and len(call.steps) != 1:
        raise UsageError("--item needs the one step whose items it means", hint="jpipe run STEP --item 7")
    begun = time.perf_counter()
    question = asked(call)
    is_plain = not (items or call.given.sweeps or options["force"] or options["failed"] or options["verbose"])
    if is_plain and _known_backend(call.settings.backend):
        answer = recalled(question)
        if answer is not None:
            observers, close = _observers(call, options)
            tell_again(question, answer, observers, workers_of(call.settings.jobs or -1), begun)
            close()
            _report(call, None, options)
            return 0
    _make_workers_ready(call, None if options["force"] else question)
    if options["live"]:
        from jpipe.cli.ui import start_live

        start_live(":".join(filter(None, (str(call.file), call.place.pipeline))), str(call.cache_dir))
    from jpipe.worker.descriptors import keep_screen

    keep_screen()  # before the user's modules take hold of the streams, for their logging
    from jpipe import api

    # What was imported up to here stays: at the end it need not be looked through for garbage. What is the user's is.
    gc.freeze()
    pipeline, parameters = call.pipeline, call.parameters
    settings = call.settings
    observers, close = _observers(call, options)
    try:
        run = api.run(
            pipeline,
            parameters,
            targets=call.steps,
            n_jobs=settings.jobs,
            backend=settings.backend,
            backend_options=settings.backend_options or None,
            cache_dir=settings.cache_dir,
            keep_going=settings.keep_going,
            fail_fast=settings.fail_fast,
            force=options["force"],
            items=items or None,
            failed=options["failed"],
            frozen=options["frozen"],
            observer=observers,
            detailed=options["verbose"],
            asked=question,
        )
    finally:
        close()
    _report(call, run.name, options)
    if call.sweep is not None and run.exit_code is ExitCode.OK and not options["as_json"]:
        from jpipe.render.sweep_text import sweep_lines

        call.out.write(*sweep_lines(call.sweep.combinations, run.value))
    return int(run.exit_code)


def _report(call: Invocation, name: str | None, options: dict[str, Any]) -> None:
    """Write the pages that were asked for of a run; without a name, the last."""
    if not (options["report"] or options["trace"]):
        return
    from jpipe.cli.report import write_reports
    from jpipe.cli.runs_meant import journals_of, run_meant

    folder, rows = journals_of(call)
    write_reports(
        call, folder, rows, run_meant(call, rows, name or "-1"), options["report"] or "", options["trace"] or ""
    )


def _make_workers_ready(call: Invocation, question: Asked | None) -> None:
    """Where workers are likely to be needed, have a process import what they need while this one imports too.

    They are not where an answer to the `question` was left, and no file is another than it was.
    """
    settings = call.settings
    count = workers_of(settings.jobs or -1)
    if settings.backend in (None, "preloaded") and count > 1:
        from jpipe.parallel.expected_pool import is_pool_expected

        if not is_pool_expected(call.cache_dir, call.file) or (question is not None and is_likely(question)):
            return
        from jpipe.parallel import preload
        from jpipe.worker.preloaded_modules import WORKER_MODULES

        if preload.is_possible():
            preload.start([str(call.file.resolve())], WORKER_MODULES, preload.thread_limits(count))


def _known_backend(name: str | None) -> bool:
    """Whether a backend is known before the pipeline file can register one."""
    if name is None:
        return True
    from jpipe.parallel.backends import known_backend

    return known_backend(name)


def _observers(call: Invocation, options: dict[str, Any]) -> tuple[Observer, Any]:
    """Who watches the run, and what to call when it is over, however it ended."""
    from jpipe.render.progress import Mode, Progress, mode_for
    from jpipe.render.run_text import Wishes

    wishes = Wishes(options["show_output"], options["verbose"], call.settings.tb, call.commands, _asked(call, options))
    mode = mode_for(call.settings.progress, call.err)
    if options["as_json"] and call.settings.progress == "auto" and not call.err.is_terminal:
        mode = Mode.OFF
    progress = Progress(call.err, mode, wishes, quiet=options["quiet"])
    observers: list[Observer] = [progress]
    if options["as_json"]:
        from jpipe.render.jsonlines import JsonLines

        observers.append(JsonLines(sys.stdout, items=options["verbose"]))
    if os.environ.get("GITHUB_ACTIONS") == "true":
        from jpipe.render.github import Annotations

        observers.append(Annotations(sys.stderr, os.environ.get("GITHUB_STEP_SUMMARY")))
    return everyone(observers), progress.close


def _asked(call: Invocation, options: dict[str, Any]) -> str:
    """What of the pipeline was asked for, in words; nothing where it is all of it."""
    if options["failed"]:
        return "what failed"
    if options["items"]:
        return f"item {', '.join(options['items'])} of {call.steps[0]}"
    return ", ".join(call.steps)


def items_of(texts: tuple[str, ...]) -> tuple[int, ...]:
    """Numbers of items, from 0, of ``7``, ``0-4`` and ``3,9,12``.

    Raises
    ------
    UsageError
        For anything else.
    """
    items: dict[int, None] = {}
    for part in (part for text in texts for part in text.split(",")):
        first, dash, last = part.strip().partition("-")
        try:
            start, end = int(first), int(last if dash else first)
        except ValueError:
            raise UsageError(f"--item {part} is not the number of an item", hint="write 7, 0-4 or 3,9,12") from None
        items |= dict.fromkeys(range(start, end + 1))
    return tuple(items)
