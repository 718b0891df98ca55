"""A chart: seconds and memory over size, on logarithmic scales, a line for each contender and phase."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.curves import Curve

STYLES = ("-", "--", ":")


def draw(curve: Curve, lines: Mapping[str, Mapping[str, Sequence[Any]]], path: Path) -> None:
    """Draw a chart into `path`; without matplotlib, nothing."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    names = list(dict.fromkeys(name for contenders in lines.values() for name in contenders))
    panels = {"seconds": lambda one: one.seconds, "memory of the largest process, MB": lambda one: one.memory / 1e6}
    for axes, (title, value) in zip(figure.subplots(1, 2), panels.items(), strict=True):
        for (phase, contenders), style in zip(lines.items(), STYLES, strict=False):
            for name, taken in contenders.items():
                colour = "#c0392b" if name == "jpipe" else f"C{names.index(name)}"
                sizes = [one.size for one in taken]
                axes.plot(sizes, list(map(value, taken)), style, marker=".", color=colour, label=f"{name}: {phase}")
        axes.set(xscale="log", yscale="log", xlabel=curve.title, title=title)
        axes.grid(visible=True, which="major", alpha=0.3)
    figure.axes[0].legend(fontsize=7)
    figure.savefig(path)
