"""Where the items of a map run: in forks of this process, in workers of a clean one, or here.

Forked workers start in a tenth of the time and need no copy of what the function uses. But a fork has one thread, and
the same connections as its siblings. So a map forks only where this process has one thread and no connections, and
nobody asks joblib for anything; else its workers come from a clean process. A function that goes on from where the item
before it left something (the position in an open file, a generator, a random generator) can have neither: each worker
would go on from the same place. Its items run here.
"""

from __future__ import annotations

import contextlib
import enum
import os
import signal
import stat
import sys
import threading
import time
import warnings
from collections.abc import Iterable, Mapping
from types import FunctionType, ModuleType
from typing import Any

from jpipe.parallel.joblib_config import is_configured
from jpipe.parallel.reached import is_written_by_user, reached, travels_by_itself

__all__ = ["Place", "place_of"]

_COPIED_STATE = frozenset({"generator", "coroutine", "async_generator", "map", "filter", "zip", "enumerate"})
"""Iterators: every fork would go on from the same place."""
_RANDOM = frozenset({"Random", "Generator", "RandomState", "BitGenerator", "PCG64", "MT19937", "Philox", "SFC64"})


class Place(enum.Enum):
    """Where items run."""

    FORKS = "forks"
    CLEAN = "clean"
    HERE = "here"


def place_of(options: Mapping[str, Any], used: Iterable[Any]) -> Place:
    """Where to run the items of a map.

    Parameters
    ----------
    options
        The options of the map that joblib knows; any that is set asks for joblib.
    used
        The function, and what is the same for all items.
    """
    if any(value is not None for value in options.values()) or is_configured():
        return Place.CLEAN
    if any(map(_goes_on, reached(used))):
        return Place.HERE
    is_safe = sys.platform == "linux" and _can_have_children() and not _has_connections()
    return Place.FORKS if is_safe and (_has_one_thread() or _forks_with_one_thread()) else Place.CLEAN


# ---- the process


def _can_have_children() -> bool:
    """Whether multiprocessing can start and wait for processes here."""
    process = sys.modules.get("multiprocessing.process")
    if process is not None and process.current_process().daemon:
        return False
    if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
        return False
    try:
        # Containers without shared memory have no semaphores.
        import _multiprocessing  # type: ignore[import-not-found]

        _multiprocessing.SemLock(1, 1, 1, f"/jpipe-{os.getpid()}-{time.monotonic_ns()}", True)
    except (ImportError, AttributeError, OSError):
        return False
    return True


def _has_connections() -> bool:
    """Whether this process opened a socket or a device, which code far below the function may use."""
    with contextlib.suppress(OSError):
        for name in os.listdir("/proc/self/fd"):
            with contextlib.suppress(OSError):
                mode = os.fstat(int(name)).st_mode
                # What it was started with is inheritable, and is its parent's business.
                if stat.S_ISSOCK(mode) and not os.get_inheritable(int(name)):
                    return True
                if stat.S_ISCHR(mode) and os.readlink(f"/proc/self/fd/{name}").startswith(("/dev/nvidia", "/dev/dri")):
                    return True
    return False


def _has_one_thread() -> bool:
    """Whether this process has one thread as the system sees it, which counts those of native libraries too."""
    for _ in range(5):
        if len(os.listdir("/proc/self/task")) == 1:
            return True
        if threading.active_count() > 1:
            return False
        # A thread that was joined may be about to leave.
        time.sleep(0.001)
    return False


def _forks_with_one_thread() -> bool:
    """Whether the other threads are a native library's that ends them before a fork and starts them anew, as OpenBLAS.

    Whether it does so is seen from a fork that ends at once.
    """
    if threading.active_count() > 1:
        return False
    with warnings.catch_warnings():
        # Python warns of the threads that are looked for here.
        warnings.simplefilter("ignore")
        child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return _has_one_thread()


# ---- what the function reaches


def _goes_on(value: Any) -> bool:
    """Whether a value has a state that an item takes over from the one before it, wherever that ran."""
    kind = type(value)
    module = kind.__module__.partition(".")[0]
    if isinstance(value, FunctionType | ModuleType | type):
        return False
    if module == "builtins":
        return kind.__name__ in _COPIED_STATE
    if module == "itertools":
        return True
    if module in ("random", "numpy"):
        return kind.__name__ in _RANDOM
    if hasattr(kind, "fileno"):
        try:
            return int(value.fileno()) > 2
        except Exception:  # closed, or no file of the system's
            return False
    # Of a compiled class that refuses to be copied, as connections are.
    return not is_written_by_user(kind) and not travels_by_itself(kind) and module != "_thread" and _refuses(value)


def _refuses(value: Any) -> bool:
    try:
        value.__reduce_ex__(2)
    except TypeError:
        return True
    except Exception:
        return False
    return False
