"""joblib's backend ``"preloaded"``: workers that are forked in milliseconds from a process that has imported already.

Where such forks are not safe, or not possible, it hands over to loky and says why in `fell_back` of loky's backend.
"""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable
from typing import Any

from joblib._memmapping_reducer import TemporaryResourcesManager, get_memmapping_reducers
from joblib._parallel_backends import AutoBatchingMixin, FallbackToBackend, LokyBackend, SequentialBackend
from joblib.externals.loky.backend.reduction import dumps
from joblib.parallel import ParallelBackendBase

from jpipe.parallel.forked_workers import ForkedFromServer
from jpipe.parallel.interpreter_flags import start_with_flags
from jpipe.parallel.preload import is_possible, ready_server
from jpipe.parallel.preload_request import Preload
from jpipe.parallel.remote_error import RemoteTraceback
from jpipe.system.error_record import WorkersLost, record_error
from jpipe.system.machine import workers_of

__all__ = ["PreloadedBackend", "needed_workers"]


def needed_workers(n_jobs: int, most: int | None) -> int:
    """The number of workers that joblib's `n_jobs` means, where there are at most so many tasks at once."""
    # One worker would be none: joblib does the tasks in the main process then.
    return n_jobs if most is None else min(workers_of(n_jobs), max(most, 2))


class PreloadedBackend(AutoBatchingMixin, ParallelBackendBase):  # type: ignore[misc]
    """Workers forked from a process that has imported what the pipeline imports.

    Parameters
    ----------
    preload
        What they begin with. Default: what the script that runs imports.
    most
        How many tasks there can be at once, for loky, which starts all workers together.
    options
        As for any backend of joblib.
    """

    supports_retrieve_callback = True
    supports_inner_max_num_threads = True

    def __init__(self, preload: Preload | None = None, most: int | None = None, **options: Any) -> None:
        super().__init__(**options)
        self._preload = preload
        self._most = most
        self._pool: ForkedFromServer | None = None
        self._temporary: Any = None

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """How many workers `n_jobs` means."""
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        return 1 if n_jobs is None else workers_of(n_jobs)

    def configure(self, n_jobs: int = 1, parallel: Any = None, **options: Any) -> int:
        """Find out whether forks are safe, and be ready to fork; the number of workers."""
        n_jobs = self.effective_n_jobs(n_jobs)
        if n_jobs == 1:
            raise FallbackToBackend(SequentialBackend(nesting_level=self.nesting_level))
        options = {**self.backend_kwargs, **options}
        limits = self._prepare_worker_env(n_jobs)
        problem = "this system has no safe forks"
        if is_possible():
            server, problem = ready_server(self._preload or Preload(_script()), limits)
            if server is not None:
                self._pool = ForkedFromServer(server, n_jobs, limits)
                self._reducers(options)
                self.parallel = parallel
                return n_jobs
        loky = LokyBackend(
            nesting_level=self.nesting_level, inner_max_num_threads=self.inner_max_num_threads, **self.backend_kwargs
        )
        start_with_flags(loky)
        if parallel is not None:
            parallel.n_jobs = needed_workers(n_jobs, self._most)
        loky.fell_back = problem
        raise FallbackToBackend(loky)

    def submit(self, func: Callable[[], Any], callback: Callable[[Any], None] | None = None) -> Any:
        """Have a worker call `func`."""
        assert self._pool is not None
        outcome = _Outcome()

        def finished(result: Any, lost: WorkersLost | None) -> None:
            outcome.take(result, lost)
            if callback is not None:
                callback(outcome)

        self._pool.submit(dumps(_Call(func), reducers=self._forward), finished)
        return outcome

    def retrieve_result_callback(self, out: _Outcome) -> Any:
        """What the function returned; raises what it raised."""
        return out.value()

    @property
    def is_usable(self) -> bool:
        """Whether workers that died can be replaced without a new pool."""
        return self._pool is not None and self._pool.is_usable

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """End the workers at once."""
        if self._pool is not None:
            self._pool.kill()
        if ensure_ready:
            self.configure(n_jobs=self.parallel.n_jobs, parallel=self.parallel)

    def terminate(self) -> None:
        """Let the workers end, and remove what was mapped for them."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()
        temporary, self._temporary = self._temporary, None
        if temporary is not None:
            temporary._clean_temporary_resources(force=True)
        self.reset_batch_stats()

    def _reducers(self, options: dict[str, Any]) -> None:
        """How arrays travel, as with joblib's other pools: large ones as files that are mapped."""
        limit = options.get("max_nbytes", 1e6)
        if limit is not None:
            self._temporary = TemporaryResourcesManager(options.get("temp_folder"))
        elif "numpy" not in sys.modules:
            self._forward: Any = {}
            return
        self._forward, _ = get_memmapping_reducers(
            temp_folder_resolver=self._temporary and self._temporary.resolve_temp_folder_name,
            max_nbytes=limit,
            mmap_mode=options.get("mmap_mode", "r"),
            verbose=options.get("verbose", 0),
            prewarm=options.get("prewarm", False),
            unlink_on_gc_collect=False,
        )


class _Call:
    """A function on its way to a worker; calling it there gives what is sent back."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function

    def __call__(self) -> Any:
        own = os.getpid()
        try:
            result = True, self._function()
        except BaseException as error:
            result = False, record_error(error, dumps=lambda thing: bytes(dumps(thing)))
        if os.getpid() != own:  # a child that the function forked
            os._exit(0)
        _, backward = get_memmapping_reducers(max_nbytes=None)
        try:
            return dumps(result, reducers=backward)
        except BaseException as error:
            return dumps((False, record_error(pickle.PicklingError(f"the result cannot be pickled: {error}"))))


class _Outcome:
    """What became of a call, once it is known."""

    def __init__(self) -> None:
        self._result: Any = None
        self._lost: WorkersLost | None = None

    def take(self, result: Any, lost: WorkersLost | None) -> None:
        self._result, self._lost = result, lost

    def value(self) -> Any:
        if self._lost is not None:
            raise self._lost
        good, value = pickle.loads(self._result)
        self._result = None
        if good:
            return value
        error = value.exception() or RuntimeError(f"{value.error_type}: {value.message}")
        error.__cause__ = RemoteTraceback(value.traceback)
        raise error


def _script() -> tuple[str, ...]:
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    return (file,) if isinstance(file, str) else ()
