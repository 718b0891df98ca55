"""Run a map: keep the workers fed, take what they finish, and hand it on."""

from __future__ import annotations

import queue
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from jpipe.errors import WorkerLostError
from jpipe.parallel.packing import Packed
from jpipe.parallel.remote_error import Failure
from jpipe.system.machine import is_alive

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jpipe.parallel.chunk_size import Pace
    from jpipe.parallel.item_source import Items, Source
    from jpipe.parallel.map_tasks import Task, Tasks
    from jpipe.parallel.map_worker import Receipt

__all__ = ["Done", "Engine", "Event", "Workers"]

_TICK = 0.5
"""Seconds after which the workers are looked at when nothing happens."""

_PATIENCE = 0.01
"""Seconds that an idle worker waits for a full chunk of items that arrive slowly."""

_GRACE = 1.0
"""Seconds that a failure waits for the items before it, one of which may fail too."""

_FAREWELL = 0.1
"""Seconds in which chunks in flight may end by themselves before the workers are killed."""


_LOOKS = 5
_LOOK = 0.004
"""How often, and seconds apart, a worker is looked at to see whether it is the one that died."""


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


@dataclass(frozen=True, slots=True)
class Event:
    """A chunk is done, or, without a number, more items can be drawn.

    Parameters
    ----------
    number
        Which chunk.
    receipt
        What came of it, or None when it was lost.
    error
        Why it was lost.
    died
        Whether its own worker is dead.
    """

    number: int | None = None
    receipt: Receipt | None = None
    error: BaseException | None = None
    died: bool = False


@dataclass(slots=True)
class _Flight:
    first: int
    count: int
    task: Task
    seen_dead: bool = False


@dataclass(frozen=True, slots=True)
class _Loss:
    """The item that was in work when workers were lost, or, where nobody knows, all those of a chunk."""

    items: range
    begun: bool
    died: bool


class Engine:
    """One map under way.

    Parameters
    ----------
    workers
        Who runs the chunks.
    tasks
        Makes the chunks.
    source
        Where the items come from.
    sizes
        How many items a chunk gets: a number, or what finds it.
    events
        Where workers and source report.
    ordered
        Whether results are handed on in the order of the items, or as they come.
    whole
        Whether the caller collects all results at once. Otherwise no more items are drawn than some multiple of those
        that the caller has taken.
    ahead
        How many items may have been drawn and not be finished; None to leave it to `whole`.
    on_done
        Called with the index of the first item and the number of the finished items of each chunk.
    """

    def __init__(
        self,
        workers: Workers,
        tasks: Tasks,
        source: Source,
        sizes: Pace | int,
        events: queue.SimpleQueue[Event],
        *,
        ordered: bool,
        whole: bool,
        ahead: int | None,
        on_done: Callable[[int, int], None],
    ) -> None:
        self._workers = workers
        self._tasks = tasks
        self._source = source
        self._sizes = sizes
        self._events = events
        self._ordered = ordered
        self._whole = whole
        self._ahead = ahead
        self._on_done = on_done
        self._flights: dict[int, _Flight] = {}
        self._submitted = 0
        self._ready: dict[int, Receipt] = {}
        self._next = 0
        self._drawn = 0
        self._given = 0
        self._impatient = False
        self._failures: dict[int, BaseException | Failure] = {}
        self._failed_at = 0.0
        self._lost: list[_Loss] = []
        self._found_dead = False
        self._lost_because: BaseException | None = None

    def batches(self) -> Iterator[list[Any]]:
        """The results, some at a time; ends with the exception of the first item that failed."""
        try:
            while True:
                self._take_events()
                self._submit()
                given = self._given
                yield from self._deliver()
                if self._given == given and self._is_over():
                    break
                if self._given == given:
                    self._wait()
            self._raise_failure()
        finally:
            self._stop()

    # ---- out

    def _submit(self) -> None:
        """Give the workers as many chunks as they may have."""
        # One chunk to work on and one waiting for each worker.
        window = 2 * self._workers.n_jobs
        while len(self._flights) < window and not self._failures and not self._lost and not self._source.ended:
            size = min(self._size(), self._room())
            if size <= 0:
                return
            here = self._source.available(size)
            if here == 0 or (here < size and not self._impatient):
                return
            self._impatient = False
            first, items = self._source.take(size)
            if items:
                self._drawn += len(items)
                self._send(first, items)

    def _size(self) -> int:
        if isinstance(self._sizes, int):
            return self._sizes
        return self._sizes.chunk_size(self._source.remaining(), self._workers.n_jobs)

    def _room(self) -> int:
        if self._ahead is not None:
            return self._ahead - sum(flight.count for flight in self._flights.values())
        if self._whole:
            return sys.maxsize
        return 16 * self._workers.n_jobs + 4 * self._given - (self._drawn - self._given)

    def _send(self, first: int, items: Items) -> None:
        number = self._submitted
        try:
            task = self._tasks.task(first, items, number)
        except Exception as error:
            self._fail(first, error)
            return
        self._submitted += 1
        self._flights[number] = _Flight(first, len(items), task)

        def done(receipt: Any, error: BaseException | None) -> None:
            died = error is not None and self._has_died(number)
            self._events.put(Event(number, receipt, error, died))

        try:
            self._workers.submit(task.run, done)
        except Exception as error:
            done(None, error)

    # ---- in

    def _take_events(self) -> None:
        while True:
            try:
                self._take(self._events.get_nowait())
            except queue.Empty:
                return

    def _wait(self) -> None:
        """Wait until something happens, but not for ever."""
        partial = self._source.in_hand > 0 and len(self._flights) < self._workers.n_jobs and not self._failures
        try:
            self._take(self._events.get(timeout=_PATIENCE if partial else _TICK))
        except queue.Empty:
            self._impatient = partial
            if not partial:
                self._look_for_dead()

    def _take(self, event: Event) -> None:
        flight = self._flights.pop(event.number, None) if event.number is not None else None
        if flight is None:
            return
        if event.receipt is None:
            self._lose(flight, event)
            return
        self._tasks.release(flight.task)
        receipt = event.receipt
        nbytes = len(receipt.results.data) if isinstance(receipt.results, Packed) else 0
        if not isinstance(self._sizes, int):
            self._sizes.saw(receipt.seconds, receipt.count, max(nbytes, flight.task.nbytes))
        if receipt.count:
            self._ready[flight.first] = receipt
            self._on_done(flight.first, receipt.count)
        if receipt.failure is not None:
            self._fail(flight.first + receipt.count, receipt.failure)

    def _fail(self, index: int, failure: BaseException | Failure) -> None:
        self._failed_at = self._failed_at or time.monotonic()
        self._failures[index] = failure

    # ---- workers that died

    def _lose(self, flight: _Flight, event: Event) -> None:
        index = self._tasks.running().get(event.number or 0, (0, None))[1]
        items = range(flight.first, flight.first + flight.count) if index is None else range(index, index + 1)
        self._lost.append(_Loss(items, index is not None, event.died))
        self._lost_because = self._lost_because or event.error
        self._failed_at = self._failed_at or time.monotonic()

    def _has_died(self, number: int) -> bool:
        """Whether a chunk was lost with its own worker, and not with another's, seen from a thread of the backend.

        Backends end the other workers when these calls return, and a process that was killed takes a moment to be
        gone.
        """
        for _ in range(1 if self._found_dead else _LOOKS):
            if number in self._orphans():
                self._found_dead = True
                return True
            time.sleep(_LOOK)
        return False

    def _orphans(self) -> set[int]:
        """The chunks whose workers are dead."""
        return {number for number, (pid, _) in self._tasks.running().items() if not is_alive(pid)}

    def _look_for_dead(self) -> None:
        """Not every backend says when a worker was killed. One that just finished may be gone too: look twice."""
        for number in self._orphans() & self._flights.keys():
            flight = self._flights[number]
            if flight.seen_dead:
                del self._flights[number]
                self._lose(flight, Event(number, died=True, error=RuntimeError("a worker process is gone")))
            flight.seen_dead = True

    # ---- results

    def _deliver(self) -> Iterator[list[Any]]:
        """The results that can be handed on now."""
        while self._ready:
            first = self._next if self._ordered else next(iter(self._ready))
            receipt = self._ready.pop(first, None)
            if receipt is None:
                return
            self._next = first + receipt.count
            try:
                results = receipt.unpacked()
            except Exception as error:
                items = f"item {first}" if receipt.count == 1 else f"one of the items {first} to {self._next - 1}"
                error.add_note(f"the result of {items} was pickled in its worker and cannot be unpickled")
                raise
            yield results
            self._given += receipt.count
            self._take_events()
            self._submit()

    def _is_over(self) -> bool:
        if not self._lost and not self._failures:
            return self._source.ended and not self._flights
        patient = self._ordered and not self._whole and not self._lost
        if not patient and time.monotonic() - self._failed_at > _GRACE:
            return True
        first = min(self._failures, default=sys.maxsize) if self._ordered else sys.maxsize
        return not any(flight.first < first for flight in self._flights.values())

    def _raise_failure(self) -> None:
        if self._failures:
            failure = self._failures[min(self._failures)]
            raise failure.exception() if isinstance(failure, Failure) else failure
        if self._lost:
            raise _worker_lost(self._lost) from self._lost_because
        if self._source.error is not None:
            raise self._source.error

    # ---- the end

    def _stop(self) -> None:
        """Leave nothing running and nothing on disk."""
        try:
            self._source.close()
            if self._flights:
                self._tasks.stop()
                self._await_farewell()
            if self._flights or self._lost:
                self._workers.kill()
        finally:
            self._workers.close()
            self._tasks.close()

    def _await_farewell(self) -> None:
        end = time.monotonic() + _FAREWELL
        while self._flights and time.monotonic() < end:
            try:
                event = self._events.get(timeout=_FAREWELL)
            except queue.Empty:
                return
            if event.number is not None:
                self._flights.pop(event.number, None)


def _worker_lost(lost: list[_Loss]) -> WorkerLostError:
    """The error for lost items, naming as few as possible."""
    likely = [loss for loss in lost if loss.died] or [loss for loss in lost if loss.begun] or lost
    runs = sorted((loss.items for loss in likely), key=lambda items: items.start)
    named = ", ".join(f"{run[0]}" if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs)
    named = f"item {named}" if sum(map(len, runs)) == 1 else f"one of the items {named}"
    return WorkerLostError(
        f"the worker process of {named} was killed before it finished",
        hint="a crash in native code, or the system out of memory; n_jobs=1 runs the item in this process",
    )
