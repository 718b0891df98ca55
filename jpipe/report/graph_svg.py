"""A drawn graph as SVG, for files, pages and notebooks.

Colours are style sheet variables with the light ones as defaults: alone, the picture is for paper and white pages; in a
page that sets the variables it follows the page. Everything that comes from the user is escaped.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from html import escape

from jpipe.report.graph_drawing import Color, Shape, Text, drawn
from jpipe.report.graph_model import Box

__all__ = ["graph_svg", "legible"]

_FONT = "system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif"


def graph_svg(boxes: Sequence[Box], title: str, *, critical: Collection[str] = (), links: bool = False) -> str:
    """The picture.

    Parameters
    ----------
    boxes
        Upstream first.
    title
        What it is a picture of, for who cannot see it.
    critical
        Names of the steps that the run waited for from beginning to end: they are outlined.
    links
        Whether a box leads to the element ``step-N`` of the page, N its number.
    """
    drawing = drawn(boxes, critical)
    width, height = f"{drawing.width:.0f}", f"{drawing.height:.0f}"
    role = "group" if links else "img"
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    named = f'role="{role}" aria-label="{legible(title)}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" class="jp-graph" {named} {size} font-family="{_FONT}">'
    parts = [head, *map(_element, drawing.edges)]
    for number, (elements, tip) in enumerate(drawing.boxes):
        inside = f"<title>{legible(tip)}</title>" + "".join(map(_element, elements))
        parts.append(f'<a href="#step-{number}">{inside}</a>' if links else f"<g>{inside}</g>")
    return "".join([*parts, *map(_element, drawing.legend), "</svg>"])


def legible(text: str) -> str:
    """Text of the user's as XML: escaped, and without the characters that XML cannot hold."""
    kept = (one if one.isprintable() or one in "\t\n" else f"\\x{ord(one):02x}" for one in text)
    return escape("".join(kept).encode("utf-8", "replace").decode("utf-8"))


def _element(one: Shape | Text) -> str:
    if isinstance(one, Text):
        anchor = ' text-anchor="middle"' if one.centred else ""
        weight = ' font-weight="600"' if one.bold else ""
        place = f'x="{one.x:.1f}" y="{one.y:.1f}" font-size="{one.size:.0f}"'
        return f'<text {place}{anchor}{weight} fill="{_var(one.color)}">{legible(one.text)}</text>'
    fill = _var(one.fill) if one.fill else "none"
    line = f' stroke="{_var(one.stroke)}" stroke-width="{one.width}"' if one.stroke else ""
    dash = ' stroke-dasharray="5 3"' if one.dashed else ""
    return f'<path d="{one.path}" fill="{fill}"{line}{dash}/>'


def _var(color: Color) -> str:
    return f"var(--jp-{color.name}, {color.light})"
