"""Stop an item that takes longer than its step allows."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from jpipe.errors import ItemTimeoutError

__all__ = ["limit"]


@contextmanager
def limit(seconds: float | None) -> Iterator[None]:
    """Raise `ItemTimeoutError` in the code inside after `seconds`.

    It needs the alarm signal and the main thread; elsewhere, and for native code that does not return, the scheduler
    ends the worker instead.
    """
    if seconds is None or not can_interrupt():
        yield
        return

    def ring(number: int, frame: FrameType | None) -> None:
        raise ItemTimeoutError(f"took longer than its timeout of {seconds:g} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def can_interrupt() -> bool:
    """Whether an alarm can interrupt this thread."""
    return hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()
