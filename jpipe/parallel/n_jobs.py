"""How many workers a run or a map has, and the pool that holds those of a run."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from jpipe.errors import UsageError
from jpipe.parallel import joblib_config
from jpipe.system.machine import workers_of
from jpipe.system.memory import machine_memory

if TYPE_CHECKING:
    from jpipe.parallel.preload_request import Preload

__all__ = ["Pools", "memory_for_items", "resolve_n_jobs", "workers"]


def resolve_n_jobs(n_jobs: Any) -> int:
    """The number that was asked for: by the caller, else by ``joblib.parallel_config``, else -1 for all cores.

    A negative number counts from the number of cores, as in joblib. Inside a worker the default is 1.

    Raises
    ------
    UsageError
        For 0, and for what is not a whole number.
    """
    if n_jobs is None:
        n_jobs = _told()
    try:
        whole = None if isinstance(n_jobs, bool) or int(n_jobs) != n_jobs else int(n_jobs)
    except (TypeError, ValueError):
        whole = None
    if not whole:
        raise UsageError(
            f"n_jobs={n_jobs!r}: it takes a number of workers", hint="1 for none beside this process, -1 for all cores"
        )
    return whole


def workers(n_jobs: Any) -> int:
    """How many workers that makes here."""
    given = joblib_config.effective_n_jobs() if n_jobs is None else None
    return workers_of(resolve_n_jobs(n_jobs)) if given is None else given


def memory_for_items() -> int:
    """What items may need together, bytes: the machine's memory less a tenth."""
    return int(machine_memory() * 0.9)


class Pools:
    """Opens the pools of a run when they are needed.

    Parameters
    ----------
    n_jobs, backend, options, preload
        See `jpipe.parallel.pool.Pool`. Workers are preloaded unless somebody asks for others.

    Attributes
    ----------
    n_jobs
        How many workers that makes here.
    """

    def __init__(
        self,
        n_jobs: int | None,
        backend: str | None,
        options: Mapping[str, Any] | None,
        preload: Preload | None = None,
    ) -> None:
        # A cluster of one thread is a worker beside this process, where joblib's 1 means none.
        self.n_jobs = max(workers(n_jobs), 2 if joblib_config.uses_cluster() else 1)
        self._wanted = n_jobs
        self._backend = backend
        self._options = options
        self._preload = preload

    def open(self, threads: bool, most: int | None) -> Any:
        """A pool, of threads or of what the backend makes, for at most so many tasks at once, where that is known."""
        from jpipe.parallel.pool import Pool

        wanted = -1 if self._wanted is None and joblib_config.effective_n_jobs() is None else self._wanted
        if not threads and self.n_jobs == 1:
            # For an item that is not to run in the main process: of one worker joblib makes none.
            wanted = 2
        if threads:
            return Pool(wanted if wanted is not None else -1, "threading")
        chosen = "preloaded" if self._backend is None and not joblib_config.is_configured() else self._backend
        return Pool(wanted, chosen, options=self._options, preload=self._preload, most=most)


def _told() -> int:
    """What holds where the caller says nothing."""
    forked = sys.modules.get("jpipe.parallel.forked_pool")
    if forked is not None and forked.inside_worker:
        return 1
    told = joblib_config.active_n_jobs()
    return -1 if told is None else told
