"""What a notebook shows of plans, runs, graphs, steps and pipelines: text, and HTML without scripts.

Nothing is known of the page around it but that text has a colour: pictures take that for words, and fills that let any
ground through, so that they read in light and dark themes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from jpipe.define.graph import Graph
from jpipe.define.pipeline import Pipeline
from jpipe.define.step import Step
from jpipe.model.plan import Plan
from jpipe.model.run_report import Outcomes, Run, StepResults
from jpipe.render.failure_text import failures_screen
from jpipe.render.humanize import counted, size, took
from jpipe.render.plan_text import plan_lines
from jpipe.render.printed_commands import Commands
from jpipe.render.source_excerpt import short_path
from jpipe.render.styled_text import Line
from jpipe.report.graph_drawing import SIGNS
from jpipe.report.graph_model import Box, State, boxes_of_plan, clustered, state_of
from jpipe.report.graph_svg import graph_svg, legible
from jpipe.report.thumbnails import thumbnail
from jpipe.system.notebook_cells import cell_name

__all__ = ["display_forms"]

_MOST_BOXES = 80
_MOST_ITEMS = 6
_WIDTH = 100
_STYLE = (
    "--jp-page:transparent;--jp-ink:currentColor;--jp-soft:currentColor;--jp-line:#8f8f8f;--jp-faint:#8884;"
    "--jp-good-fill:#2da44e2e;--jp-good-line:#2da44e;--jp-bad-fill:#d9363e2e;--jp-bad-line:#d9363e;"
    "--jp-warn-fill:#c98a002e;--jp-warn-line:#c98a00;--jp-live-fill:#388bfd2e;--jp-live-line:#388bfd;"
    "--jp-dim-fill:#8881;--jp-dim-line:#8f8f8f;--jp-none-fill:transparent;--jp-none-line:#8f8f8f"
)
_NO_COMMANDS = Commands(known=())


def display_forms(thing: Any) -> dict[str, str]:
    """A thing as a notebook's mime bundle; one that is known here in no other form has only its repr."""
    if isinstance(thing, Plan):
        boxes = boxes_of_plan(thing)
        text = _text(plan_lines(thing, 1, _NO_COMMANDS))
        return _forms(text, f"{_picture(boxes, thing.pipeline)}{_pre(text)}")
    if isinstance(thing, Graph):
        boxes = _boxes_of_graph(thing)
        svg = graph_svg(clustered(boxes, _MOST_BOXES), f"The steps of {thing.name}")
        return {**_forms(_graph_text(thing), _picture(boxes, thing.name)), "image/svg+xml": svg}
    if isinstance(thing, Run):
        return _run(thing)
    if isinstance(thing, Outcomes):
        return _forms(_outcomes_text(thing), _outcomes(thing))
    if isinstance(thing, StepResults):
        return _forms(repr(thing), _results(thing))
    if isinstance(thing, (Step, Pipeline)):
        return _declared(thing)
    return {"text/plain": repr(thing)}


def _forms(text: str, html: str) -> dict[str, str]:
    return {"text/plain": text, "text/html": f'<div style="{_STYLE}">{html}</div>'}


def _run(run: Run) -> dict[str, str]:
    head = f"{run.pipeline}: {run.outcome.value} in {took(run.seconds)}"
    failures = _text(failures_screen(run.failures, _NO_COMMANDS)) if run.failures else ""
    text = "\n".join(filter(None, [head, _outcomes_text(run.outcomes), failures]))
    boxes = []
    for step in run.plan.steps:
        ended = run.outcomes.get(step.name)
        state = State.BLOCKED if ended is None else state_of(ended.failed, ended.interrupted, ended.blocked, ended.ran)
        axes = step.axes if step.items > 1 else ()
        nbytes = ended.nbytes if ended is not None else 0
        boxes.append(Box(step.name, state, step.needs, ended.items if ended else step.items, axes, 0.0, nbytes))
    html = f"<p><b>{legible(head)}</b></p>{_picture(boxes, run.pipeline)}{_outcomes(run.outcomes)}"
    return _forms(text, html + (_pre(failures) if failures else ""))


def _outcomes(outcomes: Outcomes) -> str:
    """By step, what became of its items."""
    rows = []
    for end in outcomes.values():
        state = state_of(end.failed, end.interrupted, end.blocked, end.ran)
        saved = took(end.seconds_saved) if end.seconds_saved >= 0.05 else ""
        cells = [
            f"{SIGNS[state]} {state.value}",
            f"{end.items:,}",
            f"{end.ran:,}",
            f"{end.cached:,}",
            f"{end.failed:,}",
        ]
        rows.append([end.step, *cells, took(end.seconds) if end.ran else "", saved, size(end.nbytes)])
    return _table(("step", "", "items", "ran", "cached", "failed", "time", "saved", "results"), rows)


def _outcomes_text(outcomes: Outcomes) -> str:
    width = max(map(len, outcomes), default=0)
    lines = []
    for end in outcomes.values():
        failed = f", {end.failed:,} failed" if end.failed else ""
        counts = f"{counted(end.items, 'item')}: {end.ran:,} ran, {end.cached:,} cached{failed}"
        lines.append(f"{end.step:<{width}}  {end.outcome.value}, {counts}")
    return "\n".join(lines)


def _results(results: StepResults) -> str:
    """The first results of a step, small."""
    frame = "border:1px solid #8884;border-radius:4px;padding:4px 8px"
    cards = "".join(
        f'<div style="{frame}"><div>{number}</div>{thumbnail(value)}</div>'
        for number, value in enumerate(results[:_MOST_ITEMS])
    )
    left = len(results) - _MOST_ITEMS
    more = f"<p>and {counted(left, 'more item')}</p>" if left > 0 else ""
    return f'<div style="display:flex;flex-wrap:wrap;gap:8px">{cards}</div>{more}'


def _declared(thing: Step[..., Any] | Pipeline[..., Any]) -> dict[str, str]:
    signature = thing.signature if isinstance(thing, Step) else thing.parameters
    kind = "step" if isinstance(thing, Step) else "pipeline"
    code = getattr(thing.function, "__code__", None)
    file = cell_name(code.co_filename) if code is not None else ""
    where = f"{short_path(file)}:{code.co_firstlineno}" if code is not None else ""
    said = (thing.function.__doc__ or "").strip().partition("\n")[0]
    head = f"{thing.name}{signature}"
    text = "\n".join(filter(None, [f"{kind} {head}", said, where]))
    html = f"<div><code>{kind} <b>{legible(thing.name)}</b>{legible(str(signature))}</code></div>"
    return _forms(text, html + "".join(f"<div>{legible(one)}</div>" for one in (said, where) if one))


def _boxes_of_graph(graph: Graph) -> list[Box]:
    boxes = []
    for name in graph.order():
        needs = tuple(need for need in graph.steps.predecessors(name) if need != name)
        boxes.append(Box(name, State.NONE, needs, graph.steps.nodes[name]["calls"]))
    return boxes


def _graph_text(graph: Graph) -> str:
    needs = {box.name: box.needs for box in _boxes_of_graph(graph)}
    return "\n".join([repr(graph), *(f"  {name}" + (f" ← {', '.join(n)}" if n else "") for name, n in needs.items())])


def _picture(boxes: Sequence[Box], title: str) -> str:
    svg = graph_svg(clustered(boxes, _MOST_BOXES), f"The steps of {title} and what each needs")
    return f'<div style="overflow-x:auto">{svg}</div>'


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    left = "text-align:left"
    top = "".join(f'<th style="{left}">{name}</th>' for name in head)
    body = "".join(
        f'<tr><th style="{left}">{legible(row[0])}</th>'
        + "".join(f"<td>{legible(cell)}</td>" for cell in row[1:])
        + "</tr>"
        for row in rows
    )
    return f"<table><tr>{top}</tr>{body}</table>"


def _text(lines: Iterable[Line]) -> str:
    return "\n".join("".join(text for text, _ in one) for one in lines)


def _pre(text: str) -> str:
    return f"<pre>{legible(text)}</pre>"
