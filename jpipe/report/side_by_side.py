"""Figures that differ between two runs, beside each other."""

from __future__ import annotations

from jpipe.decide.result_differences import StepDifference
from jpipe.report.graph_svg import legible
from jpipe.report.thumbnails import figure_tag

__all__ = ["figures_html"]

_MOST = 6
"""So many pairs of a step are shown: each takes a few ten kilobytes of the page."""


def figures_html(step: StepDifference) -> str:
    """The figures of a step's items as they were and as they are; nothing for a step without any."""
    pairs = [(item.label, change) for item in step.items for change in item.changes if change.pictures is not None]
    shown = []
    for label, change in pairs[:_MOST]:
        place = legible(f"{label}{change.where}")
        sides = zip(change.pictures or (), ("before", "after"), strict=False)
        cells = "".join(
            f'<div class="jp-card"><p class="jp-small">{place}, {when}</p>'
            f"{figure_tag(figure, f'{place}, {when}')}</div>"
            for figure, when in sides
        )
        shown.append(f'<div class="jp-cards">{cells}</div>')
    hidden = len(pairs) - len(shown)
    return "".join(shown) + (f'<p class="jp-small">and {hidden} more</p>' if hidden else "")
