"""`parallel_map`: a function for every item, in the workers that fit."""

from __future__ import annotations

import contextlib
import enum
import queue
import re
import sys
from typing import TYPE_CHECKING, Any, Literal

from jpipe.errors import UsageError
from jpipe.parallel.chunk_size import Pace
from jpipe.parallel.fork_safety import Place, place_of
from jpipe.parallel.item_source import InTurns, is_empty, length_of, source_of
from jpipe.parallel.joblib_config import configured, is_configured, uses_loky
from jpipe.parallel.map_engine import Engine, Event, Workers
from jpipe.parallel.map_tasks import PackedTasks, Packing, SharedTasks, Tasks
from jpipe.parallel.map_worker import Work, warm_up
from jpipe.parallel.n_jobs import resolve_n_jobs
from jpipe.parallel.remote_error import with_note
from jpipe.system.machine import cpu_count, workers_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence

__all__ = ["Unset", "map_in_batches", "parallel_map"]


class Unset(enum.Enum):
    """Stands for an option that is left to ``joblib.parallel_config``, else to the default."""

    UNSET = "unset"


UNSET = Unset.UNSET
_LARGE = 1024**2
_WORKER_MODULES = ("jpipe.parallel.map_worker",)


def parallel_map(
    function: Callable[..., Any],
    iterables: Sequence[Iterable[Any]],
    constants: Mapping[str, Any] | None = None,
    *,
    n_jobs: int | None = None,
    backend: str | None = None,
    ordered: bool = True,
    whole: bool = False,
    total: int | None = None,
    batch_size: int | Literal["auto"] = "auto",
    pre_dispatch: int | str | None = None,
    max_nbytes: int | str | Unset | None = UNSET,
    mmap_mode: Literal["c", "r"] | Unset | None = UNSET,
    temp_folder: str | None = None,
    prefer: Literal["processes", "threads"] | None = None,
    require: Literal["sharedmem"] | None = None,
    inner_max_num_threads: int | None = None,
    on_start: Callable[[], None] | None = None,
    on_done: Callable[[int], None] | None = None,
) -> Generator[Any, None, None]:
    """Call a function for every item, in parallel, and give the results lazily.

    Nothing starts before the first result is asked for, no more items are drawn than needed for what is asked for,
    and closing the iterator cancels the rest.

    Parameters
    ----------
    function
        Any callable: lambdas, closures and bound methods too.
    iterables
        One for each positional argument; the shortest ends the map. Those without a length, such as generators, are
        drawn in a thread of their own.
    constants
        Keyword arguments that are the same for all items. They are sent to each worker once.
    n_jobs
        Number of workers; negative numbers count from the number of cores (-1: all of them). 1 runs in this process.
        Default: what ``joblib.parallel_config`` says, else all cores, and 1 inside a worker.
    backend
        Name of a joblib backend. Default: what ``joblib.parallel_config`` says, else processes.
    ordered
        Whether results come in the order of the items, or as they finish.
    whole
        Whether all results are going to be collected: workers then go ahead without limit.
    total
        Number of items, where the iterables do not know it.
    batch_size
        Items in a chunk. Default: as many as take about a quarter of a second.
    pre_dispatch
        How many items may have been drawn and not be finished: a number, ``"2*n_jobs"``, ``"all"``. Default: as many as
        the workers need to go on, and as the taken results call for.
    max_nbytes
        Arrays of this size or more, bytes or ``"1M"``, go to the workers as files that are mapped; None for never.
        Default: ``"1M"``.
    mmap_mode
        How they arrive: ``"c"`` (default) writable, changes stay in the worker; ``"r"`` read-only; None as copies.
    temp_folder
        Where those files go. Default: ``JOBLIB_TEMP_FOLDER``, else shared memory, else the system's temporary folder.
    prefer, require, inner_max_num_threads
        As in ``joblib.Parallel``.
    on_start
        Called when the workers are chosen, before the first item.
    on_done
        Called with a number of items whenever so many have finished, in the thread that takes the results.

    Yields
    ------
    object
        The results.

    Raises
    ------
    WorkerLostError
        A worker process was killed.
    StepError
        An item failed with an exception that cannot be pickled.
    Exception
        What the first item that failed has raised, with a note that names the item.
    """

    def count(_: int, number: int) -> None:
        if on_done is not None:
            on_done(number)

    batches = map_in_batches(
        Work(function, (), constants or {}),
        iterables,
        options={
            "backend": backend,
            "prefer": prefer,
            "require": require,
            "inner_max_num_threads": inner_max_num_threads,
            "temp_folder": temp_folder,
        },
        n_jobs=n_jobs,
        ordered=ordered,
        whole=whole,
        total=total,
        batch_size=batch_size,
        pre_dispatch=pre_dispatch,
        max_nbytes=max_nbytes,
        mmap_mode=mmap_mode,
        on_start=on_start,
        on_done=count,
    )
    with contextlib.closing(batches):
        for batch in batches:
            yield from batch


def map_in_batches(
    work: Work,
    iterables: Sequence[Iterable[Any]] | InTurns,
    *,
    options: Mapping[str, Any],
    n_jobs: int | None,
    ordered: bool,
    whole: bool,
    total: int | None,
    batch_size: int | Literal["auto"],
    max_nbytes: int | str | Unset | None,
    mmap_mode: Literal["c", "r"] | Unset | None,
    pre_dispatch: int | str | None = None,
    on_start: Callable[[], None] | None,
    on_done: Callable[[int, int], None],
) -> Generator[list[Any], None, None]:
    """`parallel_map` for a `Work`, some results at a time; `on_done` gets the index of the first of them too."""
    count = resolve_n_jobs(n_jobs)
    if count == 1:
        yield from _in_this_process(work, iterables, on_start, on_done)
        return
    if not isinstance(iterables, InTurns) and is_empty(iterables):
        (on_start or _nothing)()
        return
    events: queue.SimpleQueue[Event] = queue.SimpleQueue()
    with contextlib.ExitStack() as cleanup:
        remaining = iterables.remaining() if isinstance(iterables, InTurns) else length_of(iterables)
        count = _usable(count, remaining if remaining is not None else total, options)
        workers, tasks = _open(work, count, options, max_nbytes, mmap_mode, cleanup)
        (on_start or _nothing)()
        if tasks is None:
            yield from _in_this_process(work, iterables, None, on_done)
            return
        source = (
            iterables
            if isinstance(iterables, InTurns)
            else source_of(iterables, total, tasks.snapshot, lambda: events.put(Event()))
        )
        sizes = _sizes(batch_size)
        ahead = _items_ahead(pre_dispatch, workers.n_jobs)
        engine = Engine(
            workers, tasks, source, sizes, events, ordered=ordered, whole=whole, ahead=ahead, on_done=on_done
        )
        # The engine closes what it was given.
        cleanup.pop_all()
        yield from engine.batches()


def _open(
    work: Work,
    n_jobs: int,
    options: Mapping[str, Any],
    max_nbytes: int | str | Unset | None,
    mmap_mode: Literal["c", "r"] | Unset | None,
    cleanup: contextlib.ExitStack,
) -> tuple[Any, Tasks | None]:
    """Workers, and what makes their chunks: nothing where items are to run in this process."""
    used = [work.function, *work.after, *work.constants.values()]
    place = place_of(options, used)
    if place is Place.HERE:
        _say_that_it_stays(work.function, "it goes on from where the item before it left something it uses")
        return None, None
    fork = place is Place.FORKS
    settings = {} if fork else configured()
    packing = _packing(settings, options, max_nbytes, mmap_mode)
    if fork:
        return _fork(work, n_jobs, packing, cleanup)
    workers = _open_joblib(n_jobs, options, used)
    cleanup.callback(workers.close)
    if workers.n_jobs == 1:
        return workers, None
    if workers.shares_memory:
        return workers, SharedTasks(work)
    # Workers that have yet to start do so while the work is packed.
    workers.submit(warm_up, lambda *_: None)
    tasks = PackedTasks(work, inherited=False, same_machine=workers.is_local, packing=packing)
    cleanup.callback(tasks.close)
    try:
        tasks.pack_work()
    except Exception as error:
        if any(value is not None for value in options.values()) or is_configured():
            raise
        _say_that_it_stays(work.function, f"what it uses cannot be sent to another process: {error}")
        return workers, None
    return workers, tasks


def _say_that_it_stays(function: Any, why: str) -> None:
    """Say why items run in this process; who asks for processes by name gets them, or the error."""
    import warnings

    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    warnings.warn(f"the items of {name} run one by one in this process: {why}", stacklevel=6)


def _usable(n_jobs: int, items: int | None, options: Mapping[str, Any]) -> int:
    """No more workers than there are items; at least two, for one would be this process itself."""
    is_local = options.get("backend") is None and not is_configured()
    if items is None or (n_jobs < 0 and not is_local):
        return n_jobs
    return min(workers_of(n_jobs), max(items, 2))


def _packing(
    settings: Mapping[str, Any],
    options: Mapping[str, Any],
    max_nbytes: int | str | Unset | None,
    mmap_mode: Literal["c", "r"] | Unset | None,
) -> Packing:
    limit = settings.get("max_nbytes", _LARGE) if isinstance(max_nbytes, Unset) else max_nbytes
    mode = settings.get("mmap_mode", "c") if isinstance(mmap_mode, Unset) else mmap_mode
    if mode not in ("c", "r", "r+", None):
        raise UsageError(f"mmap_mode={mode!r}: it takes 'c', 'r' or None")
    return Packing(
        max_nbytes=_bytes(limit) if isinstance(limit, str) else limit,
        # Writable, as asked for, but never a way to write into the caller's arrays.
        mmap_mode="c" if mode == "r+" else mode,
        temp_folder=options.get("temp_folder") or settings.get("temp_folder"),
    )


def _fork(work: Work, n_jobs: int, packing: Packing, cleanup: contextlib.ExitStack) -> tuple[Any, Tasks | None]:
    from jpipe.parallel.forked_pool import ForkedWorkers

    count = workers_of(n_jobs)
    # Before the workers, which inherit the work from it.
    tasks = PackedTasks(work, inherited=True, same_machine=True, packing=packing)
    cleanup.callback(tasks.close)
    workers = ForkedWorkers(count, cpu_count())
    cleanup.callback(workers.close)
    return workers, tasks if count > 1 else None


def _open_joblib(n_jobs: int, options: Mapping[str, Any], used: list[Any]) -> Workers:
    from jpipe.parallel.pool import Pool
    from jpipe.parallel.preload import is_possible
    from jpipe.parallel.preload_request import Preload
    from jpipe.parallel.reached import imports_of
    from jpipe.parallel.shared_pool import SharedPool

    chosen = {name: value for name, value in options.items() if value is not None and name != "backend"}
    if options.get("backend") is None and is_possible() and uses_loky(options) and not is_configured():
        # New ones for each map, which run the code that there is now; what takes long to import, they are forked with.
        files, modules = imports_of(used)
        preload = Preload(files, (*_WORKER_MODULES, *modules), without=_WORKER_MODULES)
        clean = Pool(n_jobs, "preloaded", options=chosen, preload=preload)
        clean.__enter__()
        if clean.survives_losses:
            return clean
        clean.close()
    if uses_loky(options):
        return SharedPool(n_jobs, options.get("backend"), chosen)
    pool = Pool(n_jobs, options.get("backend"), options=chosen)
    pool.__enter__()
    return pool


def _in_this_process(
    work: Work,
    iterables: Sequence[Iterable[Any]] | InTurns,
    on_start: Callable[[], None] | None,
    on_done: Callable[[int, int], None],
) -> Generator[list[Any], None, None]:
    (on_start or _nothing)()
    for index, arguments in enumerate(_items(iterables)):
        try:
            result = work.call(arguments)
        except Exception as error:
            named = with_note(error, index, work.function, arguments)
            if named is error:
                raise
            raise named from error
        on_done(index, 1)
        yield [result]


def _sizes(batch_size: int | Literal["auto"]) -> Pace | int:
    """Items in each chunk; those of a map are on their way for microseconds, those of a run are filed too."""
    return Pace(growth=16, most_items=100_000, least_seconds=0.005) if batch_size == "auto" else batch_size


def _items(iterables: Sequence[Iterable[Any]] | InTurns) -> Iterator[tuple[Any, ...]]:
    return iterables.in_order() if isinstance(iterables, InTurns) else zip(*iterables, strict=False)


def _bytes(size: str) -> int:
    from jpipe.model.step_options import parse_bytes

    return parse_bytes(size, "max_nbytes")


def _items_ahead(pre_dispatch: int | str | None, n_jobs: int) -> int | None:
    """The number that joblib's ``pre_dispatch`` stands for; None where it is not given."""
    if pre_dispatch is None or pre_dispatch == "all":
        return None if pre_dispatch is None else sys.maxsize
    found = re.fullmatch(r"([\d.]+)|(?:([\d.]+) *\* *)?n_jobs(?: *\* *([\d.]+))?", str(pre_dispatch).strip())
    if found is None:
        raise UsageError(f"pre_dispatch={pre_dispatch!r}: it takes a number of items, 'all' or '2*n_jobs'")
    number, before, after = found.groups()
    return max(int(float(number) if number else n_jobs * float(before or 1) * float(after or 1)), 1)


def _nothing() -> None:
    pass
