"""Run what must run, as soon as what it needs is known, and never keep a worker waiting.

One loop in the main thread. Items that must run stand in one queue for each step; the loop cuts chunks from the queues,
longest remaining path first, keeps a window of chunks with the workers, and waits for completions. A result goes into
the ledger, which says which items became ready, or turned out fresh. It prints nothing: it emits events.

Where there is no parallelism there is no pool: a single ready item, and work that history says is short, run in this
process.
"""

from __future__ import annotations

import queue
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from jpipe.callstate import CallState, Status
from jpipe.chunks import Chunk, ChunkBuilder, Item, StepQueue
from jpipe.descriptors import last_words
from jpipe.events import ChunkEnded, ItemEnded, ItemFailed, Notice, Observer
from jpipe.failures import failure_of, label_of
from jpipe.filing import Filing
from jpipe.interrupts import Interrupts
from jpipe.layout import expected_items
from jpipe.ledger import Ledger
from jpipe.outcomes import Outcome
from jpipe.reasons import Reason
from jpipe.recovery import Blame, Losses
from jpipe.seeds import preserved
from jpipe.sharing import POLL, Sharing
from jpipe.slots import RunFolder
from jpipe.store import NewRecord, Store
from jpipe.tally import Tally
from jpipe.trace import ErrorRecord, WorkersLost
from jpipe.watchdog import Watchdog, end_process
from jpipe.work import ItemReceipt, Receipt
from jpipe.worker import run_work

if TYPE_CHECKING:
    from jpipe.pool import Pool

__all__ = ["Limits", "ResultLost", "Scheduler"]

SHORT_RUN = 0.25
"""Work that is expected to take less than this is done before workers would have started, seconds."""
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 30.0
"""How long a failed item waits for its second try, and for any other at most, seconds."""
LOOK = 0.5
"""How often to look after the workers, seconds."""
SHORT_CHUNK = 0.02
"""Chunks that are expected to take less leave nothing to wait for behind them, seconds."""
GRACE = 1.5
"""How long workers may finish their items after Ctrl-C, seconds."""


DETAILED = 1000
"""Of so many items of a step the events tell one by one, also where nobody asked: the journal keeps them."""


class ResultLost(Exception):
    """A result that the ledger counts on cannot be read; the run has to be planned anew."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How a run behaves.

    Parameters
    ----------
    n_jobs
        Workers; joblib's meaning.
    keep_going
        After a failure, go on with everything that does not depend on it.
    fail_fast
        After a failure, end the workers at once.
    detailed
        Whether events carry every item.
    memory
        What items may need together, bytes, for steps that say what they need.
    """

    n_jobs: int = 1
    keep_going: bool = False
    fail_fast: bool = False
    detailed: bool = False
    memory: int = 0


class Scheduler:
    """One run.

    Parameters
    ----------
    ledger
        What is known. Its `on_stale` and `on_cached` are this scheduler's `stale` and `cached`.
    store
        Where results are.
    limits
        How to behave.
    make_pool
        Opens the pool, at most once: called with ``threads``.
    make_builder
        Makes the chunk builder for the run's folder.
    emit
        Takes the events.
    seconds
        By step, what one item took in earlier runs.
    priorities
        By call, the longest remaining path; asked for when there is a choice.
    failed_before
        The keys of items that failed in the last run.
    heals
        Whether to raise `ResultLost` for what cannot be read; else its consumer fails.
    """

    def __init__(
        self,
        store: Store,
        limits: Limits,
        *,
        make_pool: Callable[[bool], Pool],
        emit: Observer,
        seconds: dict[str, float],
        priorities: Callable[[], dict[int, float]],
        failed_before: frozenset[bytes] = frozenset(),
        heals: bool = True,
    ) -> None:
        self.store = store
        self.limits = limits
        self.emit = emit
        self.failures: list[Any] = []
        self.failed_keys: set[bytes] = set()
        self.pace: dict[str, float] = {}
        self.slowest: tuple[str, float] | None = None
        self.largest: tuple[str, int] | None = None
        self._make_pool = make_pool
        self._seconds = seconds
        self._failed_before = failed_before
        self._heals = heals
        self._priorities = priorities
        self._ranked = False
        self._queues: dict[int, StepQueue] = {}
        self._pools: dict[bool, Pool] = {}
        self._running: dict[int, Chunk] = {}
        self._completed: queue.SimpleQueue[_Completion | None] = queue.SimpleQueue()
        self._attempts: dict[tuple[int, int], int] = {}
        self._delayed: list[tuple[float, StepQueue, Item]] = []
        self._stopping = False
        self._interrupted = False
        self._losses = Losses()
        self._told: Counter[str] = Counter()
        self._folder: RunFolder | None = None
        self._looked = 0.0
        # A signal handler may put: SimpleQueue.put is made for that.
        self._interrupts = Interrupts(lambda: self._completed.put(None))

    def attach(
        self,
        ledger: Ledger,
        tally: Tally,
        builder: Callable[[str | None], ChunkBuilder],
        explain: Callable[[CallState, int], tuple[Reason, ...]],
    ) -> None:
        """Give the scheduler the ledger that it works on."""
        self.ledger = ledger
        self.tally = tally
        self._make_builder = builder
        self._explain = explain
        self._explained: set[str] = set()

    # -- what the ledger says ------------------------------------------------------------------------------------

    def stale(self, state: CallState, indices: Sequence[int]) -> None:
        """Items that must run."""
        step = state.call.step
        entry = self._queues.get(id(step))
        if entry is None:
            entry = self._queues[id(step)] = StepQueue(step)
            entry.pace.seconds = self._seconds.get(step.name)
            entry.pace.largest_chunk = 1 if entry.pace.seconds is None else 1000
        entry.ready.extend((state, index) for index in indices)
        reasons: tuple[Reason, ...] = ()
        if step.name not in self._explained:
            self._explained.add(step.name)
            reasons = self._explain(state, indices[0])
        self.tally.known(state, stale=len(indices), reasons=reasons)

    def cached(self, state: CallState, count: int, seconds: float) -> None:
        """Items that need not run."""
        self.tally.known(state, cached=count, saved=seconds)

    # -- the loop ------------------------------------------------------------------------------------------------

    def run(self) -> Outcome:
        """Run everything; what finished is kept, whatever happens."""
        self._filing = Filing(self.store)
        self._sharing = Sharing(self.store, self.ledger, self.emit)
        # Items that run in threads of this process seed the generators of its user.
        with self._interrupts, preserved():
            try:
                self._loop()
            except KeyboardInterrupt:
                self._interrupted = True
                self._wind_down()
            finally:
                self._close()
            self._settle()
        if self._interrupted:
            return Outcome.INTERRUPTED
        if self.failures:
            return Outcome.FAILED
        return Outcome.RAN if any(tally.started is not None for tally in self.tally.steps.values()) else Outcome.CACHED

    def _loop(self) -> None:
        self.tally.report(final=False)
        while True:
            self._release_delayed()
            self._sharing.look()
            self._recover()
            self._dispatch()
            self._file()
            if self._running:
                self._collect(self._patience())
            elif self._sharing.is_waiting and not self._stopping:
                self._collect(POLL)
            elif self._delayed and not self._stopping:
                self._collect(max(0.0, min(entry[0] for entry in self._delayed) - time.monotonic()))
            else:
                return

    def _collect(self, seconds: float) -> None:
        """Take what workers finished; wait at most `seconds` for the first of it."""
        self._look_after_workers()
        try:
            completion = self._completed.get(timeout=seconds)
            while True:
                if completion is not None:
                    self._finished(*completion)
                elif not self._interrupted:
                    self._interrupts.check()
                completion = self._completed.get(block=False)
        except queue.Empty:
            return

    def _finished(self, chunk: Chunk, receipt: Receipt | None, error: BaseException | None) -> None:
        if self._running.pop(chunk.work.number, None) is None:
            return  # it was given up before
        chunk.queue.running -= 1
        if receipt is not None:
            self._take(chunk, receipt)
            if not self._stopping and any(item.interrupted for item in receipt.items):
                raise KeyboardInterrupt
        elif isinstance(error, WorkersLost):
            self._losses.add(chunk, error)
        elif error is not None:
            self._take_failed_chunk(chunk)

    # -- giving work out -----------------------------------------------------------------------------------------

    def _dispatch(self) -> None:
        while not self._stopping:
            self._interrupts.check()
            if self._losses.is_trying:
                self._try_alone()
                return
            entry = self._next_queue()
            if entry is None:
                return
            if self._runs_here(entry):
                items = self._sharing.own(entry, entry.take(1))
                if items:
                    self._run_here(self._build(entry, items))
                continue
            pool = self._pool(entry)
            if len(self._running) >= self._window(pool, entry):
                return
            items = self._sharing.own(entry, entry.take(pool.n_jobs))
            if not items:
                continue
            chunk = self._build(entry, items)
            if chunk.is_bound or pool.n_jobs == 1:
                self._run_here(chunk)
            else:
                self._submit(pool, chunk)

    def _next_queue(self) -> StepQueue | None:
        """The queue whose first item has the longest way to go, of those that may run now."""
        open_queues = [
            entry for entry in self._queues.values() if entry.ready and entry.room() and self._has_memory(entry)
        ]
        if len(open_queues) > 1 and not self._ranked and self._running:
            self._rank()
        if not open_queues:
            return None
        return max(open_queues, key=lambda entry: (entry.priority, -entry.ready[0][0].call.number))

    def _rank(self) -> None:
        self._ranked = True
        remaining = self._priorities()
        for state in self.ledger.states.values():
            entry = self._queues.setdefault(id(state.call.step), StepQueue(state.call.step))
            entry.priority = max(entry.priority, remaining.get(state.call.number, 0.0))

    def _has_memory(self, entry: StepQueue) -> bool:
        """Whether what the step needs fits beside what is running; a single item may always run."""
        needed = entry.options.memory
        if needed is None or not self.limits.memory or not self._running:
            return True
        in_use = sum(chunk.queue.options.memory or 0 for chunk in self._running.values())
        return in_use + needed <= self.limits.memory

    def _runs_here(self, entry: StepQueue) -> bool:
        if self.limits.n_jobs == 1:
            return True
        if self._running or self._losses.happened or self._may_kill():
            return False
        ready = sum(len(other.ready) for other in self._queues.values())
        if ready == 1 and not self._delayed:
            return entry.options.timeout is None
        if self._pools:
            return False
        expected = sum(
            len(q.ready) * q.pace.seconds if q.pace.seconds is not None else SHORT_RUN
            for q in self._queues.values()
            if q.ready
        )
        return expected < SHORT_RUN

    def _may_kill(self) -> bool:
        """Whether items are ready that failed last time: one that kills its process is not to kill this one."""
        if not self._failed_before:
            return False
        ready = (item for entry in self._queues.values() for item in entry.ready)
        return any(state.keys[index] in self._failed_before for state, index in ready)

    def _pool(self, entry: StepQueue) -> Pool:
        threads = entry.options.prefer == "threads"
        pool = self._pools.get(threads)
        if pool is None:
            pool = self._pools[threads] = self._make_pool(threads)
            pool.__enter__()
        return pool

    def _window(self, pool: Pool, entry: StepQueue) -> int:
        quick = entry.pace.seconds is None or entry.pace.seconds < 0.5
        return 2 * pool.n_jobs if quick else pool.n_jobs + 1

    def _build(self, entry: StepQueue, items: list[Item]) -> Chunk:
        builder = self._builder()
        self.tally.started(entry.step.name)
        return builder.build(entry, items)

    def _builder(self) -> ChunkBuilder:
        if self._folder is None:
            self.store.pin()
            self._folder = RunFolder()
            self._watchdog = Watchdog(self._folder)
            self._chunk_builder = self._make_builder(str(self._folder.path))
        return self._chunk_builder

    def _submit(self, pool: Pool, chunk: Chunk) -> None:
        self._running[chunk.work.number] = chunk
        chunk.queue.running += 1
        chunk.pool = pool
        completed = self._completed
        try:
            pool.submit(_Task(chunk.work), lambda receipt, error: completed.put((chunk, receipt, error)))
        except WorkersLost as error:
            completed.put((chunk, None, error))

    def _run_here(self, chunk: Chunk) -> None:
        chunk.work.in_main = True
        chunk.work.slots = None
        chunk.queue.running += 1
        self._running[chunk.work.number] = chunk
        pace = chunk.queue.pace.seconds
        if pace is None or pace * len(chunk.items) > SHORT_CHUNK:
            self._file()
        self._finished(chunk, run_work(chunk.work), None)
        if self._filing.is_due or self._sharing.let_go(if_due=True):
            self._file()

    # -- taking results in ---------------------------------------------------------------------------------------

    def _take(self, chunk: Chunk, receipt: Receipt) -> None:
        assert self._folder is not None
        worker = self._folder.number_of(receipt.pid)
        self._losses.cleared(chunk)
        ran = failed = 0
        seconds = 0.0
        done: list[ItemReceipt] = []
        for item in receipt.items:
            state, index = chunk.items[item.position]
            seconds += item.seconds
            if item.interrupted:
                continue
            if item.stored is not None:
                self._item_done(state, index, item)
                ran += 1
            elif item.error is not None and not self._again(chunk, item):
                self._item_failed(chunk, item, worker)
                failed += 1
            done.append(item)
        chunk.queue.pace.saw(seconds, ran)
        name = chunk.queue.step.name
        self.pace[name] = chunk.queue.pace.seconds or 0.0
        output = tuple((label_of(*chunk.items[i.position]), i.output) for i in done if i.output)
        told = self._told[name]
        self._told[name] += len(done)
        detailed = self.limits.detailed or told < DETAILED
        items = tuple(self._detail(chunk, i) for i in done if detailed or i.output)
        self.emit(ChunkEnded(name, ran, failed, worker, seconds, items, output))
        self._flush(name, receipt.paths)
        if receipt.records:
            self._file_later(name, receipt.family, [record for _, record in receipt.records])
        self.ledger.work_off()
        self.tally.tell_known()
        self._file_wholes()
        self._heard()

    def _item_done(self, state: CallState, index: int, item: ItemReceipt) -> None:
        assert item.stored is not None
        if item.error is not None:
            self.emit(
                Notice(
                    f"{state.call.step.name}() returned what cannot be stored: {item.error.message}",
                    "it is kept for this run only: make it @step(cache=False), or return what can be pickled",
                    state.call.step.name,
                )
            )
        if item.changed is not None:
            self.emit(
                Notice(
                    f"{item.changed} was edited while {state.call.step.name}() read it: this result is not kept",
                    "the next run computes it again",
                    state.call.step.name,
                )
            )
        self.ledger.ran(state, index, item.stored, item.reads, item.seconds)
        label = None
        if self.slowest is None or item.seconds > self.slowest[1]:
            label = label_of(state, index)
            self.slowest = label, item.seconds
        if self.largest is None or item.stored.nbytes > self.largest[1]:
            self.largest = label or label_of(state, index), item.stored.nbytes

    def _again(self, chunk: Chunk, item: ItemReceipt) -> bool:
        """Whether a failed item is tried once more."""
        assert item.error is not None
        state, index = chunk.items[item.position]
        if item.error.kind == "missing":
            if self._heals:
                raise ResultLost(item.error.message)
            item.error = replace(item.error, kind="raised")
        if item.error.kind in ("unstorable", "edited") and not chunk.work.in_main:
            self._run_here(self._build(chunk.queue, [(state, index)]))
            return True
        return self._retried(chunk.queue, (state, index))

    def _retried(self, entry: StepQueue, item: Item) -> bool:
        """Whether an item that failed has tries left: then it comes back into the queue after a pause."""
        place = item[0].call.number, item[1]
        tries = self._attempts[place] = self._attempts.get(place, 0) + 1
        if tries > entry.options.retries or self._stopping:
            return False
        self._delayed.append((time.monotonic() + min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (tries - 1)), entry, item))
        return True

    def _item_failed(self, chunk: Chunk, item: ItemReceipt, worker: int) -> None:
        state, index = chunk.items[item.position]
        assert item.error is not None
        self._fail(state, index, item.error, item.seconds, worker, item.output, item.peak_memory)

    def _fail(
        self,
        state: CallState,
        index: int,
        error: ErrorRecord,
        seconds: float,
        worker: int,
        output: str,
        peak_memory: int,
        detail: str = "",
    ) -> None:
        state.status[index] = Status.FAILED
        key = state.keys[index]
        if key is not None:
            self.failed_keys.add(key)
        attempts = max(1, self._attempts.get((state.call.number, index), 1))
        failure = failure_of(
            self.ledger,
            state,
            index,
            error,
            seconds=seconds,
            worker=worker,
            output=output,
            attempts=attempts,
            peak_memory=peak_memory,
            detail=detail,
        )
        self.failures.append((failure, error))
        self.emit(ItemFailed(failure))
        if self.limits.fail_fast or not self.limits.keep_going:
            self._stopping = True
        if self.limits.fail_fast:
            self._kill()

    def _take_failed_chunk(self, chunk: Chunk) -> None:
        """The chunk could not be handed over or its receipt not handed back: its items run here, one by one."""
        for item in chunk.items:
            self._run_here(self._build(chunk.queue, [item]))

    def _file(self) -> None:
        """File what waits, and let other runs see what this one has taken."""
        self._filing.file()
        self._sharing.let_go()
        self._heard()

    def _file_wholes(self) -> None:
        """File what mapped calls gave as a whole."""
        wholes, self.ledger.unpublished = self.ledger.unpublished, []
        for name, family, record in wholes:
            self._file_later(name, family, [record])

    def _file_later(self, name: str, family: bytes, records: Sequence[NewRecord]) -> None:
        self.tally.steps[name].unsynced += 1
        self._filing.add(name, family, records)

    def _detail(self, chunk: Chunk, item: ItemReceipt) -> ItemEnded:
        state, index = chunk.items[item.position]
        key = state.keys[index]
        outcome = Outcome.FAILED if item.stored is None else Outcome.RAN
        size = item.stored.nbytes if item.stored is not None else 0
        number = self.ledger.first_item(state) + index
        label = label_of(state, index)
        return ItemEnded(
            number, label, key.hex() if key else "", outcome, item.seconds, item.peak_memory, size, item.output
        )

    # -- durability ----------------------------------------------------------------------------------------------

    def _flush(self, name: str, paths: Sequence[str]) -> None:
        """Have files flushed to the disk; a step is reported only when all of its own are."""
        if paths:
            self.tally.steps[name].unsynced += 1
            self._filing.flush(name, paths)

    def _heard(self, *, wait: bool = False) -> None:
        for name in self._filing.finished(wait=wait):
            self.tally.steps[name].unsynced -= 1
        self.tally.report(final=False)

    # -- workers that die, hang or are to stop -------------------------------------------------------------------

    def _recover(self) -> None:
        """After a loss, when nothing is left in the pools that lost workers: blame, reopen, try again."""
        pools = self._losses.pools
        if not pools or any(chunk.pool in pools for chunk in self._running.values()):
            return
        assert self._folder is not None
        verdicts = self._losses.judge(self._folder.states())
        self._folder.forget_workers()
        for chunk, items in verdicts.again:
            chunk.queue.ready.extendleft(reversed(items))
        for blame in verdicts.blamed:
            self._blame(blame)
        if not self._stopping:
            for pool in self._pools.values():
                if pool in pools:
                    pool.reopen()

    def _blame(self, blame: Blame) -> None:
        item = blame.chunk.items[blame.position]
        if self._retried(blame.chunk.queue, item):
            return
        timeout = blame.chunk.queue.options.timeout
        if blame.kind == "timeout" and timeout is not None:
            error = ErrorRecord("timeout", "ItemTimeoutError", f"took longer than its timeout of {timeout:g} s")
        else:
            error = ErrorRecord("killed", "WorkerLostError", "its worker process was killed")
        pid = blame.slot.pid if blame.slot is not None else 0
        peak = max(self._watchdog.memory.get(pid, 0), blame.slot.peak_memory if blame.slot is not None else 0)
        assert self._folder is not None
        worker = self._folder.number_of(pid) if pid else 0
        output = last_words(str(self._folder.path), pid)
        self._fail(*item, error, timeout or 0.0, worker, output, peak, blame.detail)

    def _try_alone(self) -> None:
        """Try the next suspect of a loss, once nothing else is in flight."""
        if self._running:
            return
        suspect, position = self._losses.suspects.popleft()
        alone = self._build(suspect.queue, [suspect.items[position]])
        self._losses.try_alone(alone)
        self._submit(self._pool(suspect.queue), alone)

    def _patience(self) -> float:
        """How long to wait for a completion, seconds."""
        return POLL if self._sharing.is_waiting else LOOK

    def _look_after_workers(self) -> None:
        """End workers whose item ignores its timeout, and notice those that died unheard of."""
        now = time.monotonic()
        if not self._running or self._stopping or now - self._looked < LOOK:
            return
        self._looked = now
        self._watchdog.look()
        for slot in self._watchdog.overdue(self._running, time.time()):
            self._losses.overdue(slot.chunk)
            pool = self._running[slot.chunk].pool
            if pool is not None and pool.is_local and pool.tells_losses and not pool.shares_memory:
                end_process(slot.pid)
            elif pool is not None:
                self._abandon(pool)
        for pool in self._pools.values():
            if pool.is_local and not pool.tells_losses and self._watchdog.vanished(self._running):
                self._abandon(pool)

    def _abandon(self, pool: Pool) -> None:
        """Give everything up that is in a pool that cannot be trusted any more."""
        for number, chunk in list(self._running.items()):
            if chunk.pool is pool:
                del self._running[number]
                chunk.queue.running -= 1
                self._losses.add(chunk, WorkersLost(""))
        pool.kill()

    def _release_delayed(self) -> None:
        now = time.monotonic()
        due = [entry for entry in self._delayed if entry[0] <= now]
        self._delayed = [entry for entry in self._delayed if entry[0] > now]
        for _, queue_, item in due:
            queue_.ready.append(item)

    def _kill(self) -> None:
        for pool in self._pools.values():
            pool.kill()
        self._running.clear()

    def _wind_down(self) -> None:
        """After Ctrl-C: let workers finish the item that they are on, for a moment."""
        self._stopping = True
        deadline = time.monotonic() + GRACE
        try:
            if self._folder is not None:
                self._folder.ask_to_stop()
            while self._running and time.monotonic() < deadline:
                self._collect(max(0.01, deadline - time.monotonic()))
        except KeyboardInterrupt:
            pass
        finally:
            self._kill()

    def _close(self) -> None:
        for pool in self._pools.values():
            pool.close()
        self._file()
        self._sharing.close()
        self._heard(wait=True)
        self._filing.close()
        if self._folder is not None:
            self._folder.remove()

    def _settle(self) -> None:
        """Name what became of the items that were not done, and report the steps that are left."""
        left = Status.INTERRUPTED if self._interrupted else Status.BLOCKED
        for state in self.ledger.states.values():
            if state.count is None:
                state.count = expected_items(state.call)
                state.status = bytearray([left]) * state.count
                continue
            for index, status in enumerate(state.status):
                if status in (Status.WAITING, Status.STALE):
                    state.status[index] = left
        self.tally.report(final=True)


_Completion = tuple[Chunk, Receipt | None, BaseException | None]


@dataclass(frozen=True, slots=True)
class _Task:
    """A chunk as the pool takes it."""

    work: Any

    def __call__(self) -> Receipt:
        return run_work(self.work)
