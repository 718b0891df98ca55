"""A run as GitHub Actions shows it: annotations at the lines that failed, and a summary of the job."""

from __future__ import annotations

from pathlib import Path
from typing import TextIO

from jpipe.model.events import Event, Failure, ItemFailed, RunEnded, StepEnded
from jpipe.model.mermaid import mermaid_label
from jpipe.model.outcomes import Outcome
from jpipe.render.failure_text import grouped
from jpipe.render.humanize import took
from jpipe.render.run_progress import Standing
from jpipe.render.source_excerpt import short_path

__all__ = ["Annotations", "annotation", "summary"]

_MOST_ANNOTATIONS = 10
"""GitHub shows no more of one kind for one step of a job."""
_MOST_STEPS = 100
_COLORS = {
    Outcome.RAN: "#b7e4c7",
    Outcome.CACHED: "#e9ecef",
    Outcome.FAILED: "#ffadad",
    Outcome.BLOCKED: "#ffe8a3",
    Outcome.INTERRUPTED: "#ffe8a3",
}
_MOST_BYTES = 1_000_000
"""GitHub refuses summaries above one MiB."""


class Annotations:
    """An observer that annotates failures and writes the summary.

    Parameters
    ----------
    stream
        Where workflow commands go; the runner reads both streams.
    summary_file
        Path of the job's summary, or None.
    """

    def __init__(self, stream: TextIO, summary_file: str | None = None) -> None:
        self._stream = stream
        self._summary_file = summary_file
        self._standing = Standing()

    def __call__(self, event: Event) -> None:
        self._standing.take(event)
        if isinstance(event, ItemFailed) and len(self._standing.failures) <= _MOST_ANNOTATIONS:
            self._stream.write(annotation(event.failure) + "\n")
            self._stream.flush()
        if isinstance(event, RunEnded) and self._summary_file:
            try:
                with Path(self._summary_file).open("a", encoding="utf-8") as stream:
                    stream.write(summary(self._standing)[:_MOST_BYTES])
            except OSError as error:
                self._stream.write(f"the job summary could not be written: {error}\n")


def annotation(failure: Failure) -> str:
    """The workflow command that marks a failure at the user's line."""
    own = [frame for frame in failure.frames if frame[3]]
    place = f"file={_property(short_path(own[-1][0]))},line={own[-1][1]}," if own else ""
    text = f"{failure.error_type}: {failure.message}" if failure.error_type else failure.message
    return f"::error {place}title={_property(failure.label)}::{_data(text)}"


def summary(standing: Standing) -> str:
    """The run as Markdown."""
    end = standing.end
    if end is None or standing.start is None:
        return ""
    lines = [
        f"### {standing.start.pipeline}: {end.outcome.value} in {took(end.seconds)}",
        "",
        "| step | outcome | items | ran | cached | failed | not started | took |",
        "|---|---|--:|--:|--:|--:|--:|--:|",
        *(_row(step.ended) for step in standing.steps.values() if step.ended),
        "",
        *_graph(standing),
    ]
    if end.slowest and end.ran > 1:
        lines += [f"The slowest item was {end.slowest[0]}, {took(end.slowest[1])}.", ""]
    for group in grouped(standing.failures)[:_MOST_ANNOTATIONS]:
        more = f" and {len(group) - 1:,} more like it" if len(group) > 1 else ""
        lines += [f"**{group[0].label}**{more}", "", "```", f"{group[0].error_type}: {group[0].message}", "```", ""]
    return "\n".join(lines) + "\n"


def _row(event: StepEnded) -> str:
    counts = (event.items, event.ran, event.cached, event.failed, event.blocked)
    return f"| {event.step} | {event.outcome.value} | {' | '.join(map(str, counts))} | {took(event.seconds)} |"


def _graph(standing: Standing) -> list[str]:
    """The steps as a Mermaid graph, each in the colour of its outcome."""
    needs = standing.start.needs if standing.start else {}
    if len(needs) < 2 or len(needs) > _MOST_STEPS:
        return []
    numbers = {step: number for number, step in enumerate(needs)}
    lines = ["```mermaid", "graph LR"]
    for step, number in numbers.items():
        ended = standing.step(step).ended
        many = f" ×{ended.items:,}" if ended and ended.items > 1 else ""
        state = f":::{ended.outcome.value}" if ended else ""
        lines.append(f'  s{number}["{mermaid_label(step)}{many}"]{state}')
    lines += [f"  s{numbers[need]} --> s{numbers[step]}" for step, taken in needs.items() for need in taken]
    lines += [f"  classDef {outcome.value} fill:{color},color:#000" for outcome, color in _COLORS.items()]
    return [*lines, "```", ""]


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
