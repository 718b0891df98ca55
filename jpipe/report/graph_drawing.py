"""A graph as shapes and words on a plane: a box a step, its state by colour, shape, sign and word, maps as stacks."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from typing import NamedTuple

from jpipe.render.humanize import size, took
from jpipe.render.styled_text import width_of
from jpipe.report.graph_model import Box, State
from jpipe.report.layered_layout import Layout, layered

__all__ = ["SIGNS", "Color", "Drawing", "Shape", "Text", "drawn", "texts_of"]

SIGNS = {
    State.FAILED: "✗",
    State.INTERRUPTED: "‖",
    State.RUNNING: "▶",
    State.BLOCKED: "·",
    State.STALE: "↻",
    State.PENDING: "?",
    State.RAN: "✓",
    State.CACHED: "=",
    State.NONE: "",
}
_HEIGHT = 46.0
_CHAR = 7.4
"""Columns are counted, not measured, so a box is made for a wide font of this many pixels a column."""
_SMALL = 6.4
_MOST = 30
_STACK = 4.0
_WIDEST = 1200.0
"""A drawing that would be wider is tried from left to right, where boxes of one layer take less room."""


class Color(NamedTuple):
    """A colour: its name, by which a page may give another, and what it is on white."""

    name: str
    light: str


INK, SOFT, LINE = Color("ink", "#222222"), Color("soft", "#555555"), Color("line", "#8f8f8f")
_FILLS = {
    State.FAILED: ("bad", "#fbe3e4", "#b3261e"),
    State.INTERRUPTED: ("warn", "#fdf0d5", "#8a5300"),
    State.RUNNING: ("live", "#e0ecfd", "#1a5fb4"),
    State.BLOCKED: ("none", "#ffffff", "#6b6b6b"),
    State.STALE: ("warn", "#fdf0d5", "#8a5300"),
    State.PENDING: ("none", "#ffffff", "#8a5300"),
    State.RAN: ("good", "#ddf3e4", "#1b6e3c"),
    State.CACHED: ("dim", "#f1f1ef", "#6b6b6b"),
    State.NONE: ("none", "#ffffff", "#6b6b6b"),
}
_DASHED = {State.PENDING, State.BLOCKED, State.INTERRUPTED}


class Shape(NamedTuple):
    """An outline in the path language of SVG, absolute M, L, H, V, Q, C and Z only; filled, drawn, or both."""

    path: str
    fill: Color | None
    stroke: Color | None
    width: float = 1.3
    dashed: bool = False


class Text(NamedTuple):
    """A line of text, its middle (or its beginning) at x and its foot at y."""

    x: float
    y: float
    text: str
    size: float
    color: Color
    bold: bool = False
    centred: bool = True


class Drawing(NamedTuple):
    """Everything, from the back to the front.

    Parameters
    ----------
    width, height
        Of the plane.
    edges
        What leads from box to box.
    boxes
        For each box what it is drawn of, and what more is to be said of it.
    legend
        The signs that occur.
    """

    width: float
    height: float
    edges: list[Shape]
    boxes: list[tuple[list[Shape | Text], str]]
    legend: list[Text]


def drawn(boxes: Sequence[Box], critical: Collection[str] = ()) -> Drawing:
    """Draw a graph.

    Parameters
    ----------
    boxes
        Upstream first.
    critical
        Names of the steps that the run waited for from beginning to end: they are outlined.
    """
    layout, sideways = _laid_out(boxes)
    edges = []
    for (one, other), points in layout.edges.items():
        is_critical = one in critical and other in critical
        color, width = (INK, 2.4) if is_critical else (LINE, 1.3)
        edges.append(Shape(_curve(points, sideways), None, color, width))
        edges.append(Shape(_head(points[-1], sideways), color, None))
    shown = [(_box(box, *layout.boxes[box.name], box.name in critical), _tip(box)) for box in boxes]
    legend = _legend(boxes, layout.height)
    width = max([layout.width, *(text.x + len(text.text) * _SMALL + 12 for text in legend)])
    return Drawing(width, layout.height + (30.0 if legend else 0.0), edges, shown, legend)


def texts_of(box: Box) -> tuple[str, str]:
    """The two lines of a box."""
    name = _cut(box.name)
    if box.members:
        states = ", ".join(f"{count} {state.value}" for state, count in box.states[:2])
        return f"{SIGNS[box.state]} {name} …", f"{len(box.members)} steps · {states}"
    many = f"×{box.items:,}" if box.items != 1 else ""
    over = _cut(", ".join(box.axes), 16) if box.axes else ""
    figures = [took(box.seconds) if box.seconds else "", size(box.nbytes) if box.nbytes else ""]
    facts = [f"{many} {over}".strip(), box.state.value, *figures]
    return f"{SIGNS[box.state]} {name}".strip(), " · ".join(fact for fact in facts if fact)


def _laid_out(boxes: Sequence[Box]) -> tuple[Layout, bool]:
    """The layout from above, or from left to right where that is nearer to the form of a page."""
    needs = {box.name: box.needs for box in boxes}
    sizes = {box.name: (_width(box), _HEIGHT) for box in boxes}
    layout = layered(needs, sizes)
    if layout.width <= _WIDEST or layout.width < 2 * layout.height:
        return layout, False
    turned = layered(needs, {name: (height, width) for name, (width, height) in sizes.items()})
    if turned.height >= layout.width:
        return layout, False
    places = {name: (y, x) for name, (x, y) in turned.boxes.items()}
    edges = {edge: [(y, x) for x, y in points] for edge, points in turned.edges.items()}
    return Layout(places, edges, turned.height, turned.width), True


def _box(box: Box, x: float, y: float, is_critical: bool) -> list[Shape | Text]:
    width = _width(box)
    name, fill, line = _FILLS[box.state]
    stroke = INK if is_critical else Color(f"{name}-line", line)

    def outline(shift: float) -> Shape:
        path = _outline(box.state, x + shift, y + shift, width)
        return Shape(path, Color(f"{name}-fill", fill), stroke, 2.4 if is_critical else 1.3, box.state in _DASHED)

    stack = [outline(_STACK)] if box.items > 1 or box.members else []
    first, second = texts_of(box)
    return [*stack, outline(0.0), Text(x, y - 4, first, 13, INK, bold=True), Text(x, y + 13, second, 11, SOFT)]


def _tip(box: Box) -> str:
    return " · ".join(part for part in (box.name, texts_of(box)[1], box.note) if part)


def _outline(state: State, x: float, y: float, width: float) -> str:
    """Round for what need not run, square for what does, with cut corners for what failed."""
    left, right, top, bottom = x - width / 2, x + width / 2, y - _HEIGHT / 2, y + _HEIGHT / 2
    is_cut = state in (State.FAILED, State.BLOCKED)
    corner = 10.0 if is_cut else _HEIGHT / 2 - 3 if state is State.CACHED else 3.0

    def to(cx: float, cy: float, px: float, py: float) -> str:
        return f"L{px:.1f} {py:.1f}" if is_cut else f"Q{cx:.1f} {cy:.1f} {px:.1f} {py:.1f}"

    return (
        f"M{left + corner:.1f} {top:.1f}H{right - corner:.1f}{to(right, top, right, top + corner)}"
        f"V{bottom - corner:.1f}{to(right, bottom, right - corner, bottom)}"
        f"H{left + corner:.1f}{to(left, bottom, left, bottom - corner)}V{top + corner:.1f}"
        f"{to(left, top, left + corner, top)}Z"
    )


def _curve(points: Sequence[tuple[float, float]], sideways: bool) -> str:
    """A smooth line that leaves and arrives along the way of the drawing, and passes layers straight."""
    text = f"M{points[0][0]:.1f} {points[0][1]:.1f}"
    for number, ((x, y), (u, v)) in enumerate(itertools.pairwise(points)):
        if number % 2:  # from the upper to the lower side of a layer
            text += f"L{u:.1f} {v:.1f}"
        elif sideways:
            text += f"C{(x + u) / 2:.1f} {y:.1f} {(x + u) / 2:.1f} {v:.1f} {u:.1f} {v:.1f}"
        else:
            text += f"C{x:.1f} {(y + v) / 2:.1f} {u:.1f} {(y + v) / 2:.1f} {u:.1f} {v:.1f}"
    return text


def _head(end: tuple[float, float], sideways: bool) -> str:
    x, y = end
    if sideways:
        return f"M{x:.1f} {y:.1f}L{x - 8:.1f} {y - 4:.1f}L{x - 8:.1f} {y + 4:.1f}Z"
    return f"M{x:.1f} {y:.1f}L{x - 4:.1f} {y - 8:.1f}L{x + 4:.1f} {y - 8:.1f}Z"


def _legend(boxes: Sequence[Box], top: float) -> list[Text]:
    x, texts = 12.0, []
    present = {box.state for box in boxes} - {State.NONE}
    for state in (state for state in State if state in present):
        text = f"{SIGNS[state]} {state.value}"
        name, _, line = _FILLS[state]
        texts.append(Text(x, top + 18, text, 11, Color(f"{name}-line", line), centred=False))
        x += (len(text) + 3) * _SMALL
    return texts


def _width(box: Box) -> float:
    first, second = texts_of(box)
    return max(width_of(first) * _CHAR, width_of(second) * _SMALL, 60.0) + 26.0


def _cut(text: str, most: int = _MOST) -> str:
    """At most so many characters, the end of a name kept: names that begin alike end differently."""
    text = "".join(one if one.isprintable() else " " for one in text)
    return text if len(text) <= most else f"{text[: most - 9]}…{text[-8:]}"
