"""Stop an item that takes longer than its step allows."""

from __future__ import annotations

import faulthandler
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import FrameType

from jpipe.errors import ItemTimeoutError

__all__ = ["EXTRA", "ended_after", "limit"]


EXTRA = 1.0
"""How long after its timeout an item may still end by itself, seconds; for long ones, a tenth of it."""


def ended_after(seconds: float) -> float:
    """After how many seconds the worker of an item with this timeout is ended."""
    return seconds + max(EXTRA, 0.1 * seconds)


class _Heart:
    """Tells how long this process was stopped, as by Ctrl-Z: a thread that beats does not beat then.

    Attributes
    ----------
    stopped
        How long, since the first item with a timeout, seconds.
    """

    def __init__(self) -> None:
        self.stopped = 0.0
        self._last = 0.0, 0.0
        self._process = 0

    def start(self) -> None:
        """Begin to beat, unless it does."""
        if self._process != os.getpid():
            self._process = os.getpid()
            self._last = time.monotonic(), time.process_time()
            threading.Thread(target=self._beat, name="jpipe-heart", daemon=True).start()

    def look(self) -> None:
        """See how long ago the last beat was; who computed meanwhile was not stopped, but kept the thread waiting."""
        now = time.monotonic(), time.process_time()
        gap, computed = now[0] - self._last[0], now[1] - self._last[1]
        self._last = now
        if gap > _MISSED * _BEAT and computed < 0.5 * gap:
            self.stopped += gap - _BEAT

    def _beat(self) -> None:
        while True:
            time.sleep(_BEAT)
            self.look()


_BEAT = 0.25
"""Seconds."""
_MISSED = 4
"""So many beats are missed by a process that was stopped; fewer where the machine is busy."""
_heart = _Heart()


def limit(seconds: float | None, *, is_worker: bool = False) -> AbstractContextManager[None]:
    """Raise `ItemTimeoutError` in the code inside after `seconds`, without those in which the process was stopped.

    It needs the alarm signal and the main thread; elsewhere, and for native code that does not return, the scheduler
    ends the worker instead. A worker leaves word on its standard error, shortly before that, of where it is.
    """
    return nullcontext() if seconds is None or not can_interrupt() else _alarm(seconds, is_worker)


@contextmanager
def _alarm(seconds: float, is_worker: bool) -> Iterator[None]:
    """Interrupt the code inside after `seconds`."""
    _heart.start()
    stopped = _heart.stopped

    def ring(number: int, frame: FrameType | None) -> None:
        nonlocal stopped
        _heart.look()
        if _heart.stopped > stopped:
            signal.setitimer(signal.ITIMER_REAL, _heart.stopped - stopped)
            stopped = _heart.stopped
            return
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
