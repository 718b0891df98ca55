"""How many cores this process may use, and how many workers that makes."""

from __future__ import annotations

import os
import sys

__all__ = ["cpu_count", "workers_of"]


def workers_of(n_jobs: int) -> int:
    """The number of workers that joblib's `n_jobs` means: a negative one counts from the cores, -1 is all of them."""
    return n_jobs if n_jobs > 0 else max(cpu_count() + 1 + n_jobs, 1)


def cpu_count() -> int:
    """How many cores this process may use: by its affinity and its share in a container."""
    available = getattr(os, "sched_getaffinity", None)
    counts = [os.cpu_count() or 1]
    if available is not None:
        counts.append(len(available(0)))
    limit = os.environ.get("LOKY_MAX_CPU_COUNT", "")
    if limit.isdigit():
        counts.append(int(limit))
    counts.append(_container_cores())
    return max(min(counts), 1)


def _container_cores() -> int:
    try:
        with open("/sys/fs/cgroup/cpu.max", encoding="ascii") as file:
            quota, period = file.read().split()
        return -(-int(quota) // int(period))
    except (OSError, ValueError):
        return sys.maxsize
