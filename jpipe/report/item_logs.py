"""What items printed and failed with, as parts of pages: under the report of a run, and of one step or item alone."""

from __future__ import annotations

from urllib.parse import urlencode

from jpipe.history.journal_reader import ItemLog
from jpipe.render.failure_text import failure_screen
from jpipe.render.humanize import brief, counted, size
from jpipe.render.journal_text import failure_of
from jpipe.render.printed_commands import Commands
from jpipe.report.graph_svg import legible
from jpipe.report.page import lines_html, page, scrolling
from jpipe.report.run_document import RunDocument

__all__ = ["item_page", "item_place", "logs_html", "step_page"]

_MOST_OUTPUT = 4000
_MOST_PRINTED = 100_000
_MOST_ROWS = 1000


def item_place(step: str, item: int, served: str = "") -> str:
    """Where the log of an item is: on a page of its own where the run's page is served, else on the run's page."""
    asked = urlencode({"step": step, "item": item}, errors="replace")
    return f"{served}/log?{asked}" if served else f"#log-{asked}"


def logs_html(document: RunDocument, commands: Commands, served: str = "") -> str:
    """What items failed with and printed, failed ones first, then by step, until there is enough of it.

    Parameters
    ----------
    document
        The run.
    commands
        How to call jpipe about it.
    served
        Where the run's page is, where a server shows it: then each item and step has a page of its own, too.
    """
    telling = _telling(document)
    parts: list[str] = []
    left = _MOST_PRINTED
    for one in telling:
        inside = _item(one, commands, _MOST_OUTPUT)
        left -= len(inside) + 100
        if left < 0:
            break
        if served:
            inside += f'<p class="jp-small"><a href="{legible(item_place(one.step, one.item, served))}">alone</a></p>'
        anchor, head = legible(item_place(one.step, one.item)[1:]), f"{_mark(one)}{legible(one.label)}"
        parts.append(f'<details id="{anchor}"><summary>{head}</summary>{inside}</details>')
    hidden = counted(len(telling) - len(parts), "more item")
    steps = dict.fromkeys(one.step for one in telling)
    if served:
        places = {step: legible(f"{served}/log?{urlencode({'step': step}, errors='replace')}") for step in steps}
        links = (f'<a href="{place}">{legible(step)}</a>' for step, place in places.items())
        parts.append(f'<p class="jp-small">All items of a step: {", ".join(links)}</p>' if steps else "")
    elif len(parts) < len(telling):
        parts.append(f'<p class="jp-small">and {hidden}: {legible(commands.text("log", parameters=False) or "")}</p>')
    return "".join(parts)


def step_page(document: RunDocument, step: str, served: str, script: str) -> str:
    """The items of a step of which something is known, failed ones and those that warned first."""
    items = sorted(document.log.of_step(step), key=lambda one: (one.failure is None, not one.warned))
    rows = "".join(_row(one, served) for one in items[:_MOST_ROWS])
    head = "".join(
        f'<th scope="col" class=jp-text>{name}</th>' for name in ("item", "outcome", "took", "result", "said")
    )
    table = f'<table class="jp-steps"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
    left = len(items) - _MOST_ROWS
    more = f"<p>and {counted(left, 'more item')}</p>" if left > 0 else ""
    silent = sum(row.ran for row in document.steps if row.name == step) - len(items)
    more += (
        f"<p>{counted(silent, 'item')} ran of which no log was kept: they printed nothing.</p>" if silent > 0 else ""
    )
    inside = scrolling(table, f"Table of the items of {step}") + more if items else "<p>None has come back yet.</p>"
    return page(step, _head(document, step, served), [("items", "Items", inside)], script=script)


def item_page(document: RunDocument, step: str, item: int, commands: Commands, served: str, script: str) -> str:
    """The whole log of an item."""
    found = document.log.of_step(step, item)
    label = found[0].label if found else f"{step}, item {item}"
    inside = "".join(_item(one, commands) for one in found)
    if not found:
        inside = "<p>It has not come back yet, or it printed nothing: what an item says is shown once it ended.</p>"
    return page(label, _head(document, label, served), [("log", "Log", inside)], script=script)


def _telling(document: RunDocument) -> list[ItemLog]:
    found = [one for step in document.steps for one in document.log.of_step(step.name) if one.output or one.failure]
    return sorted(found, key=lambda one: one.failure is None)


def _head(document: RunDocument, title: str, served: str) -> str:
    run = f"{document.row.pipeline.rpartition(':')[2]} · run #{document.row.number}"
    return f'<h1>{legible(title)}</h1><p><a href="{legible(served)}">{legible(run)}</a></p>'


def _mark(item: ItemLog) -> str:
    return '<span class="jp-bad">✗</span> ' if item.failure is not None else ""


def _item(item: ItemLog, commands: Commands, most: int | None = None) -> str:
    """What an item printed, at most so many characters of it, behind what it failed with."""
    failure = failure_of(item.failure) if item.failure is not None else None
    output = failure.output if failure is not None else item.output
    facts = [
        brief(item.seconds),
        size(item.nbytes) if item.nbytes else "",
        f"worker {item.worker}" if item.worker else "",
    ]
    facts += [f"tried {item.attempts} times"] if item.attempts > 1 else []
    told = f'<p class="jp-small">{" · ".join(filter(None, facts))}</p>'
    if failure is not None:
        told = lines_html(failure_screen(failure._replace(output=""), commands))
    return told + (f'<pre tabindex="0">{legible(output[:most])}</pre>' if output else "<p>It printed nothing.</p>")


def _row(item: ItemLog, served: str) -> str:
    said = (item.output or str((item.failure or {}).get("message") or "")).strip().partition("\n")[0][:100]
    word = f"{_mark(item)}{'failed' if item.failure is not None else 'warned' if item.warned else 'ran'}"
    link = f'<a href="{legible(item_place(item.step, item.item, served))}">{legible(item.label)}</a>'
    cells = (word, brief(item.seconds), size(item.nbytes) if item.nbytes else "", legible(said))
    told = "".join(f"<td class=jp-text>{cell}</td>" for cell in cells)
    return f'<tr><th scope="row" class=jp-text>{link}</th>{told}</tr>'
