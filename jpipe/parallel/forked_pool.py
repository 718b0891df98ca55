"""Workers that are forks of this process: they have all that it has, so only items and results travel."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import itertools
import multiprocessing
import os
import signal
import sys
import threading
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jpipe.parallel.process_lifetime import end_with

if TYPE_CHECKING:
    from collections.abc import Callable

    from jpipe.parallel.map_engine import Done

__all__ = ["ForkedWorkers", "inside_worker"]

inside_worker = False
"""True in a forked worker, where a further map has no cores left to use."""

_THREAD_VARIABLES = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS", "NUMEXPR_NUM_THREADS",
)  # fmt: skip


class ForkedWorkers:
    """Forked processes.

    Parameters
    ----------
    n_jobs
        How many.
    cores
        How many cores they share.
    """

    shares_memory = False
    is_local = True

    def __init__(self, n_jobs: int, cores: int) -> None:
        self.n_jobs = n_jobs
        self._executor = ProcessPoolExecutor(
            n_jobs,
            multiprocessing.get_context("fork"),
            initializer=_begin,
            initargs=(os.getpid(), max(cores // n_jobs, 1)),
        )
        # Fork now, while this process has one thread.
        self._executor.submit(os.getpid)

    def submit(self, task: Callable[[], Any], done: Done) -> None:
        """Run `task()` in a worker; raises the executor's error when workers died."""

        def finished(future: Future[Any]) -> None:
            try:
                result = future.result()
            except BaseException as error:
                done(None, error)
            else:
                done(result, None)

        self._executor.submit(task).add_done_callback(finished)

    def kill(self) -> None:
        """End the workers at once."""
        for process in list((getattr(self._executor, "_processes", None) or {}).values()):
            with contextlib.suppress(OSError, ValueError):
                process.kill()

    def close(self) -> None:
        """End the workers when they are idle."""
        self._executor.shutdown(wait=True, cancel_futures=True)


def _begin(parent: int, threads: int) -> None:
    """Prepare a worker: it leaves Ctrl-C to its parent, ends when that is gone, and computes on its share of cores."""
    global inside_worker
    inside_worker = True
    # A handler and not SIG_IGN, which programs that the function starts would inherit.
    signal.signal(signal.SIGINT, lambda *_: None)
    for name in _THREAD_VARIABLES:
        os.environ.setdefault(name, str(threads))
    _limit_openblas(threads)
    _reseed()
    # joblib reads this when it is imported: it then starts no processes below this one.
    os.environ["JOBLIB_MULTIPROCESSING"] = "0"
    joblib = sys.modules.get("joblib")
    if joblib is not None:
        joblib.parallel_config("sequential", n_jobs=1)
    # A collection would write to, and so copy, all objects that this process shares with its parent.
    gc.freeze()
    threading.Thread(target=end_with, args=(parent,), name="jpipe-parent", daemon=True).start()


def _reseed() -> None:
    """Numbers of its own for each worker; Python's own generator sees to that by itself."""
    random = sys.modules.get("numpy.random")
    if random is not None:
        random.seed()


def _limit_openblas(threads: int) -> None:
    """Tell copies of OpenBLAS that are loaded already, which look at no variable any more."""
    if "numpy" not in sys.modules:
        return
    with contextlib.suppress(OSError):
        lines = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines()
        for file in {line.split(maxsplit=5)[-1] for line in lines if "openblas" in line}:
            library = ctypes.CDLL(file)
            for prefix, suffix in itertools.product(("", "scipy_"), ("", "64_", "_64", "64")):
                limit = getattr(library, f"{prefix}openblas_set_num_threads{suffix}", None)
                if limit is not None:
                    limit(ctypes.c_int(threads))
