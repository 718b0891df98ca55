"""A run in a notebook: one block below the cell, brought up to date in place and complete when the run is over."""

from __future__ import annotations

import html
import sys
import time
from typing import TYPE_CHECKING, Any

from jpipe.render.bars import frame_lines

if TYPE_CHECKING:
    from collections.abc import Callable

    from jpipe.render.run_progress import Standing
    from jpipe.render.styled_text import Line

__all__ = ["Block", "in_notebook"]

_WIDTH = 90
_FASTEST = 0.25
"""Seconds between updates: each is a message to the browser."""


class Block:
    """What was said of a run and, below it, the bars of what is running.

    Parameters
    ----------
    now
        Seconds, for the rate of updates.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._at = float("-inf")
        self._said: list[str] = []
        self._handle: Any = None

    def draw(self, lines: list[Line], standing: Standing, elapsed: dict[str, float]) -> None:
        """Add `lines` and bring the bars up to date; see `jpipe.render.bars.Bars.draw`."""
        self._said += ["".join(text for text, _ in one) for one in lines]
        running = standing.end is None and any(step.started for step in standing.steps.values())
        if not lines and self._now() - self._at < _FASTEST:
            return
        self._at = self._now()
        bars = frame_lines(standing, elapsed, _WIDTH, most=20) if running else []
        self._display("\n".join([*self._said, *bars]))

    def clear(self) -> None:
        """Nothing: the block stays, and its last state has no bars."""

    def abandon(self) -> None:
        """Nothing: what else is written stands elsewhere."""

    def _display(self, text: str) -> None:
        if not text:
            return
        shown = {"text/plain": text, "text/html": f"<pre>{html.escape(text)}</pre>"}
        if self._handle is None:
            from IPython.display import display

            self._handle = display(shown, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(shown, raw=True)


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook; IPython in a terminal is none."""
    interactive = sys.modules.get("IPython")
    if interactive is None or "ipykernel" not in sys.modules:
        return False
    shell = interactive.get_ipython()
    return shell is not None and getattr(shell, "kernel", None) is not None
