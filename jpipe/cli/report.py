"""``jpipe report``: what a run did and gave, as one HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jpipe.cli import flags
from jpipe.cli.invocation import Invocation, invocation
from jpipe.cli.runs_meant import journals_of, run_meant
from jpipe.errors import ExitCode
from jpipe.render.humanize import size
from jpipe.render.styled_text import line, name

if TYPE_CHECKING:
    from jpipe.history.journal_reader import RunRow

__all__ = ["command", "write_reports"]


@click.command("report")
@flags.PLACE
@click.option("--run", "run", metavar="RUN", default="-1", help="This run of jpipe history; default the last.")
@click.option("-o", "--output", metavar="FILE", help="Where to; default report.html.")
@click.option("--trace", metavar="FILE", help="Write only the timeline, in the format of Chrome's tracing.")
@flags.settings("cache_dir")
def command(words: tuple[str, ...], run: str, output: str | None, trace: str | None, **options: Any) -> int:
    """Write what a run did and gave as one HTML page, which needs no network and no server.

    Graph with the critical path, timeline by worker, table of steps, what changed and what that did to the results,
    thumbnails of results, failures, parameters and versions.
    """
    call = invocation(words, flags.flags_of(options))
    folder, rows = journals_of(call)
    write_reports(
        call, folder, rows, run_meant(call, rows, run), output or ("" if trace else "report.html"), trace or ""
    )
    return ExitCode.OK


def write_reports(call: Invocation, folder: str, rows: list[RunRow], row: RunRow, page: str, trace: str) -> None:
    """Write the report of a run, its timeline, or both, and say so."""
    # Results that hold instances of the user's classes name the modules beside the pipeline file.
    call.make_importable()
    from jpipe.report.write_report import report_html, write_file, write_trace

    store = call.open_cache()
    if page:
        write_file(Path(page), report_html(store, folder, rows, row, call.commands))
    if trace:
        write_trace(Path(trace), store, folder, rows, row)
    for file in filter(None, (page, trace)):
        call.err.write(line("wrote ", name(file), f"   {size(Path(file).stat().st_size)}"))
