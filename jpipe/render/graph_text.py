"""A graph as text, in the manner of ``git log --graph``: a row a step, a lane for each result still needed below."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jpipe.render.humanize import size, took
from jpipe.render.plan_text import mark_of
from jpipe.render.styled_text import Line, columns, dim, line, name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jpipe.model.plan import StepPlan

__all__ = ["graph_lines", "lanes"]

_LANE = 3
"""Columns of a lane."""


def graph_lines(steps: Sequence[StepPlan], width: int) -> list[Line]:
    """The steps of a plan as a drawing, with counts, what varies, expected seconds and sizes.

    Parameters
    ----------
    steps
        In topological order.
    width
        Columns there are; a drawing that would take more than half of them gives way to a list with needs.
    """
    drawn = lanes([(step.name, step.needs) for step in steps])
    if max(map(len, drawn), default=0) > width // 2:
        drawn = ["" for _ in steps]
    rows = [_row(lane, step, bool(any(drawn))) for lane, step in zip(drawn, steps, strict=True)]
    return columns(rows, right=frozenset({2, 3}))


def _row(lane: str, step: StepPlan, is_drawn: bool) -> tuple[Line, ...]:
    seconds = (step.seconds or 0.0) + (step.seconds_saved or 0.0)
    many = f"×{step.items:,}" if step.items > 1 else ""
    axes = ", ".join(step.axes) if many else ""
    named = step.needs if len(step.needs) > 1 or not is_drawn else ()
    return (
        line("  ", dim(lane), mark_of(step), " ", name(step.name)),
        line(many, "  " if axes else "", dim(axes)),
        line(took(seconds) if seconds else ""),
        line(size(step.nbytes) if step.nbytes else ""),
        line(dim(f"← {', '.join(named)}" if named else "")),
    )


def lanes(steps: Sequence[tuple[str, Sequence[str]]]) -> list[str]:
    """What stands left of each step.

    Parameters
    ----------
    steps
        Names with the names of what each needs, in topological order.

    Returns
    -------
    list of str
        For each step the lanes left of its sign: ``│`` passes by, ``├`` is needed here and below, ``╰`` is needed here
        for the last time; a line leads from the leftmost of those to the step.
    """
    last_use = {need: index for index, (_, needs) in enumerate(steps) for need in needs}
    open_lanes: list[str | None] = []
    drawn = []
    for index, (step, needs) in enumerate(steps):
        ends = [lane for lane in open_lanes if lane is not None and last_use[lane] == index]
        drawn.append(_prefix(open_lanes, set(needs), set(ends)))
        position = len(open_lanes)
        open_lanes = [None if lane in ends else lane for lane in open_lanes]
        if step in last_use:
            open_lanes += [None] * (position - len(open_lanes)) + [step]
        while open_lanes and open_lanes[-1] is None:
            open_lanes.pop()
    return drawn


def _prefix(open_lanes: Sequence[str | None], needs: set[str], ends: set[str]) -> str:
    text = ""
    inside = False
    for lane in open_lanes:
        if lane in needs and lane in ends:
            sign = "┴" if inside else "╰"
        elif lane in needs:
            sign = "┼" if inside else "├"
        else:
            sign = "│" if lane is not None else "─" if inside else " "
        inside = inside or lane in needs
        text += sign + ("─" if inside else " ") * (_LANE - 1)
    return text[:-1] + " " if text else ""
