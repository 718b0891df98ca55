"""The report of a run as one file, and its timeline for Chrome's tracing."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from jpipe.decide.result_differences import ResultDifferences, differences_between
from jpipe.decide.run_results import runs_that_differ
from jpipe.errors import UsageError
from jpipe.history.journal_reader import RunRow
from jpipe.history.last_run import History
from jpipe.render.printed_commands import Commands
from jpipe.report.results_section import Budget, results_html
from jpipe.report.run_document import RunDocument, document_of
from jpipe.report.run_page import run_page
from jpipe.report.timeline import chrome_trace
from jpipe.store import Store

__all__ = ["report_html", "write_file", "write_trace"]

_SECONDS = 0.4
"""Of this process's time, after which no further thumbnails are made, and no further results compared: they are only
counted. What another process takes meanwhile does not count, and what is begun is finished."""
_CHARACTERS = 500_000


def report_html(
    store: Store,
    folder: str,
    rows: Sequence[RunRow],
    row: RunRow,
    commands: Commands,
    *,
    script: str = "",
    served: str = "",
) -> str:
    """The report of a run.

    Parameters
    ----------
    store, folder
        The cache, and where its journals are.
    rows
        The runs of its pipeline.
    row
        The run.
    commands
        How to call jpipe about the pipeline.
    script
        More script for the page.
    served
        The address of the page, where a server shows it.
    """
    document = document_of(folder, rows, row, History(store))
    differences = _differences(store, folder, rows, row)
    budget = Budget(_timer(), _CHARACTERS)
    shown = results_html(store, document.results, _by_interest(document), budget, commands)
    order = [step.name for step in document.steps]
    results = {step: shown[step] for step in sorted(shown, key=order.index)}
    return run_page(document, results, differences, commands, script=script, served=served)


def write_trace(path: Path, store: Store, folder: str, rows: Sequence[RunRow], row: RunRow) -> None:
    """Write the timeline of a run as Chrome's tracing and Perfetto read it."""
    document = document_of(folder, rows, row, History(store))
    write_file(path, json.dumps(chrome_trace(document.bars, row.pipeline.rpartition(":")[2])))


def write_file(path: Path, text: str) -> None:
    """Write a file of text.

    Raises
    ------
    UsageError
        When it cannot be written.
    """
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        hint = "name a file in a folder that exists"
        raise UsageError(f"cannot write {path}: {error.strerror}", hint=hint) from None


def _timer() -> Callable[[], bool]:
    """Says whether there is time left; it begins when it is asked first, which may be after slow imports."""
    begun: list[float] = []

    def has_time() -> bool:
        begun.append(time.process_time())
        return begun[-1] - begun[0] < _SECONDS

    return has_time


def _differences(store: Store, folder: str, rows: Sequence[RunRow], row: RunRow) -> ResultDifferences | None:
    alike = [one for one in rows if one.pipeline == row.pipeline]
    pair = runs_that_differ(folder, alike, until=row)
    if pair is None:
        return None
    has_time = _timer()
    return differences_between(store, folder, alike, pair, enough=lambda: not has_time())


def _by_interest(document: RunDocument) -> list[str]:
    """The steps whose results nothing else takes first, then from the end to the beginning."""
    taken = {need for box in document.boxes for need in box.needs}
    names = [step.name for step in reversed(document.steps)]
    return [name for name in names if name not in taken] + [name for name in names if name in taken]
