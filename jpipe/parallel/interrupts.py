"""Ctrl-C, SIGTERM and SIGHUP during a run: noted at once, acted on where nothing can be torn.

The first one is only noted, and wakes the run: it stops where every finished result is in its place. A user's function
that runs in this process is interrupted at once, as in a plain script. A second signal ends whatever is going on.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

__all__ = ["Interrupts", "blocked", "came", "interruptible"]

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")
_users_code = False
"""Whether this process's main thread is inside a user's function now."""
_came = False
"""Whether a signal came since a run began in this process."""
_entered: list[Interrupts] = []
"""Those that take signals at the moment."""


class Interrupts:
    """Takes the signals that are to stop a run, while it is entered; only in the main thread.

    A signal that whoever started this process had ignored (``nohup``, a shell's background job) stays ignored.

    Parameters
    ----------
    wake
        Called in the signal handler after the first signal.

    Attributes
    ----------
    asked : int
        How many signals came.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self.asked = 0
        self._wake = wake
        self._process = os.getpid()
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        global _came
        _came = False
        if threading.current_thread() is threading.main_thread():
            numbers = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
            for number in numbers:
                # None: a handler that was not set by Python, which could not be put back.
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._before[number] = signal.signal(number, self._take)
        _entered.append(self)
        return self

    def __exit__(self, *exception: object) -> None:
        _entered.remove(self)
        self.put_back()

    def put_back(self) -> None:
        """Have the signals do what they did before; in a process that a step forks off, too.

        Otherwise one that comes just before it waits, as a worker of a pool does for its next task, would be noted,
        and it would wait for ever.
        """
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def check(self) -> None:
        """Raise `KeyboardInterrupt` if a signal came."""
        if self.asked:
            raise KeyboardInterrupt

    def _take(self, number: int, frame: FrameType | None) -> None:
        global _came
        if os.getpid() != self._process:
            self._in_fork(number)
            return
        self.asked += 1
        _came = True
        self._wake()
        if self.asked > 1 or _users_code:
            raise KeyboardInterrupt

    def _in_fork(self, number: int) -> None:
        """In a process that was forked off during the run, the signal does what it does without this class."""
        handler = self._before.get(number, signal.SIG_DFL)
        signal.signal(number, handler)
        os.kill(os.getpid(), number)


def _put_back_in_child() -> None:
    for one in reversed(_entered):
        one.put_back()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_put_back_in_child)


def came() -> bool:
    """Whether a `KeyboardInterrupt` in this process may be a signal, and is not one that the user's code raised.

    Workers do not take part in Ctrl-C; on Windows they cannot be kept from it.
    """
    return _came or os.name == "nt"


class interruptible:
    """Let Ctrl-C interrupt the code inside at once, if `active`."""

    __slots__ = ("_active", "_before")

    def __init__(self, active: bool = True) -> None:
        self._active = active

    def __enter__(self) -> None:
        global _users_code
        self._before = _users_code
        _users_code = self._active and threading.current_thread() is threading.main_thread()

    def __exit__(self, *error: object) -> None:
        global _users_code
        _users_code = self._before


@contextmanager
def blocked() -> Iterator[None]:
    """Hold Ctrl-C back while processes are started: they begin with it blocked, and this one gets it afterwards."""
    if not hasattr(signal, "pthread_sigmask") or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
