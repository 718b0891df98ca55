"""``jpipe history``: the runs, and what differs between two of them."""

from __future__ import annotations

import json
from typing import Any

import click

from jpipe.cli import flags
from jpipe.cli.invocation import invocation
from jpipe.cli.runs_meant import journals_of, run_meant
from jpipe.errors import ExitCode

__all__ = ["command"]

_SHOWN = 20


@click.command("history")
@flags.PLACE
@click.option("--diff", "compared", nargs=2, metavar="RUN RUN", help="What differs between two runs: 10 12, or -2 -1.")
@click.option("--all", "everything", is_flag=True, help=f"All runs that are kept, not only the last {_SHOWN}.")
@flags.settings("cache_dir")
@flags.JSON
def command(
    words: tuple[str, ...], compared: tuple[str, str] | None, everything: bool, as_json: bool, **options: Any
) -> int:
    """List the runs: when, how long, what ran, what had changed, with which parameters."""
    call = invocation(words, flags.flags_of(options))
    folder, rows = journals_of(call)
    if compared:
        from jpipe.decide.run_comparison import compare
        from jpipe.history.last_run import History
        from jpipe.render.history_text import comparison_lines

        history = History(call.open_cache())
        found = compare(folder, rows, run_meant(call, rows, compared[0]), run_meant(call, rows, compared[1]), history)
        if as_json:
            click.echo(json.dumps(found.to_json(), indent=2))
        else:
            call.out.write(*comparison_lines(found))
        return ExitCode.OK
    shown = rows if everything or as_json else rows[-_SHOWN:]
    if as_json:
        click.echo(json.dumps({"v": 1, "runs": [row.to_json() for row in shown]}, indent=2))
        return ExitCode.OK
    from jpipe.render.history_text import history_lines

    call.out.write(*history_lines(shown, len(rows)))
    return ExitCode.OK
