"""Stop an item that takes longer than its step allows."""

from __future__ import annotations

import faulthandler
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from jpipe.errors import ItemTimeoutError

__all__ = ["EXTRA", "ended_after", "limit"]


EXTRA = 1.0
"""How long after its timeout an item may still end by itself, seconds; for long ones, a tenth of it."""


def ended_after(seconds: float) -> float:
    """After how many seconds the worker of an item with this timeout is ended."""
    return seconds + max(EXTRA, 0.1 * seconds)


@contextmanager
def limit(seconds: float | None, *, is_worker: bool = False) -> Iterator[None]:
    """Raise `ItemTimeoutError` in the code inside after `seconds`.

    It needs the alarm signal and the main thread; elsewhere, and for native code that does not return, the scheduler
    ends the worker instead. A worker leaves word on its standard error, shortly before that, of where it is.
    """
    if seconds is None or not can_interrupt():
        yield
        return

    def ring(number: int, frame: FrameType | None) -> None:
        raise ItemTimeoutError(f"took longer than its timeout of {seconds:g} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    if is_worker:
        faulthandler.dump_traceback_later((seconds + ended_after(seconds)) / 2, file=2)
    try:
        yield
    finally:
        if is_worker:
            faulthandler.cancel_dump_traceback_later()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def can_interrupt() -> bool:
    """Whether an alarm can interrupt this thread."""
    return hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()
