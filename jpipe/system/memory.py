"""How much memory this process has taken, for each item by itself where the system allows it, and what there is."""

from __future__ import annotations

import os
import sys
from typing import Any

__all__ = ["PeakMeter", "forget_peak", "killed_for_memory", "machine_memory", "peak_memory"]

_usage: Any = None
try:
    import resource

    _usage = resource.getrusage
    _SELF = resource.RUSAGE_SELF
except ImportError:  # Windows has no resource module
    _SELF = 0
_UNIT = 1 if sys.platform == "darwin" else 1024
_RESETS_PEAK = b"5"
_reset: tuple[int, int] | None = None
"""The process that opened it, and the file that forgets the peak; -1 where there is none."""
_MOMENT = 0.001
"""In so many seconds a process gets hold of a few megabytes at most, and very short items run by the hundred."""


def peak_memory() -> int:
    """The most resident memory since `forget_peak`, or since the process began, bytes; 0 where it is not told."""
    return int(_usage(_SELF).ru_maxrss * _UNIT) if _usage is not None else 0


def forget_peak() -> None:
    """Measure the peak anew from here; it does nothing but on Linux."""
    global _reset
    if _reset is None or _reset[0] != os.getpid():
        _reset = os.getpid(), _opened()
    if _reset[1] < 0:
        return
    try:
        os.write(_reset[1], _RESETS_PEAK)
    except OSError:
        _reset = os.getpid(), -1


class PeakMeter:
    """The peak of one item after the other; of items within a moment it is measured once.

    Parameters
    ----------
    forgets
        Whether each begins anew, as far as the system allows it.
    """

    def __init__(self, *, forgets: bool) -> None:
        self._forgets = forgets
        self._forgotten = self._read = -_MOMENT
        self._peak = 0

    def begin(self, now: float) -> int:
        """An item begins; the peak so far. `now` is by the monotonic clock."""
        if self._forgets and now - self._forgotten >= _MOMENT:
            forget_peak()
            self._forgotten, self._read = now, now - _MOMENT
        return self.peak(now)

    def peak(self, now: float) -> int:
        """The peak of the item that runs, bytes."""
        if now - self._read >= _MOMENT:
            self._peak, self._read = peak_memory(), now
        return self._peak


def machine_memory() -> int:
    """The memory of this machine, or of the container that this process is in, bytes; 0 where it is not told."""
    try:
        memory = int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (ValueError, OSError, AttributeError):
        return 0
    try:
        with open("/sys/fs/cgroup/memory.max", encoding="ascii") as file:
            return min(memory, int(file.read()))
    except (OSError, ValueError):  # none, or "max"
        return memory


def killed_for_memory() -> int:
    """How many processes the kernel has killed for want of memory since it began; 0 where it does not say."""
    try:
        with open("/proc/vmstat", "rb") as file:
            return next((int(line.split()[1]) for line in file if line.startswith(b"oom_kill ")), 0)
    except (OSError, ValueError, IndexError):
        return 0


def _opened() -> int:
    if sys.platform != "linux":
        return -1
    try:
        return os.open("/proc/self/clear_refs", os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return -1
