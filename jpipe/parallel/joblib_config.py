"""What joblib was told about workers: by ``joblib.parallel_config``, by the environment, or by being inside a worker.

Whoever did not import joblib told it nothing; then it is not imported to be asked.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from jpipe.errors import UsageError

__all__ = [
    "active_n_jobs",
    "configured",
    "effective_n_jobs",
    "is_configured",
    "uses_cluster",
    "uses_loky",
    "waiting_for_workers",
]


def configured() -> dict[str, Any]:
    """What ``joblib.parallel_config`` sets at the moment, without the defaults of what it leaves alone."""
    if "joblib" not in sys.modules:
        return {}
    parallel = _joblib_parallel()
    defaults = parallel.default_parallel_config
    config = getattr(parallel._backend, "config", defaults)
    return {name: value for name, value in config.items() if value is not defaults.get(name)}


def is_configured() -> bool:
    """Whether joblib was told, or knows, something about the workers of this thread beside their number."""
    if os.environ.get("LOKY_PICKLER"):
        return True
    if "joblib" not in sys.modules:
        return False
    parallel = _joblib_parallel()
    backend, _ = parallel.get_active_backend(prefer=None, require=None)
    return bool(configured().keys() - {"n_jobs"}) or parallel.DEFAULT_BACKEND != "loky" or bool(backend.nesting_level)


def active_n_jobs() -> int | None:
    """The number of workers that joblib was told, 1 inside one of its workers; None where nobody said anything."""
    if "joblib" not in sys.modules:
        return None
    # Without hints, or joblib would answer 1 for require="sharedmem", whatever n_jobs is configured.
    backend, jobs = _joblib_parallel().get_active_backend(prefer=None, require=None)
    if jobs is not None:
        return int(jobs)
    return 1 if (backend.nesting_level or 0) > 0 else None


def effective_n_jobs() -> int | None:
    """How many workers the backend that joblib was told to use gives; None where it was not told of one."""
    if "joblib" not in sys.modules:
        return None
    parallel = _joblib_parallel()
    backend, jobs = parallel.get_active_backend()
    if type(backend).__name__ == "LokyBackend" and jobs is None:
        return None
    with waiting_for_workers():
        return int(parallel.effective_n_jobs(None))


@contextlib.contextmanager
def waiting_for_workers() -> Iterator[None]:
    """Within the block joblib may wait for the first worker of a cluster.

    Raises
    ------
    UsageError
        When none comes.
    """
    try:
        yield
    except TimeoutError:
        hint = "start workers, or wait longer for them: --backend-option wait_for_workers_timeout=60"
        raise UsageError("the cluster has no worker", hint=hint) from None


def uses_cluster() -> bool:
    """Whether the backend that joblib was told to use has the workers of a scheduler, as dask's."""
    if "joblib" not in sys.modules:
        return False
    return hasattr(getattr(_joblib_parallel().get_active_backend()[0], "client", None), "scheduler_info")


def uses_loky(options: Mapping[str, Any]) -> bool:
    """Whether joblib would choose loky's workers for these options of ``Parallel``."""
    if options.get("backend") is not None:
        return bool(options["backend"] == "loky")
    backend, _ = _joblib_parallel().get_active_backend(prefer=options.get("prefer"), require=options.get("require"))
    return type(backend).__name__ == "LokyBackend"


def _joblib_parallel() -> Any:
    """joblib's module of pools, whole, also while another thread imports joblib.

    To ask for the submodule by name would hold its lock while the package, which the other thread holds, asks for it.
    """
    import joblib

    return joblib.parallel
