"""Turn what was measured into a table in Markdown and a picture."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness import Measured

PACKAGES = ("jpipe", "joblib", "numpy", "tqdm", "diskcache", "exca", "checkpointer", "pipefunc")


def write(results: Sequence[Measured], folder: Path, size: str) -> None:
    """Write ``<size>.md``, ``<size>.json`` and, with matplotlib, ``<size>.png`` into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{size}.md").write_text(markdown(results), "utf-8")
    (folder / f"{size}.json").write_text(json.dumps([_plain(one) for one in results], indent=1), "utf-8")
    _picture(results, folder / f"{size}.png")


def markdown(results: Sequence[Measured]) -> str:
    """All tables, with what they were measured on."""
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    versions = ", ".join(f"{name} {version}" for name in PACKAGES if (version := _version(name)))
    head = (
        "# Measurements\n\n"
        f"{machine}; {versions}.\n\n"
        "Each figure: median seconds of a new process from start to end and, in brackets, the median over the rounds "
        "of its ratio to the contender in bold type in the same round. Read the ratios.\n"
    )
    return head + "".join("\n" + _table(one) for one in results)


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _table(result: Measured) -> str:
    workload = result.workload
    phases = [phase.name for phase in workload.phases]
    columns = [*phases, "peak memory", "on disk"] if workload.measure_memory else phases
    lines = [f"## {workload.title}\n", "| | " + " | ".join(columns) + " |", "|---|" + "---|" * len(columns)]
    for contender in workload.contenders:
        if not result.took_part(contender.name):
            continue
        name = f"**{contender.name}**" if contender.name == workload.baseline else contender.name
        cells = [_cell(result, contender.name, phase) for phase in phases]
        if workload.measure_memory:
            cells += [_megabytes(result.memory.get(contender.name)), _megabytes(result.disk.get(contender.name))]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    if result.missing:
        lines.append(f"\nNot installed: {', '.join(result.missing)}.")
    return "\n".join(lines) + "\n"


def _cell(result: Measured, contender: str, phase: str) -> str:
    wrong = result.wrong[contender].get(phase)
    median = result.median(contender, phase)
    if median is None:
        return wrong or ""
    ratio = result.ratio(contender, phase)
    seconds = f"{median:.3f}" if median < 1 else f"{median:.2f}"
    return seconds + (f" ({ratio:.2f})" if ratio is not None else "") + (f" **{wrong}**" if wrong else "")


def _megabytes(nbytes: int | None) -> str:
    return f"{nbytes / 1e6:,.0f} MB" if nbytes else ""


def _plain(result: Measured) -> dict[str, Any]:
    return {
        "workload": result.workload.name,
        "baseline": result.workload.baseline,
        "seconds": result.seconds,
        "wrong": result.wrong,
        "memory": result.memory,
        "disk": result.disk,
        "missing": result.missing,
    }


def _picture(results: Sequence[Measured], path: Path) -> None:
    """A panel for each phase, a bar for each contender, on a logarithmic scale of seconds."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return
    panels = [(one, phase.name) for one in results for phase in one.workload.phases if one.finished(phase.name)]
    if not panels:
        return
    columns = 3
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(5 * columns, 2.2 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.ravel()[len(panels) :]:
        axes.set_axis_off()
    for axes, (result, phase) in zip(grid.ravel(), panels, strict=False):
        names = result.finished(phase)
        colours = ["#c0392b" if "jpipe" in name else "#b0b0b0" if "floor" in name else "#34699a" for name in names]
        bars = axes.barh(names, [result.median(name, phase) for name in names], color=colours)
        axes.bar_label(bars, fmt="%.2f", padding=2, fontsize=7)
        axes.set(xscale="log", title=f"{result.workload.name}: {phase}, seconds")
        axes.invert_yaxis()
        axes.margins(x=0.2)
        axes.tick_params(labelsize=7)
    figure.savefig(path, dpi=110)
