"""When this process started, so that files touched since then are known."""

from __future__ import annotations

import functools
import os
import time

_IMPORTED = time.time()
_SLACK = 0.05
"""Seconds; process start is known to a hundredth of a second, file stamps to a few milliseconds."""


@functools.cache
def started_at() -> float:
    """Seconds since the epoch, rather early than late; when jpipe was imported where the system does not say."""
    try:
        with open("/proc/self/stat", "rb") as stream:
            ticks = int(stream.read().rpartition(b")")[2].split()[19])
        running = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):
        return _IMPORTED - _SLACK
    return time.time() - running - _SLACK
