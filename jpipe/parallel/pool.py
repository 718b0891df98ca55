"""Run tasks in the workers of one joblib.Parallel and say when each is done.

This room alone leans on joblib's interface of backends; here it is asked to run things, `preloaded_backend` is one of
its own, and `backends` knows those of others. A `Pool` opens
``with Parallel(...) as parallel:`` once and then gives its tasks to the backend directly, with
``backend.submit(task, callback)``, as joblib documents for backends
(https://joblib.readthedocs.io/en/stable/custom_parallel_backend.html): every completion arrives as a call of its own,
failed tasks leave the workers alive, and nothing polls. It works with each backend that joblib knows: loky, threading,
multiprocessing, dask, ray and registered ones.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing import resource_tracker
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from joblib import Parallel, parallel_config
from joblib.externals.loky.backend import resource_tracker as loky_tracker
from joblib.parallel import BatchedCalls

from jpipe.parallel.backends import Contact
from jpipe.parallel.interpreter_flags import start_with_flags
from jpipe.parallel.interrupts import blocked
from jpipe.parallel.joblib_config import waiting_for_workers
from jpipe.parallel.preload_request import Preload
from jpipe.parallel.preloaded_backend import PreloadedBackend, needed_workers
from jpipe.parallel.process_lifetime import belong_to
from jpipe.system.error_record import WorkersLost

if TYPE_CHECKING:
    from jpipe.parallel.map_engine import Done

__all__ = ["Pool", "WorkersLost"]

_BEHIND = 15
"""The `nice` of processes that need not be ready before workers are."""


class Pool:
    """The workers of one run.

    Parameters
    ----------
    n_jobs
        joblib's: number of workers, -1 for all cores, None for what ``joblib.parallel_config`` says.
    backend
        Name of a joblib backend, or None for what ``joblib.parallel_config`` says, else loky.
    options
        More keyword arguments for ``joblib.Parallel``, such as ``inner_max_num_threads`` or ``temp_folder``.
    max_nbytes
        joblib's own memory-mapping of arguments, off by default: a run of a pipeline sends references instead.
    preload
        For the backend ``"preloaded"``: what workers are to begin with.
    most
        How many tasks there can be at once, where that is known: loky, which starts all workers with the first task,
        starts no more.

    Attributes
    ----------
    unfit
        The workers of a cluster, by address, that are given nothing, and why.

    Notes
    -----
    A `Pool` that lost workers stays usable after `reopen`; one left by an exception must not be used again.
    """

    def __init__(
        self,
        n_jobs: int | None = None,
        backend: str | None = None,
        *,
        options: Mapping[str, Any] | None = None,
        max_nbytes: int | str | None = None,
        preload: Preload | None = None,
        most: int | None = None,
    ) -> None:
        self._arguments: dict[str, Any] = {"n_jobs": n_jobs, "max_nbytes": max_nbytes, **(options or {})}
        self._preload = preload or Preload()
        self._most = most
        if backend is not None:
            self._arguments["backend"] = backend
        self._parallel: Parallel | None = None
        self._contact = Contact(None)
        self.n_jobs = 1
        self.unfit: dict[str, str] = {}

    def __enter__(self) -> Self:
        self._open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None:
            self.kill()
        self.close()

    @property
    def is_open(self) -> bool:
        """Whether tasks can be submitted."""
        return self._parallel is not None

    @property
    def shares_memory(self) -> bool:
        """Whether workers are threads of this process."""
        return bool(getattr(self._backend, "supports_sharedmem", False))

    @property
    def is_local(self) -> bool:
        """Whether workers are on this machine, as far as joblib tells."""
        return type(self._backend).__module__.startswith(("joblib._parallel_backends", "jpipe."))

    @property
    def survives_losses(self) -> bool:
        """Whether a worker that dies takes its own task with it and no other."""
        return isinstance(self._backend, PreloadedBackend)

    @property
    def keeps_others(self) -> bool:
        """Whether what other workers were given goes on where one dies."""
        return self.survives_losses or self._contact.is_cluster

    @property
    def fell_back(self) -> str:
        """Why loky's workers are used where forked ones were wanted; empty where they are not."""
        return str(getattr(self._backend, "fell_back", ""))

    @property
    def _has_children(self) -> bool:
        """Whether workers are processes that this one starts itself."""
        return self.is_local and not self.shares_memory

    @property
    def tells_losses(self) -> bool:
        """Whether tasks fail with `WorkersLost` when their worker dies; else nothing is ever heard of them."""
        return type(self._backend).__name__ != "MultiprocessingBackend"

    def find_unfit(self, check: Callable[[], object]) -> None:
        """Have each worker of a cluster load and call `check`; those that cannot are `unfit`."""
        self.unfit = self._contact.unfit(self._backend, check)
        if self.unfit and not self._contact.has_workers():
            self.n_jobs = 1

    def forget_parts(self) -> None:
        """Parts of tasks may be lost: they are sent anew."""
        self._contact.forget_shared()

    def exclude(self, worker: str) -> bool:
        """Give no more to a worker of a cluster; return whether others are left to give it to."""
        return self.is_open and self._contact.exclude(self._backend, worker)

    def is_gone(self) -> bool:
        """Whether its workers cannot be reached any more: the scheduler of their cluster died."""
        return self._contact.is_gone()

    def forget(self) -> None:
        """Leave workers that cannot be reached: to say goodbye would wait for an answer."""
        self._parallel = None

    def submit(self, task: Callable[..., Any], done: Done, parts: Sequence[Any] = ()) -> None:
        """Run ``task(*parts)`` in a worker; `done` is called in another thread when it finished, failed or was lost.

        Parts that many tasks have in common go to a worker once, where the backend can do that.

        Raises
        ------
        WorkersLost
            The workers died before the task could be handed over.
        """
        backend = self._backend

        def retrieve(out: Any = None) -> None:
            try:
                result = backend.retrieve_result_callback(out)[0]
            except BaseException as error:
                # loky calls this before it ends the workers that still live, so the dead are the ones that died.
                done(None, WorkersLost(str(error), _dead(backend)) if _means_lost(error) else error)
            else:
                done(result, None)

        sent = self._contact.shared(parts) if parts else ()
        calls: list[Any] = [(_in_worker, (_starter() if self._has_children else None, task, *sent), {})]
        batch = BatchedCalls(calls, backend.get_nested_backend(), self._mark_context, {})
        try:
            with blocked():
                future = backend.submit(batch, callback=retrieve)
        except Exception as error:
            if _means_lost(error):
                raise WorkersLost(str(error)) from error
            raise
        if type(backend).__name__ == "DaskDistributedBackend":
            future.add_done_callback(lambda future: _tell_error(future, done))

    def reopen(self) -> None:
        """Start new workers after `WorkersLost` or `kill`, unless they come by themselves."""
        if self.is_open and self.keeps_others and getattr(self._backend, "is_usable", True):
            return
        with contextlib.suppress(Exception):
            self.close()
        self._parallel = None
        self._open()

    def kill(self) -> None:
        """End the workers at once; what they were doing is lost."""
        if self._parallel is not None:
            with _ended_for_sure(self._backend, 0.2), contextlib.suppress(Exception):
                self._backend.abort_everything(ensure_ready=False)

    def close(self) -> None:
        """Give the workers back; joblib keeps idle ones for the next `Parallel` of this process."""
        parallel, self._parallel = self._parallel, None
        if parallel is None:
            return
        _greet_with(parallel._backend, None)
        with _ended_for_sure(parallel._backend, 2.0):
            with contextlib.suppress(Exception):
                parallel._backend.stop_call()
            with contextlib.suppress(Exception):
                parallel.__exit__(None, None, None)

    @property
    def _backend(self) -> Any:
        assert self._parallel is not None, "the pool is not open"
        return self._parallel._backend

    def _open(self) -> None:
        with self._thread_limit() as arguments:
            self._parallel = Parallel(**arguments)
        start_with_flags(self._parallel._backend)
        # Forked workers are started by a process that leaves Ctrl-C alone; to wait for it may take a while.
        with waiting_for_workers(), contextlib.nullcontext() if self.survives_losses else blocked():
            self._parallel.__enter__()
        if self._has_children and not self.survives_losses:
            _greet_with(self._backend, belong_to)
            if os.name == "posix":
                _start_trackers()
        self.n_jobs = self._parallel._effective_n_jobs()
        self._contact = Contact(self._backend)
        if self._contact.is_cluster:
            # A cluster of one thread is a worker beside this process, where joblib's 1 means none.
            self.n_jobs = max(self.n_jobs, 2)
        # The dask backend sizes its batches by this attribute, which Parallel.__call__ would have set.
        self._parallel._cached_effective_n_jobs = self.n_jobs
        self._backend.start_call()

    @contextlib.contextmanager
    def _thread_limit(self) -> Iterator[dict[str, Any]]:
        """``Parallel`` itself does not take ``inner_max_num_threads``, only ``parallel_config`` does."""
        arguments = dict(self._arguments)
        if arguments.get("backend") == "preloaded":
            arguments["backend"] = PreloadedBackend(self._preload, self._most)
        elif arguments.get("backend") == "loky" and arguments["n_jobs"] is not None:
            arguments["n_jobs"] = needed_workers(arguments["n_jobs"], self._most)
        limit = arguments.pop("inner_max_num_threads", None)
        if limit is None:
            yield arguments
        else:
            with parallel_config(arguments.pop("backend", "loky"), inner_max_num_threads=limit):
                yield arguments

    def _mark_context(self) -> None:
        """Tell loky's memory-mapping which `Parallel` the arrays that it dumps belong to."""
        assert self._parallel is not None
        workers = getattr(self._backend, "_workers", None)
        manager = getattr(workers, "_temp_folder_manager", None)
        if manager is not None:
            manager.set_current_context(self._parallel._id)


def _in_worker(main: int | None, task: Callable[..., Any], *parts: Any) -> Any:
    if main is not None:
        belong_to(main)
    return task(*(part[0] if type(part) is tuple else part for part in parts))


def _starter() -> int:
    """The process that starts workers, for `belong_to`."""
    is_main = threading.current_thread() is threading.main_thread()
    return os.getpid() if is_main else -os.getpid()


def _greet_with(backend: Any, initializer: Callable[[int], None] | None) -> None:
    """Let workers that loky starts from now on call this before they wait for their first task, which may never come.

    As an argument of ``Parallel`` it would make joblib start other workers for every ``Parallel`` without it.
    """
    workers: Any = getattr(backend, "_workers", None)
    if hasattr(workers, "_initializer") and workers._initializer in (None, belong_to):
        workers._initializer = initializer
        workers._initargs = () if initializer is None else (_starter(),)


def _start_trackers() -> None:
    """Start the processes that tidy up behind killed workers, and let the workers go before them.

    joblib's imports as much as a worker does, and nobody waits for it: beside the workers it would keep them from the
    cores while they start. Until Python 3.12 the start of Python's own lets Ctrl-C through again, also to workers that
    are started beside it.
    """
    trackers: tuple[Any, ...] = (loky_tracker._resource_tracker, resource_tracker._resource_tracker)
    for tracker in trackers:
        tracker.ensure_running()
        process = getattr(tracker, "_pid", None)
        if process is not None:
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, process, _BEHIND)


def _dead(backend: Any) -> frozenset[int]:
    """The worker processes of a backend that are over, where it has them."""
    processes = getattr(getattr(backend, "_workers", None), "_processes", None)
    with contextlib.suppress(Exception):
        return frozenset(pid for pid, process in dict(processes or {}).items() if process.exitcode is not None)
    return frozenset()


@contextlib.contextmanager
def _ended_for_sure(backend: Any, grace: float) -> Iterator[None]:
    """While the code inside ends a multiprocessing.Pool, kill what is still alive after `grace` seconds.

    The pool only asks its workers to end and then waits for them: one in native code would never hear of it.
    """
    pool = getattr(backend, "_pool", None)
    workers = getattr(pool, "_pool", None)
    if not isinstance(workers, list):
        yield
        return
    over = threading.Event()

    def kill() -> None:
        while not over.wait(grace):
            for process in list(workers):
                with contextlib.suppress(Exception):
                    process.kill()

    threading.Thread(target=kill, name="jpipe-pool-end", daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _tell_error(future: Any, done: Done) -> None:
    """Say that a task failed in a way that joblib's dask backend keeps to itself, such as a killed worker."""
    error = future.exception()
    if error is not None:
        done(None, WorkersLost(str(error)) if _means_lost(error) else error)


def _means_lost(error: BaseException) -> bool:
    """Whether an error of a backend says that worker processes died."""
    if isinstance(error, WorkersLost):
        return False
    names = {cls.__name__ for cls in type(error).__mro__}
    return bool(
        names & {"BrokenProcessPool", "BrokenExecutor", "KilledWorker", "ActorDiedError", "ShutdownExecutorError"}
    )
