"""How many workers a run has, and the pool that holds them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

from jpipe.errors import UsageError
from jpipe.system.machine import workers_of
from jpipe.system.memory import machine_memory

__all__ = ["memory_for_items", "pool_maker", "workers"]


def workers(n_jobs: Any) -> int:
    """The number of workers that joblib's `n_jobs` means here.

    Raises
    ------
    UsageError
        For 0, and for what is no number.
    """
    if n_jobs is not None and (not isinstance(n_jobs, int) or isinstance(n_jobs, bool) or n_jobs == 0):
        raise UsageError(
            f"n_jobs={n_jobs!r}: it takes a number of workers", hint="1 for none beside this process, -1 for all cores"
        )
    if n_jobs is None and _configured():
        import joblib

        return int(joblib.effective_n_jobs(None))
    return workers_of(-1 if n_jobs is None else n_jobs)


def memory_for_items() -> int:
    """What items may need together, bytes: the machine's memory less a tenth."""
    return int(machine_memory() * 0.9)


def pool_maker(n_jobs: int | None, backend: str | None, options: Mapping[str, Any] | None) -> Callable[[bool], Any]:
    """What opens a pool when one is needed; it is called with whether its workers are to be threads."""

    def make(threads: bool) -> Any:
        from jpipe.parallel.pool import Pool

        wanted = -1 if n_jobs is None and not _configured() else n_jobs
        if not threads and workers(n_jobs) == 1:
            # For an item that is not to run in the main process: of one worker joblib makes none.
            wanted = 2
        if threads:
            return Pool(wanted if wanted is not None else -1, "threading")
        return Pool(wanted, backend, options=options)

    return make


def _configured() -> bool:
    """Whether a ``joblib.parallel_config`` is active that says something of workers."""
    if "joblib" not in sys.modules:
        return False
    from joblib.parallel import get_active_backend

    backend, jobs = get_active_backend()
    return type(backend).__name__ != "LokyBackend" or jobs is not None
