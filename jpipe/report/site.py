"""What ``jpipe ui`` answers: the list of runs, the page of each, also of one that is going on, and differences."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from jpipe.decide.result_differences import differences_between
from jpipe.errors import JpipeError
from jpipe.history.journal_reader import RunRow, find_run
from jpipe.history.journal_writer import SUFFIX
from jpipe.history.last_run import History
from jpipe.render.difference_text import difference_lines
from jpipe.render.humanize import ago, took
from jpipe.render.printed_commands import Commands
from jpipe.report.graph_svg import legible
from jpipe.report.item_logs import item_page, step_page
from jpipe.report.page import lines_html, page, scrolling
from jpipe.report.run_document import document_of
from jpipe.report.side_by_side import figures_html
from jpipe.report.write_report import report_html
from jpipe.store import Store

__all__ = ["Answer", "Site"]

_LIVE = """
const asked = new URLSearchParams(location.search);
let size = SIZE;
async function look() {
  try {
    asked.set("size", size);
    const answer = await fetch(location.pathname + "?" + asked);
    if (answer.status === 200) {
      const told = await answer.json();
      size = told.size;
      if (told.over) { location.reload(); return; }
      renew(new DOMParser().parseFromString(told.page, "text/html"));
    }
  } catch { document.title = "ended · " + document.title; return; }
  setTimeout(look, 1000);
}
setTimeout(look, 1000);
"""
"""Asks each second whether the journal has grown, and puts the new page in the place of the old one."""


_EARLY = 5.0
"""A run is still the one that is meant if it began so many seconds before this."""


class Answer(NamedTuple):
    """A status, what kind of content, and the content."""

    status: int
    kind: str
    body: str


class Site:
    """The pages of a cache.

    Parameters
    ----------
    store, folder
        The cache, and where its journals are.
    rows
        Gives the runs, oldest first, as they are now.
    commands
        How to call jpipe about the pipeline.
    """

    def __init__(self, store: Store, folder: str, rows: Callable[[], list[RunRow]], commands: Commands) -> None:
        self._store = store
        self._folder = folder
        self._rows = rows
        self._commands = commands
        self._since = time.time() - _EARLY

    def answer(self, path: str, query: Mapping[str, str]) -> Answer:
        """The answer to a request; nothing that is asked for changes anything."""
        try:
            match path.strip("/").split("/"):
                case [""]:
                    return _html(self._runs())
                case ["live"]:
                    return self._newest(query)
                case ["run", name]:
                    return self._run(find_run(self._rows(), name), query)
                case ["run", name, "log"] if "step" in query:
                    return self._run(find_run(self._rows(), name), query)
                case ["diff", one, other]:
                    return _html(self._differences(one, other))
                case _:
                    return Answer(404, "text/plain", "there is no such page")
        except JpipeError as error:
            return Answer(404, "text/plain", str(error))

    def _newest(self, query: Mapping[str, str]) -> Answer:
        """The page of the run that began when this was started, as soon as it is there."""
        new = [row for row in self._rows() if row.when >= self._since]
        if new:
            return self._run(new[-1], query)
        script = "setTimeout(() => location.reload(), 500);"
        return _html(page("waiting", "<h1>The run begins …</h1>", [], script=script))

    def _runs(self) -> str:
        rows = self._rows()
        head = ("run", "when", "outcome", "took", "ran", "cached", "failed", "changed", "parameters", "against before")
        cells = "".join(self._row(row, rows) for row in reversed(rows))
        top = "".join(f'<th scope="col" class=jp-text>{name}</th>' for name in head)
        table = f'<table class="jp-steps"><thead><tr>{top}</tr></thead><tbody>{cells}</tbody></table>'
        return page("jpipe", "<h1>Runs</h1>", [("runs", "Runs", scrolling(table, "Table of the runs"))])

    def _row(self, row: RunRow, rows: list[RunRow]) -> str:
        before = [one for one in rows if one.pipeline == row.pipeline and one.number < row.number]
        given = ", ".join(f"{name}={row.parameters.get(name, '')}" for name in row.given)
        compared = f'<a href="/diff/{before[-1].number}/{row.number}">differences</a>' if before else ""
        named = f"#{row.number} {row.pipeline.rpartition(':')[2]}"
        texts = [
            ago(time.time() - row.when),
            row.outcome,
            took(row.seconds),
            f"{row.ran:,}",
            f"{row.cached:,}",
            f"{row.failed:,}",
            ", ".join(row.changed[:3]),
            given,
        ]
        cells = "".join(f"<td class=jp-text>{legible(text)}</td>" for text in texts)
        link = f'<a href="/run/{row.number}">{legible(named)}</a>'
        return f'<tr><th scope="row" class=jp-text>{link}</th>{cells}<td class=jp-text>{compared}</td></tr>'

    def _run(self, row: RunRow, query: Mapping[str, str]) -> Answer:
        """The page of a run, or of a step or an item of it; what a live page asks for again, once it has changed."""
        is_live = row.outcome == "unfinished"
        size = self._size(row)
        if "size" not in query:
            return _html(self._page(row, query, _LIVE.replace("SIZE", str(size)) if is_live else ""))
        if not is_live:
            return Answer(200, "application/json", json.dumps({"over": True, "size": size, "page": ""}))
        if query["size"] == str(size):
            return Answer(204, "text/plain", "")
        told = {"over": False, "size": size, "page": self._page(row, query, "")}
        return Answer(200, "application/json", json.dumps(told))

    def _page(self, row: RunRow, query: Mapping[str, str], script: str) -> str:
        rows = [one for one in self._rows() if one.pipeline == row.pipeline]
        served = f"/run/{row.number}"
        step, item = query.get("step"), query.get("item", "")
        if step is None:
            return report_html(self._store, self._folder, rows, row, self._commands, script=script, served=served)
        document = document_of(self._folder, rows, row, History(self._store))
        if item.isdecimal():
            return item_page(document, step, int(item), self._commands, served, script)
        return step_page(document, step, served, script)

    def _size(self, row: RunRow) -> int:
        try:
            return os.stat(os.path.join(self._folder, f"{row.run}{SUFFIX}")).st_size
        except OSError:
            return 0

    def _differences(self, one: str, other: str) -> str:
        rows = self._rows()
        pair = find_run(rows, one), find_run(rows, other)
        found = differences_between(self._store, self._folder, rows, pair)
        inside = lines_html(difference_lines(found, self._commands)) + "".join(map(figures_html, found.steps))
        header = f'<h1>Run #{pair[0].number} against run #{pair[1].number}</h1><p><a href="/">all runs</a></p>'
        return page("differences", header, [("differences", "Differences", inside)])


def _html(text: str) -> Answer:
    return Answer(200, "text/html", text)
