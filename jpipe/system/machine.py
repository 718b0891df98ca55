"""How many cores this process may use, how many workers that makes, and which processes are alive."""

from __future__ import annotations

import os
import sys
from pathlib import Path

__all__ = ["cpu_count", "is_alive", "workers_of"]


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


def is_alive(pid: int) -> bool:
    """Whether a process of this machine has not ended; True where that cannot be asked."""
    if sys.platform.startswith("linux"):
        try:
            # One that ended and that nobody has waited for yet still answers to signals.
            return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
        except (OSError, IndexError):
            pass
    if os.name == "nt":  # there os.kill(pid, 0) would end it
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
