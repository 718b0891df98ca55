"""Run what must run, as soon as what it needs is known, and never keep a worker waiting.

One loop in the main thread. Items that must run stand in one queue for each step; the loop cuts chunks from the queues,
longest remaining path first, keeps a window of chunks with the workers, and waits for completions. A result goes into
the ledger, which says which items became ready, or turned out fresh. It prints nothing: it emits events.

Where there is no parallelism there is no pool: a single ready item, and work that history says is short, run in this
process.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence

from jpipe.decide.call_state import Status
from jpipe.decide.pipeline_state import Ledger
from jpipe.model.events import Observer
from jpipe.model.outcomes import Outcome
from jpipe.model.run_limits import Limits
from jpipe.parallel.interrupts import Interrupts
from jpipe.schedule.chunks import Chunk, ChunkBuilder, StepQueue
from jpipe.schedule.concurrent_runs import POLL, Sharing
from jpipe.schedule.in_flight import Completion, Crew
from jpipe.schedule.isolation import needs_process, opens_debugger
from jpipe.schedule.item_results import Account
from jpipe.schedule.lost_workers import Blame
from jpipe.schedule.ready import Item
from jpipe.schedule.ready_queue import Backlog
from jpipe.schedule.step_counts import Tally
from jpipe.schedule.write_behind import Filing
from jpipe.store import MissingEntry, NewRecord, Store
from jpipe.system.error_record import WorkersLost
from jpipe.worker.crash_marker import CurrentItem
from jpipe.worker.messages import ItemReceipt, Receipt
from jpipe.worker.run_chunk import run_work
from jpipe.worker.seeds import preserved

__all__ = ["ResultLost", "Scheduler"]

SHORT_RUN = 0.25
"""Work that is expected to take less than this is done before workers would have started, seconds."""
PATIENCE = 0.5
"""How long to wait for a worker before looking after all of them, seconds."""
SHORT_CHUNK = 0.02
"""Chunks that are expected to take less leave nothing to wait for behind them, seconds."""
GRACE = 1.2
"""How long workers may finish their items after Ctrl-C, seconds."""


class ResultLost(Exception):
    """A result that the ledger counts on cannot be read; the run has to be planned anew."""


class Scheduler:
    """One run.

    Parameters
    ----------
    store
        Where results are.
    limits
        How to behave.
    ledger
        What is known.
    tally
        Counts, and reports steps.
    account
        Says what became of items.
    backlog
        What is to run; filled by whoever hears from the ledger.
    crew
        The workers.
    make_builder
        Makes the chunk builder for the run's folder.
    emit
        Takes the events.
    heals
        Whether to raise `ResultLost` for what cannot be read; else its consumer fails.
    """

    def __init__(
        self,
        store: Store,
        limits: Limits,
        *,
        ledger: Ledger,
        tally: Tally,
        account: Account,
        backlog: Backlog,
        crew: Crew,
        make_builder: Callable[[str | None], ChunkBuilder],
        emit: Observer,
        heals: bool = True,
    ) -> None:
        self._store = store
        self._limits = limits
        self._ledger = ledger
        self._tally = tally
        self._account = account
        self._backlog = backlog
        self._crew = crew
        self._make_builder = make_builder
        self._emit = emit
        self._heals = heals
        self._chunks: ChunkBuilder | None = None
        self._stopping = False
        self._lost = ""
        self._interrupted = False
        self._interrupts = Interrupts(crew.wake)
        self._current = CurrentItem(store.root)
        self._filing = Filing(store)
        self._sharing = Sharing(store, ledger, emit)
        store.saving.quiet = True

    def run(self) -> Outcome:
        """Run everything; what finished is kept, whatever happens."""
        # Items that run in threads of this process seed the generators of its user.
        with self._interrupts, preserved(), self._current:
            try:
                self._work_through()
            except KeyboardInterrupt:
                self._interrupted = True
                self._wind_down()
            finally:
                self._close()
            if self._lost and not self._interrupted and not self._gives_up:
                raise ResultLost(self._lost)
            self._tally.settle(interrupted=self._interrupted, failed=bool(self._account.failures))
        if self._interrupted:
            return Outcome.INTERRUPTED
        if self._account.failures:
            return Outcome.FAILED
        return Outcome.RAN if self._tally.any_started else Outcome.CACHED

    @property
    def _gives_up(self) -> bool:
        """Whether a failure is to be the end of the run."""
        return bool(self._account.failures) and (self._limits.fail_fast or not self._limits.keep_going)

    def _work_through(self) -> None:
        try:
            self._loop()
        except MissingEntry as error:
            if not self._heals:
                raise
            self._lose(str(error))
            while self._crew.running:
                with contextlib.suppress(MissingEntry):
                    self._collect(PATIENCE)

    def _loop(self) -> None:
        self._tally.report(final=False)
        while True:
            self._backlog.release()
            self._sharing.look()
            self._recover()
            self._dispatch()
            self._file()
            pause = POLL if self._sharing.is_waiting else self._backlog.pause
            if self._crew.running:
                self._collect(POLL if self._sharing.is_waiting else PATIENCE)
            elif pause is not None and not self._stopping:
                self._collect(pause)
            else:
                return

    def _collect(self, seconds: float) -> None:
        """Take what workers finished; wait at most `seconds` for the first of it."""
        if not self._stopping:
            self._crew.look_after()
        for completion in self._crew.completions(seconds):
            if completion is not None:
                self._finished(completion)
            elif not self._interrupted:
                self._interrupts.check()

    def _finished(self, completion: Completion) -> None:
        chunk, receipt, error = completion
        if not self._crew.over(chunk):
            return
        if receipt is not None:
            self._take(chunk, receipt)
            if not self._stopping and any(item.interrupted for item in receipt.items):
                raise KeyboardInterrupt
        elif isinstance(error, WorkersLost):
            self._crew.losses.add(chunk, error)
        elif error is not None:
            # The chunk could not be handed over, or its receipt not handed back.
            for item in chunk.items:
                self._run_here(self._build(chunk.queue, [item]))

    # -- giving work out -----------------------------------------------------------------------------------------

    def _dispatch(self) -> None:
        while not self._stopping:
            self._interrupts.check()
            if self._crew.losses.is_trying:
                self._try_alone()
                return
            if self._limits.n_jobs == 1 and self._crew.running:
                return
            entry = self._backlog.first(self._has_memory, ranked=self._crew.running > 0)
            if entry is None:
                return
            if self._runs_here(entry):
                items = self._sharing.own(entry, entry.take(1))
                if items:
                    self._run_here(self._build(entry, items))
                continue
            pool = self._crew.pool(entry)
            if self._crew.running >= entry.window(pool.n_jobs):
                return
            items = self._sharing.own(entry, entry.take(pool.n_jobs))
            if not items:
                continue
            chunk = self._build(entry, items)
            if chunk.is_bound or pool.n_jobs == 1:
                self._run_here(chunk)
            else:
                self._crew.submit(pool, chunk)

    def _has_memory(self, entry: StepQueue) -> bool:
        """Whether what the step needs fits beside what is running; a single item may always run."""
        needed = entry.options.memory
        if needed is None or not self._limits.memory or not self._crew.running:
            return True
        return self._crew.memory() + needed <= self._limits.memory

    def _runs_here(self, entry: StepQueue) -> bool:
        """Whether this process does the next item itself."""
        if needs_process(entry.step) or self._backlog.is_deadly(entry):
            return False
        if self._limits.n_jobs == 1:
            return True
        # One that killed its process before is not to kill this one.
        if self._crew.running or self._crew.losses.happened or self._backlog.holds_failed():
            return False
        if self._backlog.ready == 1 and self._backlog.pause is None:
            return True
        return not self._crew.has_pools and self._backlog.expected(SHORT_RUN) < SHORT_RUN

    def _build(self, entry: StepQueue, items: list[Item]) -> Chunk:
        if self._chunks is None:
            self._store.pin()
            self._chunks = self._make_builder(str(self._crew.folder.path))
        self._tally.started(entry.step.name)
        return self._chunks.build(entry, items)

    def _run_here(self, chunk: Chunk) -> None:
        chunk.work.in_main = True
        chunk.work.slots = None
        chunk.work.capture = chunk.work.capture and not opens_debugger(chunk.queue.step)
        self._crew.begin(chunk)
        pace = chunk.queue.pace.seconds
        if pace is None or pace * len(chunk.items) > SHORT_CHUNK:
            self._file()
        if len(chunk.items) == 1:
            self._current.begin(chunk.work.items[0].key)
        try:
            receipt = run_work(chunk.work)
        finally:
            self._current.end()
        self._finished((chunk, receipt, None))
        if self._filing.is_due or self._sharing.let_go(if_due=True):
            self._file()

    def _try_alone(self) -> None:
        """Try the next suspect of a loss, once nothing else is in flight."""
        if self._crew.running:
            return
        suspect, position = self._crew.losses.suspects.popleft()
        alone = self._build(suspect.queue, [suspect.items[position]])
        self._crew.losses.try_alone(alone)
        self._crew.submit(self._crew.pool(suspect.queue), alone)

    # -- taking results in ---------------------------------------------------------------------------------------

    def _take(self, chunk: Chunk, receipt: Receipt) -> None:
        self._account.unkept(receipt.complaints)
        worker = self._crew.folder.number_of(receipt.pid)
        self._crew.losses.cleared(chunk)
        failed = 0
        over = [item for item in receipt.items if not item.interrupted]
        for item in over:
            state, index = chunk.items[item.position]
            if item.stored is not None:
                self._account.done(state, index, item)
                self._ledger.ran(state, index, item.stored, item.reads, item.seconds, is_kept=item.changed is None)
            elif not self._again(chunk, item):
                self._fail(chunk.queue, (state, index), item, worker)
                failed += 1
        self._account.chunk_ended(chunk, over, failed, worker, sum(item.seconds for item in receipt.items))
        name = chunk.queue.step.name
        if receipt.paths:
            self._tally.steps[name].unsynced += 1
            self._filing.flush(name, receipt.paths)
        if receipt.records:
            self._file_later(name, receipt.family, [record for _, record in receipt.records])
        self._ledger.work_off()
        self._tally.tell_known()
        wholes, self._ledger.unpublished = self._ledger.unpublished, []
        for step, family, record in wholes:
            self._file_later(step, family, [record])
        self._heard()

    def _again(self, chunk: Chunk, item: ItemReceipt) -> bool:
        """Whether a failed item is tried once more."""
        assert item.error is not None
        if item.error.kind == "missing":
            if self._heals:
                self._lose(item.error.message)
                return True
            item.error = item.error._replace(kind="raised")
        place = chunk.items[item.position]
        if item.error.kind in ("unstorable", "edited") and not chunk.work.in_main:
            self._run_here(self._build(chunk.queue, [place]))
            return True
        return self._backlog.failed(chunk.queue, place, stopping=self._stopping)

    def _fail(self, entry: StepQueue, place: Item, item: ItemReceipt, worker: int, detail: str = "") -> None:
        state, index = place
        state.status[index] = Status.FAILED
        self._account.failed(state, index, item, worker, self._backlog.attempts(state, index), detail)
        self._stopping |= self._gives_up
        if self._limits.fail_fast:
            self._crew.kill()

    def _recover(self) -> None:
        """After a loss, when it is known who was at fault: blame, reopen, try again."""
        pools = self._crew.losses.pools
        verdicts = self._crew.judge()
        if verdicts is None:
            return
        for chunk, items in verdicts.again:
            self._backlog.put_back(chunk.queue, items)
        for blame in verdicts.blamed:
            self._blame(blame)
        if not self._stopping:
            self._crew.reopen(pools)

    def _blame(self, blame: Blame) -> None:
        entry, place = blame.chunk.queue, blame.chunk.items[blame.position]
        if not self._backlog.failed(entry, place, stopping=self._stopping):
            item, worker = self._crew.receipt_of(blame)
            self._fail(entry, place, item, worker, blame.detail)

    # -- filing --------------------------------------------------------------------------------------------------

    def _file(self) -> None:
        """File what waits, and let other runs see what this one has taken."""
        self._filing.file()
        self._sharing.let_go()
        self._heard()

    def _file_later(self, name: str, family: bytes, records: Sequence[NewRecord]) -> None:
        self._tally.steps[name].unsynced += 1
        self._filing.add(name, family, records)

    def _heard(self, *, wait: bool = False) -> None:
        """Report the steps all of whose results are on the disk."""
        for name in self._filing.finished(wait=wait):
            self._tally.steps[name].unsynced -= 1
        self._tally.report(final=False)

    # -- the end -------------------------------------------------------------------------------------------------

    def _lose(self, message: str) -> None:
        """A result that was counted on is gone: what is running is taken in, then the run has to be planned anew."""
        self._lost = self._lost or message
        self._stopping = True

    def _wind_down(self) -> None:
        """After Ctrl-C: let workers finish the item that they are on, for a moment."""
        self._stopping = True
        deadline = time.monotonic() + GRACE
        try:
            self._crew.ask_to_stop()
            while self._crew.running and time.monotonic() < deadline:
                self._collect(max(0.01, deadline - time.monotonic()))
        except KeyboardInterrupt:
            pass
        finally:
            self._crew.kill()

    def _close(self) -> None:
        self._crew.close()
        self._file()
        self._sharing.close()
        self._heard(wait=True)
        self._filing.close()
        self._crew.remove_folder()
        self._account.unkept(self._store.saving.take_complaints())
