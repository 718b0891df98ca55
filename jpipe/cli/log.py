"""``jpipe log``: what items printed, and what they failed with."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from jpipe.cli import flags
from jpipe.cli.invocation import invocation
from jpipe.cli.run import items_of
from jpipe.cli.runs_meant import journals_of, list_hint, parameters_of, run_meant
from jpipe.errors import ExitCode, NothingSelectedError, UsageError

if TYPE_CHECKING:
    from jpipe.cli.invocation import Invocation
    from jpipe.history.journal_reader import ItemLog, RunRow

__all__ = ["command"]


@click.command("log")
@flags.PLACE
@click.option("--item", "items", multiple=True, metavar="N", help="Only this item: 7, 0-4 or 3,9,12.")
@click.option("--warnings", is_flag=True, help="Only items that warned or were tried again.")
@click.option("--run", "run", metavar="RUN", help="Of this run of `jpipe history`; default the last in which it ran.")
@flags.settings("cache_dir", "tb")
@flags.JSON
def command(
    words: tuple[str, ...], items: tuple[str, ...], warnings: bool, run: str | None, as_json: bool, **options: Any
) -> int:
    """Show what the items of a STEP printed (stdout, stderr, logging, warnings) and what they failed with.

    Without a STEP: all items of the last run that printed something or failed; of very many, what failed and what
    each step's items said, warnings first.
    """
    call = invocation(words, flags.flags_of(options))
    if len(call.steps) > 1 or (items and not call.steps):
        raise UsageError("name the one step whose items are meant", hint="jpipe log STEP --item 7")
    folder, rows = journals_of(call)
    row, found = _chosen(call, folder, rows, items_of(items), run)
    if warnings:
        found = [one for one in found if one.warned or one.attempts > 1]
    if as_json:
        click.echo(json.dumps({"v": 1, "run": row.to_json(), "items": [one.to_json() for one in found]}, indent=2))
        return ExitCode.OK
    from jpipe.render.journal_text import log_lines

    commands = call.commands._replace(parameters=parameters_of(folder, row))
    call.out.write(*log_lines(row, found, commands, whole=bool(call.steps), tb=call.settings.tb))
    return ExitCode.OK


def _chosen(
    call: Invocation, folder: str, rows: list[RunRow], items: tuple[int, ...], run: str | None
) -> tuple[RunRow, list[ItemLog]]:
    from jpipe.history.journal_reader import last_log_of, log_of

    step = call.steps[0] if call.steps else None
    if run is not None or step is None:
        row = run_meant(call, rows, run) if run is not None else _last_with_work(rows)
        log = log_of(folder, row.run)
        found = log.of_step(step) if step else [one for one in log.items if one.output or one.failure]
    else:
        last = last_log_of(folder, rows, step, items[0] if len(items) == 1 else None)
        if last is None:
            what = f"item {items[0]} of {step}" if len(items) == 1 else step
            raise NothingSelectedError(f"no run that is kept ran {what}", hint=list_hint(call))
        row, found = last
    if items:
        found = [one for one in found if one.item in items]
    if step and not found:
        raise NothingSelectedError(
            f"run #{row.number} ran no such item of {step}", hint="without --run it is the last that did"
        )
    return row, found


def _last_with_work(rows: list[RunRow]) -> RunRow:
    return next((row for row in reversed(rows) if row.outcome != "cached"), rows[-1])
