"""``jpipe show``: results from the cache, without running anything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jpipe.cli import flags
from jpipe.cli.flags import Given
from jpipe.cli.invocation import Invocation, invocation
from jpipe.cli.run import items_of
from jpipe.cli.runs_meant import journals_of, list_hint, run_meant
from jpipe.errors import CacheMiss, ExitCode, NothingSelectedError, UsageError, nearest
from jpipe.render.humanize import counted, foreign_text, size
from jpipe.render.styled_text import dim, line, name
from jpipe.render.value_text import plain_value, value_text

if TYPE_CHECKING:
    from jpipe.history.journal_reader import RunRow
    from jpipe.history.last_run import History
    from jpipe.store import Store

__all__ = ["command"]

_MOST_ITEMS = 50
"""Items that are printed for people; JSON has them all."""


@click.command("show")
@flags.PLACE
@click.option("--item", "items", multiple=True, metavar="N", help="Only this item: 7, 0-4 or 3,9,12.")
@click.option("--run", "run", metavar="RUN", help="Of this run of jpipe history; default the last.")
@click.option("-o", "--output", metavar="FILE", help="Write to a file, whose ending says the form.")
@flags.settings("cache_dir")
@flags.parameters
@flags.JSON
def command(
    words: tuple[str, ...], items: tuple[str, ...], run: str | None, output: str | None, given: Given, as_json: bool,
    **options: Any,
) -> int:  # fmt: skip
    """Print what a step gave in the last run: one value, or one for each of its items.

    Without a STEP: what the pipeline gives, if it is up to date; with --run, what the steps gave there whose results no
    other step took. With --set: in the last run with these parameters.
    """
    call = invocation(words, flags.flags_of(options), given)
    if len(call.steps) > 1 or (not call.steps and items):
        raise UsageError("name the one step to show", hint="jpipe show STEP")
    about: dict[str, Any]
    if call.steps:
        about = {"step": call.steps[0]}
        values = _chosen(_values(call, call.steps[0], run), items_of(items), call.steps[0])
    elif run is None:
        about, values = {"pipeline": call.pipeline.name}, _whole(call)
    else:
        row, values = _end_of_run(call, run)
        about = {"pipeline": row.pipeline.rpartition(":")[2], "run": row.number}
    if output is not None:
        from jpipe.report.export import export

        export(Path(output), values)
        call.err.write(line("wrote ", name(output), f"   {size(Path(output).stat().st_size)}"))
    elif as_json:
        shown = [{"label": label, "value": plain_value(value)} for label, value in values.items()]
        click.echo(json.dumps({"v": 1, **about, "items": shown}, indent=2))
    else:
        _print(call, values)
    return ExitCode.OK


def _print(call: Invocation, values: dict[str, Any]) -> None:
    for label, value in list(values.items())[:_MOST_ITEMS]:
        text = value_text(value, call.out.width)
        click.echo(text if len(values) == 1 else f"{label}\n{text}" if "\n" in text else f"{label} {text}")
    if len(values) > _MOST_ITEMS:
        left = counted(len(values) - _MOST_ITEMS, "more item")
        call.err.write(line(dim(f"and {left}: --item N shows one, --json all")))


def _whole(call: Invocation) -> dict[str, Any]:
    """What the pipeline returns."""
    from jpipe import api

    try:
        return {call.pipeline.name: api.stored_value(call.pipeline, call.parameters, call.settings.cache_dir)}
    except CacheMiss as error:
        raise CacheMiss(error.message, hint=f"run it first: {call.commands.text('run')}") from None


def _end_of_run(call: Invocation, run: str) -> tuple[RunRow, dict[str, Any]]:
    """What the steps gave in a run whose results no other step of it took, by label.

    What its pipeline made of them is in no journal, and the pipeline file may say something else by now.
    """
    from jpipe.decide.run_results import log_with_results

    folder, rows = journals_of(call)
    row = run_meant(call, rows, run)
    log = log_with_results(folder, rows, row)
    needs = log.start.get("needs")
    taken = {need for step, found in needs.items() for need in found if need != step} if isinstance(needs, dict) else ()
    values: dict[str, Any] = {}
    for step in log.filed:
        if step not in taken:
            values |= _chosen(_values(call, step, run), (), step)
    if not values:
        raise NothingSelectedError(f"it is not known what run #{row.number} gave", hint=list_hint(call))
    return row, values


def _values(call: Invocation, step: str, run: str | None) -> dict[int, tuple[str, Any]]:
    """By number, the label and the result of each item of a step."""
    folder = call.cache_dir
    if not folder.exists():
        raise CacheMiss(f"there is no cache {folder} yet", hint=f"run the pipeline first: {call.commands.text('run')}")
    # Results that hold instances of the user's classes name the modules beside the pipeline file.
    call.make_importable()
    from jpipe.history.last_run import History

    store = call.open_cache()
    found = _of_run(call, store, step, run)
    if found is not None:
        return found
    known = _steps_of(History(store))
    if step not in known:
        near = nearest(step, known)
        hint = f"did you mean {near}?" if near else f"it has those of {', '.join(known) or 'none'}"
        if not known and store.foreign()[0]:
            hint = foreign_text(store.foreign()[1])
        raise CacheMiss(f"the cache has no result of a step {step!r}", hint=hint)
    if run is not None or call.parameters:
        raise NothingSelectedError(f"no such run has results of {step}", hint=list_hint(call))
    from jpipe.decide.stored_results import results_of

    return {number: (f"{step}[{number}]", value) for number, value in enumerate(results_of(store, step))}


def _of_run(call: Invocation, store: Store, step: str, run: str | None) -> dict[int, tuple[str, Any]] | None:
    """What the chosen run gave; None where its journal, or that of every run, tells nothing of the step."""
    from jpipe.decide.run_results import log_with_results, results_in_run

    try:
        folder, rows = journals_of(call)
    except NothingSelectedError:
        return None
    for row in [run_meant(call, rows, run)] if run is not None else reversed(_with_parameters(call, rows)):
        log = log_with_results(folder, rows, row)
        if step in log.filed:
            items = [item for item in results_in_run(store, log, step) if item.content]
            if not items:
                continue
            gone = next((item for item in items if item.where is None), None)
            if gone is not None:
                usual = f"run the pipeline again: {call.commands.text('run')}"
                hint = foreign_text(store.foreign()[1]) if store.foreign()[0] else usual
                raise CacheMiss(f"{gone.label} of run #{row.number} is not in the cache any more", hint=hint)
            values = store.load_many(item.where for item in items if item.where is not None)
            return {item.number: (item.label, value) for item, value in zip(items, values, strict=True)}
    return None


def _with_parameters(call: Invocation, rows: list[RunRow]) -> list[RunRow]:
    """The runs that had the parameters that are given."""
    if not call.parameters:
        return rows
    from jpipe.history.journal_writer import text_of

    texts = {parameter: text_of(value) for parameter, value in call.parameters.items()}
    return [row for row in rows if all(row.parameters.get(name) == text for name, text in texts.items())]


def _steps_of(history: History) -> list[str]:
    return list(dict.fromkeys(step for run in history.last_runs() for step in run.calls))


def _chosen(values: dict[int, tuple[str, Any]], items: tuple[int, ...], step: str) -> dict[str, Any]:
    """By label, the items that are asked for; labels that stand twice get their numbers."""
    missing = [item for item in items if item not in values]
    if missing:
        known = counted(len(values), "item")
        raise NothingSelectedError(f"{step} has {known}, counted from 0: there is no item {missing[0]}")
    labels = [label for label, _ in values.values()]
    are_distinct = len(set(labels)) == len(labels)
    wanted = items or tuple(values)
    return {values[item][0] if are_distinct else f"{step}[{item}]": values[item][1] for item in wanted}
