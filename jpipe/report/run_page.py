"""A run as a page: graph, timeline, steps, what changed and what that did, results, failures, surroundings."""

from __future__ import annotations

import json
import os
import shlex
import time
from collections.abc import Mapping, Sequence
from typing import Any

from jpipe.decide.result_differences import ResultDifferences
from jpipe.render.difference_text import step_lines
from jpipe.render.failure_text import failures_screen
from jpipe.render.humanize import brief, counted, size, took
from jpipe.render.printed_commands import Commands
from jpipe.report.graph_drawing import SIGNS
from jpipe.report.graph_model import clustered
from jpipe.report.graph_svg import graph_svg, legible
from jpipe.report.item_logs import item_place, logs_html
from jpipe.report.page import diff_html, lines_html, page, scrolling
from jpipe.report.run_document import RunDocument, StepRow, critical_path
from jpipe.report.side_by_side import figures_html
from jpipe.report.timeline import lanes_of, timeline_svg

__all__ = ["run_page"]

_MOST_BOXES = 80
_MOST_OPEN = 12
_COLUMNS = (
    ("step", "text"),
    ("state", "text"),
    ("items", "number"),
    ("ran", "number"),
    ("cached", "number"),
    ("failed", "number"),
    ("time", "number"),
    ("share", "number"),
    ("longest item", "number"),
    ("saved", "number"),
    ("memory", "number"),
    ("results", "number"),
)


def run_page(
    document: RunDocument,
    results: Mapping[str, str],
    differences: ResultDifferences | None,
    commands: Commands,
    *,
    script: str = "",
    served: str = "",
) -> str:
    """The page.

    Parameters
    ----------
    document
        The run.
    results
        By step, its results as HTML.
    differences
        What differs from the last run before it that gave something else.
    commands
        How to call jpipe about the pipeline.
    script
        More script: what keeps a live page up to date.
    served
        The address of the page, where a server shows it.
    """
    path = critical_path(document.bars, document.boxes)
    sections = [
        ("failures", "Failures", _failures(document, commands)),
        ("graph", "Graph", _graph(document, path)),
        ("timeline", "Timeline", _timeline(document, path, served)),
        ("steps", "Steps", _steps(document)),
        ("changed", "What changed", _changes(document, differences, commands)),
        ("results", "Results", _results(document, results)),
        ("logs", "Output of items", logs_html(document, commands, served)),
        ("surroundings", "Parameters and versions", _surroundings(document)),
    ]
    title = f"{document.row.pipeline.rpartition(':')[2]} · run #{document.row.number}"
    return page(title, _header(document), sections, script=script, head=_data(document))


def _header(document: RunDocument) -> str:
    row = document.row
    words = {"ran": "ok", "cached": "up to date"}
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(row.when))
    kind = "jp-bad" if row.outcome == "failed" else "jp-good" if row.outcome in words else "jp-warn"
    items = row.ran + row.cached
    facts = [
        brief(row.seconds) if row.seconds else "",
        when,
        f"commit {row.commit[:7]}" if row.commit else "",
        counted(int(document.log.start.get("jobs") or 0), "worker") if document.log.start.get("jobs") else "",
        f"{row.cached / items * 100:.0f}% from cache" if items else "",
        f"saved {took(sum(step.saved for step in document.steps))}" if any(s.saved for s in document.steps) else "",
    ]
    told = [f"{row.ran:,} ran", f"{row.cached:,} cached", f"{row.failed:,} failed", f"{row.blocked:,} not started"]
    slowest = max(document.steps, key=lambda step: step.busy, default=None)
    busy = sum(step.busy for step in document.steps)
    line = ""
    if slowest is not None and slowest.busy > 0:
        line = f"<p>{legible(slowest.name)} took {slowest.busy / busy * 100:.0f}% of the working time.</p>"
    name, outcome = legible(row.pipeline.rpartition(":")[2]), legible(words.get(row.outcome, row.outcome))
    return (
        f'<h1>{name} · run #{row.number} · <span class="{kind}">{outcome}</span></h1>'
        f'<p class="jp-soft">{" · ".join(legible(fact) for fact in facts if fact)}</p>'
        f'<p class="jp-soft">{" · ".join(told)}</p>{line}'
    )


def _graph(document: RunDocument, path: Sequence[str]) -> str:
    if not document.boxes:
        return ""
    boxes = clustered(document.boxes, _MOST_BOXES)
    links = len(boxes) == len(document.boxes)
    title = f"The steps of {document.row.pipeline} and what each needs"
    folded = "" if links else f'<p class="jp-small">{len(document.boxes)} steps, alike ones together</p>'
    return folded + scrolling(graph_svg(boxes, title, critical=path, links=links), "Graph of the steps")


def _timeline(document: RunDocument, path: Sequence[str], served: str) -> str:
    if not document.bars:
        return ""
    seconds = document.row.seconds
    lanes = lanes_of(document.bars, seconds, int(document.log.start.get("jobs") or 1))
    workers = [lane for lane in lanes if lane.worker] or lanes
    idle = sum(lane.idle for lane in workers) / len(workers)
    waited = " → ".join(legible(step) for step in path[-12:])
    names = [step.name for step in document.steps]
    drawn = timeline_svg(
        lanes, seconds, names, lambda bar: item_place(bar.step, bar.item, served) if bar.item >= 0 else ""
    )
    return (
        f"<p>{counted(len(workers), 'worker')}, {idle * 100:.0f}% idle on average. "
        f"The run waited for: {waited}.</p>" + scrolling(drawn, "Timeline by worker")
    )


def _steps(document: RunDocument) -> str:
    busy = sum(step.busy for step in document.steps) or 1.0
    head = ""
    for name, kind in _COLUMNS:
        side = " class=jp-text" if kind == "text" else ""
        head += f'<th scope="col"{side} data-kind="{kind}"><button type="button">{name}</button></th>'
    rows = "".join(_row(number, step, busy) for number, step in enumerate(document.steps))
    table = f'<table class="jp-steps"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
    return scrolling(table, "Table of the steps")


def _row(number: int, step: StepRow, busy: float) -> str:
    share = step.busy / busy
    name = legible(step.name)
    cells = [
        (f"{SIGNS[step.state]} {step.state.value}", step.state.value),
        (f"{step.items:,}", step.items),
        (f"{step.ran:,}" if step.ran else "", step.ran),
        (f"{step.cached:,}" if step.cached else "", step.cached),
        (f'<span class="jp-bad">✗ {step.failed:,}</span>' if step.failed else "", step.failed),
        (brief(step.busy) if step.busy else "", step.busy),
        (
            f'{share * 100:.0f}% <span class="jp-share" style="width:{share * 40:.0f}px"></span>'
            if share > 0.005
            else "",
            share,
        ),
        (brief(step.longest) if step.longest else "", step.longest),
        (brief(step.saved) if step.saved else "", step.saved),
        (size(step.peak_memory) if step.peak_memory else "", step.peak_memory),
        (size(step.nbytes) if step.nbytes else "", step.nbytes),
    ]
    told = "".join(
        f'<td{" class=jp-text" if isinstance(key, str) else ""} data-key="{key}">{text}</td>' for text, key in cells
    )
    return f'<tr id="step-{number}"><th scope="row" data-key="{name}">{name}</th>{told}</tr>'


def _changes(document: RunDocument, differences: ResultDifferences | None, commands: Commands) -> str:
    parts = []
    ran = [step for step in document.steps if step.ran or step.failed]
    new = [step.name for step in ran if {reason.get("kind") for reason in step.reasons} == {"never ran"}]
    if new:
        parts.append(f"<p>Never ran before: {legible(', '.join(new))}</p>")
    for step in (step for step in ran if step.name not in new):
        reasons = [_reason(reason) for reason in step.reasons]
        if reasons:
            again = f"{counted(step.ran, 'item')} ran for it{f', {step.failed:,} failed' if step.failed else ''}"
            parts.append(f'<h3>{legible(step.name)} <span class="jp-small">{again}</span></h3>{"".join(reasons)}')
    if differences is not None:
        parts.append(_numbers(differences, commands))
    return "".join(parts)


def _reason(reason: Mapping[str, Any]) -> str:
    kind, thing = str(reason.get("kind") or ""), str(reason.get("object") or "")
    detail = f": {reason['detail']}" if reason.get("detail") else ""
    where = f"   {reason['file']}:{reason.get('line') or ''}".rstrip(":") if reason.get("file") else ""
    text = kind if kind in ("never ran", "forced", "failed last time") else f"{kind} {thing}{detail}"
    diff = diff_html(str(reason["diff"])) if reason.get("diff") else ""
    return f'<p>{legible(text)} <span class="jp-small">{legible(where)}</span></p>{diff}'


def _numbers(differences: ResultDifferences, commands: Commands) -> str:
    one, other = differences.runs.one, differences.runs.other
    parts = [f"<h3>What that did to the results, against run #{one.number}</h3>"]
    for name, old, new in differences.runs.parameters:
        parts.append(f"<p>parameter {legible(name)}: {legible(str(old))} → {legible(str(new))}</p>")
    told = [step for step in differences.steps if step.differs]
    parts += [lines_html(step_lines(step)) + figures_html(step) for step in told]
    same = sum(step.unchanged for step in differences.steps)
    unread = sum(step.unread for step in differences.steps)
    command = commands.text("diff", "--run", str(one.number), str(other.number), parameters=False)
    more = f", {unread:,} not compared for want of time{f': {command} does' if command else ''}" if unread else ""
    parts.append(f'<p class="jp-small">{counted(same, "result")} unchanged{legible(more)}</p>')
    return "".join(parts)


def _results(document: RunDocument, results: Mapping[str, str]) -> str:
    """The results by step; of many steps those that nothing else takes are open, and all others folded."""
    idle = [step for step in document.steps if not (step.ran or step.cached) and step.name not in results]
    without = [f"{step.name} ({step.state.value})" for step in idle]
    missing = f'<p class="jp-small">Without a result: {legible(", ".join(without))}</p>' if without and results else ""
    if len(results) <= _MOST_OPEN:
        return missing + "".join(f"<h3>{legible(step)}</h3>{inside}" for step, inside in results.items())
    taken = {need for box in document.boxes for need in box.needs}
    return missing + "".join(
        f"<details{'' if step in taken else ' open'}><summary>{legible(step)}</summary>{inside}</details>"
        for step, inside in results.items()
    )


def _failures(document: RunDocument, commands: Commands) -> str:
    return lines_html(failures_screen(document.failures, commands)) if document.failures else ""


def _surroundings(document: RunDocument) -> str:
    row, start = document.row, document.log.start or document.results.start
    command = [str(word) for word in found] if isinstance(found := start.get("command"), list) else []
    if command and os.path.basename(command[0]) in ("__main__.py", "jpipe", "jpipe.exe"):
        command[0] = "jpipe"  # not where it is installed
    rows = [(name, value + ("" if name in row.given else "   (default)")) for name, value in row.parameters.items()]
    rows += [
        ("pipeline", row.pipeline),
        ("run", row.run),
        ("command", shlex.join(command)),
        ("commit", row.commit),
        ("Python", f"{start.get('python') or ''} {start.get('platform') or ''}".strip()),
        ("packages", ", ".join(document.packages)),
    ]
    return "<dl>" + "".join(f"<dt>{legible(k)}</dt><dd>{legible(v)}</dd>" for k, v in rows if v) + "</dl>"


def _data(document: RunDocument) -> str:
    """The run's row and its steps, for programs that read the file; ``<`` is written so that no tag can begin in it."""
    steps = [{**step._asdict(), "state": step.state.value, "reasons": list(step.reasons)} for step in document.steps]
    text = json.dumps({"v": 1, "run": document.row.to_json(), "steps": steps}, default=str)
    text = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return f'<script type="application/json" id="jpipe-data">{text}</script>\n'
