"""What a map needs from workers, and the choice between those of joblib and forked ones.

joblib's workers are the rule. Forked ones start in a tenth of the time and need no copy of what the function uses, but
a fork is safe only in a process that has a single thread. So they are used where that is so, and where neither an
option nor ``joblib.parallel_config`` asks for anything.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from jpipe.errors import UsageError

__all__ = ["Done", "Workers", "may_fork", "resolve_n_jobs"]

Done = Callable[[Any, BaseException | None], None]
"""Called with (result, None) or (None, error), in any thread."""


class Workers(Protocol):
    """Those who run the chunks of a map; `jpipe.parallel.pool.Pool` is one."""

    n_jobs: int

    @property
    def shares_memory(self) -> bool:
        """Whether workers are threads of this process."""

    @property
    def is_local(self) -> bool:
        """Whether workers are on this machine."""

    def submit(self, task: Callable[[], Any], done: Done) -> None:
        """Run `task()` in a worker."""

    def kill(self) -> None:
        """End the workers at once."""

    def close(self) -> None:
        """Give the workers back."""


def may_fork(options: Mapping[str, Any]) -> bool:
    """Whether forked workers can be used.

    Parameters
    ----------
    options
        The options of the map that joblib knows; any that is set asks for joblib.
    """
    return (
        sys.platform == "linux"
        and all(value is None for value in options.values())
        and not _is_configured()
        and (_has_one_thread() or _forks_with_one_thread())
    )


def resolve_n_jobs(n_jobs: int | None) -> int:
    """The number of workers that was asked for: by the caller, else by ``joblib.parallel_config``, else all cores.

    A negative number counts from the number of cores, as in joblib: -1 is all of them. Inside a worker the
    default is 1.

    Raises
    ------
    UsageError
        For 0, and for what is no whole number.
    """
    if n_jobs is None:
        n_jobs = _configured_n_jobs()
    if isinstance(n_jobs, bool) or int(n_jobs) != n_jobs or n_jobs == 0:
        raise UsageError(f"n_jobs={n_jobs!r}: it takes a whole number other than 0", hint="-1 is all cores")
    return int(n_jobs)


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


def _is_configured() -> bool:
    """Whether joblib was told, or knows, something about the workers of this thread beside their number."""
    if os.environ.get("LOKY_PICKLER"):
        return True
    if "joblib" not in sys.modules:
        return False
    from joblib.parallel import DEFAULT_BACKEND, get_active_backend

    from jpipe.parallel.pool import configured

    backend, _ = get_active_backend(prefer=None, require=None)
    return bool(configured().keys() - {"n_jobs"}) or DEFAULT_BACKEND != "loky" or bool(backend.nesting_level)


def _configured_n_jobs() -> int:
    if "jpipe.parallel.forked_pool" in sys.modules and sys.modules["jpipe.parallel.forked_pool"].inside_worker:
        return 1
    if "joblib" not in sys.modules:
        return -1
    from joblib.parallel import get_active_backend

    # Without hints, or joblib would answer 1 for require="sharedmem", whatever n_jobs is configured.
    backend, configured = get_active_backend(prefer=None, require=None)
    if configured is not None:
        return int(configured)
    return 1 if (backend.nesting_level or 0) > 0 else -1
