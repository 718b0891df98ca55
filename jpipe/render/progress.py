"""Show a run's events to people while they happen: bars, lines of a log, or only the end.

Everything is written by whole lines or whole frames under one lock, in the main process only. tqdm is loaded when the
first step starts, so a run that has nothing to do never loads it.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, Self

from jpipe.model.events import Event, Notice, RunEnded, StepStarted
from jpipe.model.outcomes import Outcome
from jpipe.render.printed_commands import Commands
from jpipe.render.run_log import LogTeller
from jpipe.render.run_progress import Standing
from jpipe.render.run_text import Teller, Wishes
from jpipe.render.source_excerpt import short_path
from jpipe.render.streams import discard
from jpipe.render.terminal import Paper

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jpipe.render.bars import Bars
    from jpipe.render.notebook import Block
    from jpipe.render.styled_text import Line

__all__ = ["HEARTBEAT", "Mode", "Progress", "default_observer", "mode_for"]

HEARTBEAT = 30.0
"""Seconds without a line after which a log gets a sign of life."""
_FRAME = 0.5
"""Seconds between frames of the bars when nothing happens, so that elapsed times move."""


class Mode(StrEnum):
    """How progress is shown."""

    BARS = "bars"
    """A bar for each running step and one for the run."""
    WORKERS = "workers"
    """A line for each worker and a bar for the run."""
    NOTEBOOK = "notebook"
    """A block below the cell."""
    PLAIN = "plain"
    """Lines of a log."""
    OFF = "off"
    """Only the end, and what failed."""


def mode_for(choice: str, paper: Paper, environment: Mapping[str, str] | None = None) -> Mode:
    """The mode that ``--progress`` stands for: ``"auto"`` draws bars only in a terminal that can move its cursor."""
    environment = os.environ if environment is None else environment
    if choice != "auto":
        return Mode(choice)
    can_draw = paper.is_terminal and not paper.is_dumb and environment.get("GITHUB_ACTIONS") != "true"
    return Mode.BARS if can_draw else Mode.PLAIN


class _Tells(Protocol):
    def hear(self, event: Event) -> list[Line]: ...


class Progress:
    """An observer that shows a run.

    Parameters
    ----------
    paper
        Where to.
    mode
        How.
    wishes
        What to tell.
    quiet
        Say nothing of a run that goes well.
    clock
        Seconds, for durations.
    heartbeat
        Seconds between signs of life in a log.

    Notes
    -----
    A stream that breaks (a closed pipe, a full disk) ends the showing and not the run.
    """

    def __init__(
        self,
        paper: Paper,
        mode: Mode = Mode.PLAIN,
        wishes: Wishes | None = None,
        *,
        quiet: bool = False,
        clock: Callable[[], float] = time.monotonic,
        heartbeat: float = HEARTBEAT,
    ) -> None:
        self.standing = Standing()
        self._paper = paper
        self._mode = Mode.OFF if quiet else mode
        self._quiet = quiet
        self._clock = clock
        self._heartbeat = heartbeat
        self._lock = threading.RLock()
        self._started: dict[str, float] = {}
        self._last_line = clock()
        self._bars: Bars | Block | None = None
        self._ticker: _Ticker | None = None
        self._broken = False
        self._teller = self._make_teller(wishes or Wishes())
        if self._mode is Mode.NOTEBOOK:
            from jpipe.render.notebook import Block

            self._bars = Block()

    def __call__(self, event: Event) -> None:
        with self._lock:
            self.standing.take(event)
            if isinstance(event, StepStarted):
                self._started.setdefault(event.step, self._clock())
                self._go_live()
            if isinstance(event, RunEnded):
                self._stop()
            self._guarded(lambda: self._show(self._teller.hear(event)))

    def close(self) -> None:
        """Take the bars off the screen; needed only when the run did not end with `RunEnded`."""
        with self._lock:
            self._stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _make_teller(self, wishes: Wishes) -> _Tells:
        if self._mode is Mode.OFF:
            return _OnlyTheEnd(self.standing, wishes, self._quiet)
        return LogTeller(self.standing, wishes) if self._mode is Mode.PLAIN else Teller(self.standing, wishes)

    def _go_live(self) -> None:
        if self._ticker is not None or self._mode in (Mode.OFF, Mode.NOTEBOOK) or self._broken:
            return
        if self._mode is not Mode.PLAIN:
            from jpipe.render.bars import Bars

            self._bars = Bars(self._paper, by_worker=self._mode is Mode.WORKERS)
        self._ticker = _Ticker(_FRAME if self._bars else min(self._heartbeat, 1.0), self._tick)

    def _tick(self) -> None:
        """Called by the ticker's thread."""
        with self._lock:
            if self._ticker is None:
                return
            if self._bars is not None:
                if _in_debugger():
                    self._bars.abandon()
                else:
                    self._guarded(lambda: self._show([]))
            elif self._clock() - self._last_line >= self._heartbeat and isinstance(self._teller, LogTeller):
                lines = self._teller.beat(self._elapsed())
                self._guarded(lambda: self._show(lines))

    def _show(self, lines: list[Line]) -> None:
        if self._bars is not None:
            self._bars.draw(lines, self.standing, self._elapsed())
        elif lines:
            self._paper.write(*lines)
            self._last_line = self._clock()

    def _elapsed(self) -> dict[str, float]:
        now = self._clock()
        return {step: now - since for step, since in self._started.items()}

    def _guarded(self, show: Callable[[], None]) -> None:
        if self._broken:
            return
        try:
            show()
        except (OSError, ValueError) as error:
            self._broken = True
            if isinstance(error, BrokenPipeError):
                discard(self._paper.stream)

    def _stop(self) -> None:
        ticker, self._ticker = self._ticker, None
        if ticker is not None:
            ticker.stop()
        bars = self._bars
        if bars is not None and self._mode is not Mode.NOTEBOOK:
            self._bars = None
            self._guarded(bars.clear)


def default_observer(
    environment: Mapping[str, str] | None = None, *, file: str = "", name: str = "", has_defaults: bool = True
) -> Progress | None:
    """What shows a run that was started from Python: bars in a terminal, a block in a notebook, else nothing.

    Parameters
    ----------
    environment
        Default `os.environ`; ``JPIPE_PROGRESS`` chooses another mode, or ``off``.
    file, name
        The pipeline's file, and its name there.
    has_defaults
        Whether its parameters are its defaults, so that a command line can mean the same run.
    """
    environment = os.environ if environment is None else environment
    choice = environment.get("JPIPE_PROGRESS") or "auto"
    if choice == "off":
        return None
    if choice == "auto" and "ipykernel" in sys.modules:
        from jpipe.render.notebook import in_notebook

        if in_notebook():
            return Progress(Paper(color="never"), Mode.NOTEBOOK, Wishes(commands=Commands(known=())))
    paper = Paper()
    if choice == "auto" and not paper.is_terminal:
        return None
    can_be_typed = has_defaults and os.path.exists(file)
    known = ("run", "debug", "log", "show") if can_be_typed else ()
    return Progress(
        paper, mode_for(choice, paper, environment), Wishes(commands=Commands(known, f"{short_path(file)}:{name}"))
    )


def _in_debugger() -> bool:
    """Whether the main thread is in a debugger, as after ``breakpoint()`` in a run without workers."""
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    while frame is not None:
        if frame.f_globals.get("__name__") in ("bdb", "cmd", "pdb"):
            return True
        frame = frame.f_back
    return False


class _OnlyTheEnd:
    """Says nothing but notices before the run is over, and nothing at all when a quiet run went well."""

    def __init__(self, standing: Standing, wishes: Wishes, quiet: bool) -> None:
        self._teller = Teller(standing, wishes)
        self._quiet = quiet

    def hear(self, event: Event) -> list[Line]:
        if isinstance(event, Notice) and not self._quiet:
            return self._teller.hear(event)
        if not isinstance(event, RunEnded):
            return []
        fine = event.outcome in (Outcome.RAN, Outcome.CACHED)
        return [] if fine and self._quiet else self._teller.hear(event)


class _Ticker:
    """Calls `action` every `seconds` in a thread of its own, until stopped."""

    def __init__(self, seconds: float, action: Callable[[], None]) -> None:
        self._seconds = seconds
        self._action = action
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._tick, name="jpipe-progress", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """No call begins after this; one that waits for the caller's lock finds that it is over."""
        self._over.set()

    def _tick(self) -> None:
        with contextlib.suppress(RuntimeError):
            while not self._over.wait(self._seconds):
                self._action()
