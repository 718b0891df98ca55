"""Direct calls of steps that are remembered, as joblib.Memory does it: `cached`."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from jpipe.decide.call_state import CallState
from jpipe.decide.session import Session
from jpipe.decide.stored_results import place_of_item
from jpipe.define.layout import Layout
from jpipe.define.step import Step, recorder
from jpipe.define.users_line import users_line
from jpipe.errors import StepError
from jpipe.schedule.chunks import ChunkBuilder, StepQueue
from jpipe.store import MissingEntry, UnreadableEntry, Where
from jpipe.system.machine import workers_of
from jpipe.worker.messages import Receipt
from jpipe.worker.run_chunk import run_work
from jpipe.worker.seeds import preserved
from jpipe.worker.surroundings import variables_now

__all__ = ["cached", "remembering"]

_Run = Callable[[ChunkBuilder, CallState, Sequence[int], int], "dict[int, Where]"]


def cached(cache_dir: str | Path | None = None) -> AbstractContextManager[None]:
    """Remember direct calls of steps, as joblib.Memory does, and the items of `jpipe.map` over a step.

    Parameters
    ----------
    cache_dir
        The cache. Default: that of the project of the file that calls, as the settings say.

    Raises
    ------
    Exception
        From a call, what the step itself raises, as it is.
    StepError
        From a call whose result was stored and cannot be loaded again. One that cannot be stored at all is returned,
        and computed again next time.
    CacheError
        When the cache cannot be used.

    Examples
    --------
    >>> import jpipe
    >>> @jpipe.step
    ... def square(n: int) -> int:
    ...     print("squaring", n)
    ...     return n * n
    >>> with jpipe.cached():
    ...     square(3)
    ...     square(3)
    squaring 3
    9
    9
    """
    # Here, and not when the block begins: then it is contextlib that calls.
    return remembering(cache_dir, users_line().file)


@contextmanager
def remembering(cache_dir: str | Path | None, file: str) -> Iterator[None]:
    """Remember direct calls of steps, as `cached` does.

    Parameters
    ----------
    cache_dir
        The cache. Default: that of the project of the file.
    file
        Where the calls are made; it need not exist.
    """
    token = recorder.set(_Remembering(cache_dir, file))
    try:
        yield
    finally:
        recorder.reset(token)


class _Remembering:
    """Takes direct calls of steps: from the cache, or run here and kept."""

    def __init__(self, cache_dir: str | Path | None, file: str) -> None:
        self._session = Session(file, cache_dir)
        self._store = self._session.store
        self._known_state: tuple[Any, ...] | None = None
        self._places: dict[bytes, list[bytes]] = {}

    def call(self, step: Step[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The result of one call; of a coroutine function, what gives it when it is awaited."""
        if inspect.iscoroutinefunction(step.function):
            return asyncio.to_thread(self._one, step, args, kwargs)
        return self._one(step, args, kwargs)

    def map(self, step: Step[..., Any], iterables: tuple[Any, ...], constants: dict[str, Any]) -> list[Any]:
        """The results for all items: from the cache, or run in parallel and kept."""
        layout = Layout()
        lists = (iterable if hasattr(iterable, "__len__") else list(iterable) for iterable in iterables)
        layout.map(step, tuple(lists), constants)
        return self._results(layout, _run_in_parallel)

    def _one(self, step: Step[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        layout = Layout()
        layout.call(step, args, kwargs)
        return self._results(layout, _run_here)[0]

    def _results(self, layout: Layout, run: _Run) -> list[Any]:
        """The results of the only call of a layout; `run` sees to those that are not in the cache."""
        token = recorder.set(None)
        try:
            self._look_at_state()
            stale: set[int] = set()
            pipeline_state = self._session.state_of(
                layout, places=self._places, on_stale=lambda state, indices: stale.update(indices)
            )
            pipeline_state.begin()
            code = self._session.fingerprinter
            self._known_state = variables_now(code.variables(), code.environment())
            state = pipeline_state.states[0]
            count = pipeline_state.numbers.count_of(state.call)
            found = self._loaded(
                state, {i: place_of_item(pipeline_state, state, i) for i in range(count) if i not in stale}
            )
            missing = [index for index in range(count) if index not in found]
            if missing:
                with preserved():
                    places = run(ChunkBuilder(self._session, pipeline_state, is_owner=False), state, missing, count)
                self._store.sync()
                # Workers publish what they find.
                self._store.family(state.fingerprint.digest).refresh()
                found |= {index: self._load_new(state, place) for index, place in places.items()}
            return [found[index] for index in range(count)]
        finally:
            recorder.reset(token)

    def _look_at_state(self) -> None:
        """Fingerprint anew what reaches a variable that was changed inside the block."""
        code = self._session.fingerprinter
        if self._known_state is not None and self._known_state != variables_now(code.variables(), code.environment()):
            self._session.look_anew()

    def _loaded(self, state: CallState, places: Mapping[int, Where]) -> dict[int, Any]:
        """The values that are still there."""
        found = {}
        for index, place in places.items():
            with suppress(MissingEntry):
                found[index] = self._store.load(place, mmap_mode=state.call.step.declared.mmap_mode)
        return found

    def _load_new(self, state: CallState, place: Where) -> Any:
        """The value that was just made."""
        try:
            return self._store.load(place, mmap_mode=state.call.step.declared.mmap_mode)
        except UnreadableEntry as error:
            raise StepError(f"{state.call.step.name}() returned what cannot be loaded again: {error}") from error


def _run_here(builder: ChunkBuilder, state: CallState, missing: Sequence[int], count: int) -> dict[int, Where]:
    """Run items in this process; where their results are."""
    work = builder.build(StepQueue(state.call.step), [(state, index) for index in missing]).work
    work.in_main = True
    return _stored(state, missing, run_work(work))


def _run_in_parallel(builder: ChunkBuilder, state: CallState, missing: Sequence[int], count: int) -> dict[int, Where]:
    """The same in workers, with a bar of the items that ran."""
    from jpipe.parallel.bar import Bar, default_bar
    from jpipe.parallel.map import parallel_map
    from jpipe.parallel.n_jobs import resolve_n_jobs

    step = state.call.step
    n_jobs = resolve_n_jobs(step.declared.n_jobs)
    workers = workers_of(n_jobs)
    size = 1 if workers == 1 else min(max(len(missing) // (8 * workers), 1), 100)
    parts = [missing[start : start + size] for start in range(0, len(missing), size)]
    chunks = [builder.build(StepQueue(step), [(state, index) for index in part]) for part in parts]
    if workers == 1 or any(chunk.is_bound for chunk in chunks):
        n_jobs = 1
    for chunk in chunks:
        chunk.work.in_main = n_jobs == 1
    works = [chunk.work for chunk in chunks]
    prefer: dict[str, Any] = {"prefer": "threads"} if step.declared.prefer == "threads" else {}
    places: dict[int, Where] = {}
    bar = Bar(default_bar(), {"total": count, "initial": count - len(missing), "desc": step.name})
    receipts = parallel_map(run_work, [works], n_jobs=n_jobs, on_start=bar.start, **prefer)
    with bar, closing(receipts):
        for part, chunk, receipt in zip(parts, chunks, receipts, strict=True):
            if receipt.is_refused:
                chunk.work.in_main = True
                receipt = run_work(chunk.work)
            places |= _stored(state, part, receipt)
            bar.add(len(part))
    return places


def _stored(state: CallState, indices: Sequence[int], receipt: Receipt) -> dict[int, Where]:
    """Where the items of a chunk are kept, or the exception of the first that failed."""
    name = state.call.step.name
    places = {}
    for item in receipt.items:
        index = indices[item.position]
        if item.interrupted:
            raise KeyboardInterrupt
        if item.stored is None:
            assert item.error is not None
            cause = item.error.exception() or StepError(
                f"{name}() failed: {item.error.error_type}: {item.error.message}"
            )
            if state.call.is_mapped:
                cause.add_note(f"in item {index} of {name}")
            raise cause
        places[index] = item.stored.where
    return places
