"""Let maps that run at the same time in threads of this process share joblib's one pool of processes in peace.

loky has one executor for the whole process. Asked for another number of workers it waits for, or ends, those that are
there, and whoever kills its workers kills those of all.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from jpipe.parallel.pool import Pool

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jpipe.parallel.map_engine import Done

__all__ = ["SharedPool"]

_lock = threading.Lock()
_users = 0
_agreed: tuple[int, Any] = (1, None)
"""Number of workers, and their threads, that the first of the maps under way has asked for."""


class SharedPool:
    """A `Pool` of loky's workers: while other maps use them it takes as many as there are, and never kills them.

    Parameters
    ----------
    n_jobs, backend, options
        See `Pool`.
    """

    def __init__(self, n_jobs: int, backend: str | None, options: Mapping[str, Any]) -> None:
        global _users, _agreed
        with _lock:
            if not _users:
                _agreed = n_jobs, options.get("inner_max_num_threads")
            _users += 1
            count, threads = _agreed
            others = {name: value for name, value in options.items() if name != "inner_max_num_threads"}
            self._pool = Pool(
                count, backend, options=others if threads is None else {**others, "inner_max_num_threads": threads}
            )
            try:
                self._pool.__enter__()
            except BaseException:
                _users -= 1
                raise
        self.n_jobs = self._pool.n_jobs
        self.shares_memory = self._pool.shares_memory
        self.is_local = self._pool.is_local
        self._closed = False

    def submit(self, task: Callable[[], Any], done: Done) -> None:
        """Run `task()` in a worker."""
        self._pool.submit(task, done)

    def kill(self) -> None:
        """End the workers, unless others use them: these end what they do for this map by themselves."""
        with _lock:
            if _users == 1:
                self._pool.kill()

    def close(self) -> None:
        """Give the workers back."""
        global _users
        with _lock:
            if not self._closed:
                self._closed = True
                _users -= 1
                self._pool.close()
