"""Runs as rows, and two runs compared."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from jpipe.render.humanize import ago, counted, listed, took
from jpipe.render.plan_text import reason_lines
from jpipe.render.styled_text import Line, Piece, bad, columns, dim, good, line, name, strong, warn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jpipe.decide.run_comparison import Comparison, StepComparison
    from jpipe.history.journal_reader import RunRow

__all__ = ["comparison_lines", "history_lines"]

_HEAD = ("run", "when", "git", "took", "ran", "cached", "failed", "changed", "parameters")
_NUMBERS = frozenset({3, 4, 5, 6})
_WIDEST = 40


def history_lines(rows: Sequence[RunRow], known: int) -> list[Line]:
    """The runs, the newest first.

    Parameters
    ----------
    rows
        Oldest first.
    known
        How many there are.
    """
    several = len({row.pipeline for row in rows}) > 1
    now = time.time()
    head = tuple(line(dim(text)) for text in _HEAD)
    lines = columns([head, *(_row(row, now, several) for row in reversed(rows))], gap=2, right=_NUMBERS)
    left = known - len(rows)
    return [*lines, line(dim(f"and {counted(left, 'earlier run')}: --all"))] if left else lines


def _row(row: RunRow, now: float, several: bool) -> tuple[Line, ...]:
    pipeline = f"{row.pipeline.rpartition(':')[2]} " if several else ""
    given = ", ".join(f"{parameter}={row.parameters.get(parameter, '')}" for parameter in row.given)
    return (
        line(_mark(row), f" #{row.number}"),
        line(ago(now - row.when)),
        line(dim(row.commit[:7])),
        line(took(row.seconds) if row.outcome != "unfinished" else "-"),
        line(f"{row.ran:,}"),
        line(dim(f"{row.cached:,}")),
        line(bad(f"{row.failed:,}") if row.failed else dim("0")),
        line(_shortened(listed(row.changed, 2)) if row.changed else dim(_when_nothing_changed(row))),
        line(name(pipeline), _shortened(given)),
    )


def _mark(row: RunRow) -> Piece:
    marks = {"ran": good("✓"), "cached": dim("="), "failed": bad("✗")}
    return marks.get(row.outcome, warn("·"))


def _when_nothing_changed(row: RunRow) -> str:
    return row.outcome if row.outcome in ("interrupted", "unfinished") else ""


def _shortened(text: str) -> str:
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"


def comparison_lines(found: Comparison) -> list[Line]:
    """What differs between two runs."""
    lines: list[Line] = [line(strong(f"#{found.one.number} → #{found.other.number}"), dim(_between(found)))]
    lines += [_parameter(*parameter) for parameter in found.parameters]
    for step in found.steps:
        lines += _step(step)
    equal = [step.step for step in found.steps if not step.code and step.different == 0]
    if equal:
        lines.append(line(dim("= "), dim(f"the same: {listed(equal, 6)}")))
    if not found.steps:
        lines.append(line(dim("what they gave is not kept")))
    return lines


def _between(found: Comparison) -> str:
    commits = (found.one.commit[:7], found.other.commit[:7])
    return f"   git {commits[0]} → {commits[1]}" if all(commits) and commits[0] != commits[1] else ""


def _parameter(parameter: str, old: str | None, new: str | None) -> Line:
    return line(
        "  parameter ", name(parameter), f" {'absent' if old is None else old} → {'absent' if new is None else new}"
    )


def _step(step: StepComparison) -> list[Line]:
    if not step.code and step.different == 0 and step.code is not None:
        return []
    lines = [line(warn("↻ "), name(step.step), "   ", _difference(step))]
    if step.code is None:
        return [*lines, line("    its code changed; the older code is not kept")]
    return [*lines, *(line("    ", one) for reason in step.code for one in reason_lines(reason))]


def _difference(step: StepComparison) -> str:
    if step.calls is None:
        return "only in the first"
    if step.different is None:
        return "only in the second"
    if step.different == 0:
        return "the same results"
    if step.calls == 1:
        return "a different result"
    return f"{step.different:,} of {counted(step.calls, 'result')} different"
