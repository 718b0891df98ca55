"""``jpipe diff``: what an edit did to the results."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from jpipe.cli import flags
from jpipe.cli.invocation import Invocation, invocation
from jpipe.cli.runs_meant import journals_of, list_hint, run_meant
from jpipe.errors import ExitCode, NothingSelectedError, did_you_mean

if TYPE_CHECKING:
    from jpipe.history.journal_reader import RunRow

__all__ = ["command"]


@click.command("diff")
@flags.PLACE
@click.option("--run", "compared", nargs=2, metavar="RUN RUN", help="These runs of jpipe history: 10 12, or -2 -1.")
@click.option("--tolerance", type=click.FloatRange(0), default=0.0, help="Numbers closer than this share are the same.")
@click.option("--absolute", type=click.FloatRange(0), default=0.0, help="Numbers closer than this are the same.")
@flags.settings("cache_dir")
@flags.JSON
def command(
    words: tuple[str, ...],
    compared: tuple[str, str] | None,
    tolerance: float,
    absolute: float,
    as_json: bool,
    **options: Any,
) -> int:
    """Say how the results of two runs differ, item by item, with what changed in the code.

    Without --run: of the last run, and of the last one before it that gave something else. With STEPs, only of these.
    """
    call = invocation(words, flags.flags_of(options))
    folder, rows = journals_of(call)
    pair = _pair(call, folder, rows, compared)
    # Results that hold instances of the user's classes name the modules beside the pipeline file.
    call.make_importable()
    from jpipe.compare.model import Tolerance
    from jpipe.decide.result_differences import differences_between

    store = call.open_cache()
    found = differences_between(store, folder, rows, pair, call.steps, Tolerance(tolerance, absolute))
    _refuse_unknown(call.steps, [step.step for step in found.runs.steps])
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=2))
        return ExitCode.OK
    from jpipe.render.difference_text import difference_lines

    call.out.write(*difference_lines(found, call.commands))
    return ExitCode.OK


def _pair(call: Invocation, folder: str, rows: list[RunRow], compared: tuple[str, str] | None) -> tuple[RunRow, RunRow]:
    from jpipe.decide.run_results import runs_that_differ

    if compared:
        return run_meant(call, rows, compared[0]), run_meant(call, rows, compared[1])
    last = [row for row in rows if row.pipeline == rows[-1].pipeline]
    pair = runs_that_differ(folder, last, call.steps)
    if pair is None:
        what = f" of {', '.join(call.steps)}" if call.steps else ""
        raise NothingSelectedError(f"no two runs that are kept gave different results{what}", hint=list_hint(call))
    return pair


def _refuse_unknown(asked: tuple[str, ...], known: list[str]) -> None:
    for step in asked:
        if step not in known:
            hint = did_you_mean(step, known, f"they have {', '.join(known) or 'none'}")
            raise NothingSelectedError(f"these runs have no step {step!r}", hint=hint)
