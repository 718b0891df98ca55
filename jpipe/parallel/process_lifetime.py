"""What makes a process a worker: it leaves Ctrl-C to the main process, and does not outlive that."""

from __future__ import annotations

import faulthandler
import gc
import os
import signal
import sys
import threading
import time

__all__ = ["belong_to", "die_with_parent", "end_with", "is_worker"]

_PR_SET_PDEATHSIG = 1
_done = False


def belong_to(main: int) -> None:
    """Make this process a worker of its parent, the process `main`, unless it is that itself; asked before each chunk.

    `main` is negative where the parent started it from a thread that may end before it does.

    A terminal sends Ctrl-C to workers too. They leave it to the main process, which asks them to stop after their
    item. It is handled by doing nothing instead of being ignored, because programs that a step starts would inherit
    the latter.
    """
    global _done
    if _done or os.getpid() == abs(main) or threading.current_thread() is not threading.main_thread():
        return
    _done = True
    # What is imported by now stays: to look it through after the first task, as loky does, and at the end takes longer.
    gc.freeze()
    signal.signal(signal.SIGINT, _leave_it)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    faulthandler.enable(2)
    # The signal comes when the *thread* that started this process ends. multiprocessing.Pool starts new workers, which
    # are daemons, from a thread that ends before they may: killed with a lock in hand, they block the pool for good.
    from multiprocessing import current_process

    if sys.platform == "linux" and not current_process().daemon:
        if main > 0:
            die_with_parent(main)
        else:
            threading.Thread(target=end_with, args=(-main,), name="jpipe-parent", daemon=True).start()


def is_worker() -> bool:
    """Whether this process is a worker of another."""
    return _done


def _leave_it(number: int, frame: object) -> None:
    """Do nothing."""


def end_with(parent: int) -> None:
    """End this process when its parent has ended; for a thread of its own."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def die_with_parent(parent: int) -> None:
    """Be killed when the parent is: a killed main process cannot end its workers."""
    try:
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    except (OSError, AttributeError, ImportError):
        return
    if os.getppid() != parent:
        os._exit(1)
