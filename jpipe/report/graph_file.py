"""A plan as a file with the picture of its graph: SVG, PNG, or a page."""

from __future__ import annotations

from pathlib import Path

from jpipe.errors import UsageError
from jpipe.model.plan import Plan
from jpipe.report.graph_model import boxes_of_plan, clustered
from jpipe.report.graph_png import write_png
from jpipe.report.graph_svg import graph_svg, legible
from jpipe.report.page import page, scrolling

__all__ = ["MOST_BOXES", "write_graph"]

MOST_BOXES = 80
"""A picture with more is folded: alike steps and chains of steps together."""


def write_graph(path: Path, plan: Plan, form: str) -> None:
    """Write the picture.

    Parameters
    ----------
    path
        The file.
    plan
        What a run would do.
    form
        ``"svg"``, ``"png"`` or ``"html"``.

    Raises
    ------
    UsageError
        When it cannot be written, or drawn.
    """
    boxes = clustered(boxes_of_plan(plan), MOST_BOXES)
    title = f"The steps of {plan.pipeline} and what each needs"
    try:
        if form == "png":
            write_png(path, boxes)
        elif form == "svg":
            path.write_text(graph_svg(boxes, title) + "\n", "utf-8")
        else:
            header = f"<h1>{legible(plan.pipeline)}</h1>"
            inside = scrolling(graph_svg(boxes, title), "Graph of the steps")
            path.write_text(page(plan.pipeline, header, [("graph", "Graph", inside)]), "utf-8")
    except OSError as error:
        hint = "name a file in a folder that exists"
        raise UsageError(f"cannot write {path}: {error.strerror}", hint=hint) from None
