"""Bars at the foot of a terminal: tqdm counts and formats, this file puts whole frames on the screen.

A frame is one write: the cursor goes to the top of the old frame, what is below is cleared, new lines for the scroll
back and the new frame follow. So neither a bar nor a line is ever torn, and bars come, go and change places freely.
"""

from __future__ import annotations

import os
import shutil
import time
from typing import TYPE_CHECKING

from tqdm import tqdm

from jpipe.render.eta import rate, run_seconds_left
from jpipe.render.humanize import clock, counted
from jpipe.render.styled_text import Line, width_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from jpipe.render.run_progress import Standing, StepStanding
    from jpipe.render.terminal import Paper

__all__ = ["Bars", "frame_lines", "run_bar", "step_bar", "worker_bar"]

_FASTEST = 0.1
"""Seconds between frames at most while nothing is said above them."""
_WIDEST = 100
_FIGURES = 44
"""Columns that percentage, counts, times and rate of a bar take."""
_LEAST_BAR = 10


class Bars:
    """The live frame at the foot of a terminal.

    Parameters
    ----------
    paper
        The terminal.
    by_worker
        A line for each worker instead of a bar for each running step.
    now
        Seconds, for the frame rate.
    """

    def __init__(self, paper: Paper, *, by_worker: bool = False, now: Callable[[], float] = time.monotonic) -> None:
        self._paper = paper
        self._by_worker = by_worker
        self._now = now
        self._drawn: list[str] = []
        self._at = float("-inf")

    def draw(self, lines: list[Line], standing: Standing, elapsed: dict[str, float]) -> None:
        """Write `lines` above the frame and bring the frame up to date.

        Parameters
        ----------
        lines
            What is to stay in the scroll back.
        standing
            Where the run stands.
        elapsed
            Seconds since each started step started, by name.
        """
        if not lines and self._now() - self._at < _FASTEST:
            return
        self._at = self._now()
        columns, rows = shutil.get_terminal_size((80, 24))
        width, most, ascii_only = min(columns - 1, _WIDEST), max(1, rows - 2), not self._paper.unicode
        frame = frame_lines(standing, elapsed, width, most, by_worker=self._by_worker, ascii_only=ascii_only)
        self._write(self._erase(columns) + self._paper.rendered(lines) + "\n".join(frame))
        self._drawn = frame

    def clear(self) -> None:
        """Take the frame off the screen."""
        self._write(self._erase(shutil.get_terminal_size((80, 24)).columns))
        self._drawn = []

    def abandon(self) -> None:
        """Leave the frame where it is, because something else wrote below it; the next one is drawn anew."""
        self._drawn = []

    def _erase(self, columns: int) -> str:
        """Escape codes that bring the cursor to the frame's first column and row and clear from there on.

        The terminal may have become narrower since the frame was drawn, and then each line takes several rows.
        """
        if not self._drawn:
            return ""
        rows = sum(max(1, -(-width_of(text) // max(1, columns))) for text in self._drawn)
        up = f"\x1b[{rows - 1}A" if rows > 1 else ""
        return f"\r{up}\x1b[J"

    def _write(self, text: str) -> None:
        if text:
            self._paper.stream.write(text)
            self._paper.stream.flush()


def frame_lines(
    standing: Standing,
    elapsed: dict[str, float],
    width: int,
    most: int,
    *,
    by_worker: bool = False,
    ascii_only: bool = False,
) -> list[str]:
    """The bars of what is running, and below them that of the run.

    Parameters
    ----------
    standing, elapsed
        Where the run stands; seconds since each started step started.
    width
        Columns that a line may take.
    most
        Lines that there is room for.
    by_worker
        A line for each worker instead of a bar for each running step.
    ascii_only
        Draw without block characters.
    """
    jobs = standing.start.jobs if standing.start else 1
    if by_worker:
        bars = _worker_bars(standing, jobs, max(elapsed.values(), default=0.0), width, ascii_only)
    else:
        bars = [
            step_bar(step, elapsed.get(step.name, 0.0), jobs, width, ascii_only)
            for step in standing.steps.values()
            if step.running and step.stale > 1 and step.finished < step.stale
        ]
    hidden = len(bars) - (most - 1)
    if hidden > 0:
        bars = [*bars[: most - 2], f"  ... and {counted(hidden + 1, 'more', 'more')}"] if most > 2 else []
    return [fitted(bar, width) for bar in (*bars, run_bar(standing, elapsed, width, ascii_only))]


def step_bar(step: StepStanding, elapsed: float, jobs: int, width: int, ascii_only: bool) -> str:
    """The bar of a running step: cached items fill it but do not count for its rate."""
    speed = rate(step, elapsed, jobs)
    return str(
        tqdm.format_meter(
            n=step.cached + step.finished,
            total=step.known,
            elapsed=elapsed,
            ncols=width,
            prefix=f"  {_cut(step.name, width)}",
            ascii=ascii_only,
            unit=_unit(speed),
            rate=speed,
            initial=step.cached,
            postfix=_postfix(step, width),
        )
    )


def run_bar(standing: Standing, elapsed: dict[str, float], width: int, ascii_only: bool) -> str:
    """The bar of the whole run, with the steps that run as one item each behind it."""
    since = max(elapsed.values(), default=0.0)
    left = run_seconds_left(standing, elapsed)
    single = [step.name for step in standing.steps.values() if step.running and step.stale <= 1]
    until = f"{clock(since)}<{clock(left)}" if left is not None else clock(since)
    behind = f", {_cut(', '.join(single), width)}" if single else ""
    return str(
        tqdm.format_meter(
            n=min(standing.cached + standing.finished, standing.items),
            total=standing.items,
            elapsed=since,
            ncols=width,
            prefix=f"  {_cut(standing.start.pipeline, width) if standing.start else 'run'}",
            ascii=ascii_only,
            bar_format=f"{{l_bar}}{{bar}}| {{n_fmt}}/{{total_fmt}} [{until}{_braced(behind)}]",
        )
    )


def worker_bar(worker: int, count: int, share: int, elapsed: float, width: int, ascii_only: bool) -> str:
    """The bar of a worker: how many items it finished, of how many if it takes its share of what is left."""
    who = f"worker {worker}" if worker else f"main process {os.getpid()}"
    speed = count / elapsed if count and elapsed > 0 else None
    return str(
        tqdm.format_meter(
            n=count,
            total=share,
            elapsed=elapsed,
            ncols=width,
            prefix=f"  {who}",
            ascii=ascii_only,
            unit=_unit(speed),
            rate=speed,
        )
    )


def _worker_bars(standing: Standing, jobs: int, elapsed: float, width: int, ascii_only: bool) -> list[str]:
    """The bars of all workers that there are, also of those that have not finished an item yet."""
    counts = dict(standing.workers)
    if any(counts):  # others than the main process
        counts = dict.fromkeys(range(1, jobs + 1), 0) | counts
    working = max(1, len([worker for worker in counts if worker]))
    left = max(0, standing.items - standing.cached - standing.finished)
    return [
        worker_bar(worker, count, count + -(-left // working), elapsed, width, ascii_only)
        for worker, count in sorted(counts.items())
    ]


def _unit(speed: float | None) -> str:
    """tqdm writes ``3.63 item/s`` for the one, and ``4.59s/item`` for the other."""
    return "item" if speed is not None and speed < 1 else " item"


def fitted(text: str, width: int) -> str:
    """`text` cut to `width` columns."""
    while width_of(text) > width:
        text = text[: max(0, len(text) - max(1, (width_of(text) - width) // 2))]
    return text


def _postfix(step: StepStanding, width: int) -> str:
    """What the last item is called, where that leaves room for the bar."""
    label = step.label.removeprefix(step.name).strip("[]")
    left = width - _FIGURES - _LEAST_BAR - width_of(_cut(step.name, width))
    return label if width_of(label) <= min(30, left) else ""


def _cut(text: str, width: int) -> str:
    """A name in the part of a line that is its own, its end kept: names that begin alike end differently."""
    most = max(8, min(width // 4, width - _FIGURES - _LEAST_BAR))
    if width_of(text) <= most:
        return text
    end = text[-4:] if text[-4:].isascii() else text[-2:]  # wide characters take two columns
    return f"{fitted(text, most - 5)}…{end}"


def _braced(text: str) -> str:
    """Text as a format string takes it literally."""
    return text.replace("{", "{{").replace("}", "}}")
