"""A drawn graph as a PNG, by matplotlib where that is installed."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from jpipe.errors import UsageError
from jpipe.report.graph_drawing import Shape, Text, drawn
from jpipe.report.graph_model import Box

__all__ = ["write_png"]

_DOTS = 200
_POINTS = 72 / 96
"""Points in a pixel of the drawing."""
_COMMAND = re.compile(r"([MLHVQCZ])([^MLHVQCZ]*)")


def write_png(path: Path, boxes: Sequence[Box], *, critical: Collection[str] = ()) -> None:
    """Write the picture.

    Raises
    ------
    UsageError
        Without matplotlib.
    """
    try:
        from matplotlib.figure import Figure
        from matplotlib.patches import PathPatch
        from matplotlib.path import Path as Outline
    except ImportError:
        hint = "install matplotlib, or write the same picture as .svg"
        raise UsageError("a PNG is drawn by matplotlib, which is not installed", hint=hint) from None
    drawing = drawn(boxes, critical)
    figure: Any = Figure(figsize=(drawing.width / 96, drawing.height / 96), dpi=_DOTS, facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, drawing.width)
    axes.set_ylim(drawing.height, 0)
    for element in [*drawing.edges, *(one for box, _ in drawing.boxes for one in box), *drawing.legend]:
        if isinstance(element, Text):
            _write(axes, element)
        else:
            axes.add_patch(PathPatch(Outline(*_outline(element.path)), **_look(element)))
    figure.savefig(path, format="png")


def _write(axes: Any, text: Text) -> None:
    axes.text(
        text.x,
        text.y,
        text.text.replace("$", r"\$"),  # or it is read as mathematics
        fontsize=text.size * _POINTS,
        color=text.color.light,
        fontweight="bold" if text.bold else "normal",
        ha="center" if text.centred else "left",
        va="baseline",
    )


def _look(shape: Shape) -> dict[str, Any]:
    return {
        "facecolor": shape.fill.light if shape.fill else "none",
        "edgecolor": shape.stroke.light if shape.stroke else "none",
        "linewidth": shape.width * _POINTS,
        "linestyle": (0, (4, 2.5)) if shape.dashed else "solid",
    }


def _outline(path: str) -> tuple[list[tuple[float, float]], list[int]]:
    """The points and codes of matplotlib for a path of SVG."""
    points: list[tuple[float, float]] = []
    codes: list[int] = []
    for command, text in _COMMAND.findall(path):
        numbers = [float(number) for number in text.split()]
        if command == "H":
            numbers = [numbers[0], points[-1][1]]
        elif command == "V":
            numbers = [points[-1][0], numbers[0]]
        elif command == "Z":
            numbers = [*points[0]]
        points += zip(numbers[::2], numbers[1::2], strict=True)
        codes += [{"M": 1, "L": 2, "H": 2, "V": 2, "Q": 3, "C": 4, "Z": 79}[command]] * (len(numbers) // 2)
    return points, codes
