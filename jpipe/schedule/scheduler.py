"""Run what must run, as soon as what it needs is known, and never keep a worker waiting.

One loop in the main thread. Items that must run stand in one queue for each step; the loop cuts chunks from the queues,
longest remaining path first, keeps a window of chunks with the workers, and waits for completions. A result goes into
the state of the pipeline, which says which items became ready, or turned out fresh. It prints nothing: it emits events.

Where there is no parallelism there is no pool: a single ready item, and work that history says is short, run in this
process.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

from jpipe.decide.pipeline_state import PipelineState
from jpipe.model.events import Observer
from jpipe.model.outcomes import Outcome
from jpipe.parallel.interrupts import Interrupts
from jpipe.schedule.chunks import Chunk, ChunkBuilder, StepQueue
from jpipe.schedule.cluster_results import ClusterResults
from jpipe.schedule.concurrent_runs import POLL, ConcurrentRuns
from jpipe.schedule.handover import handover
from jpipe.schedule.hidden_inputs import finished_items
from jpipe.schedule.in_flight import UNREACHABLE, Completion, InFlight
from jpipe.schedule.in_this_process import runs_here
from jpipe.schedule.isolation import opens_debugger
from jpipe.schedule.item_results import ItemResults
from jpipe.schedule.lost_workers import Blame
from jpipe.schedule.ready_items import Item
from jpipe.schedule.ready_queue import ReadyQueue
from jpipe.schedule.run_request import RunRequest
from jpipe.schedule.step_counts import RunCounts
from jpipe.schedule.write_behind import WriteBehind
from jpipe.store import MissingEntry, Store
from jpipe.system.error_record import WorkersLost
from jpipe.worker.current_item import CurrentItem
from jpipe.worker.messages import ItemReceipt, Receipt
from jpipe.worker.run_chunk import run_work
from jpipe.worker.seeds import preserved

__all__ = ["ResultLost", "Scheduler"]

PATIENCE = 0.5
"""How long to wait for a worker before looking after all of them, seconds."""
SHORT_CHUNK = 0.02
"""Chunks that are expected to take less leave nothing to wait for behind them, seconds."""
GRACE = 1.2
"""How long workers may finish their items after Ctrl-C, seconds."""


class ResultLost(Exception):
    """A result that was counted on cannot be read; the run has to be planned anew."""


class Scheduler:
    """One run.

    Parameters
    ----------
    store
        Where results are.
    request
        What is asked: what a failure stops.
    pipeline_state
        What is known.
    counts
        Counts, and reports steps.
    item_results
        Says what became of items.
    ready_queue
        What is to run; filled when items turn out stale.
    in_flight
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
        request: RunRequest,
        *,
        pipeline_state: PipelineState,
        counts: RunCounts,
        item_results: ItemResults,
        ready_queue: ReadyQueue,
        in_flight: InFlight,
        make_builder: Callable[[str | None], ChunkBuilder],
        emit: Observer,
        heals: bool = True,
    ) -> None:
        self._store = store
        self._request = request
        self._pipeline_state = pipeline_state
        self._counts = counts
        self._item_results = item_results
        self._ready_queue = ready_queue
        self._in_flight = in_flight
        self._make_builder = make_builder
        self._emit = emit
        self._heals = heals
        self._chunks: ChunkBuilder | None = None
        self._stopping = False
        self._lost = ""
        self._interrupted = False
        self._interrupts = Interrupts(in_flight.wake)
        self._current = CurrentItem(store.root)
        self._write_behind = WriteBehind(store, counts)
        self._other_runs = ConcurrentRuns(store, pipeline_state, emit)
        self._cluster_results = ClusterResults(store, pipeline_state.lookup, emit, in_flight.send_values)
        store.saving.quiet = True

    def run(self) -> Outcome:
        """Run everything; what finished is kept, whatever happens."""
        handover.wake = self._in_flight.wake
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
            self._counts.settle(interrupted=self._interrupted, failed=bool(self._item_results.failures))
        if self._interrupted:
            return Outcome.INTERRUPTED
        if self._item_results.failures:
            return Outcome.FAILED
        return Outcome.RAN if self._counts.any_started else Outcome.CACHED

    @property
    def _gives_up(self) -> bool:
        """Whether a failure is to be the end of the run."""
        return bool(self._item_results.failures) and (self._request.fail_fast or not self._request.keep_going)

    def _work_through(self) -> None:
        try:
            self._loop()
        except MissingEntry as error:
            if not self._heals:
                raise
            self._lose(str(error))
            while self._in_flight.running:
                with contextlib.suppress(MissingEntry):
                    self._collect(PATIENCE)

    def _loop(self) -> None:
        self._counts.report(final=False)
        while True:
            self._ready_queue.release()
            self._other_runs.look()
            self._recover()
            self._make_room()
            self._dispatch()
            self._file(if_due=self._in_flight.running > 0)
            looks = POLL if self._other_runs.is_waiting else None
            if self._in_flight.running:
                self._collect(max(0.0, min(looks or PATIENCE, self._write_behind.due_in)))
            elif (pause := looks or self._ready_queue.pause) is not None and not self._stopping:
                self._collect(pause)
            else:
                return

    def _collect(self, seconds: float) -> None:
        """Take what workers finished; wait at most `seconds` for the first of it."""
        if not self._stopping:
            self._in_flight.look_after()
        for chunk in self._in_flight.give_up_unreachable():
            self._fail(chunk.queue, chunk.items[0], ItemReceipt(0, error=UNREACHABLE), 0)
            self._stopping = True
        for completion in self._in_flight.completions(seconds):
            if completion is not None:
                self._finished(completion)
            elif not self._interrupted:
                self._interrupts.check()

    def _finished(self, completion: Completion) -> None:
        chunk, receipt, error = completion
        if not self._in_flight.over(chunk):
            return
        if receipt is not None and chunk.is_away:
            self._cluster_results.take(chunk, receipt)
        if receipt is not None and receipt.is_refused and not chunk.work.in_main:
            if self._cluster_results.refused(chunk, receipt):
                self._ready_queue.put_back(chunk.queue, chunk.items)
            else:
                self._run_here_one_by_one(chunk)
        elif receipt is not None:
            self._take(chunk, receipt)
            if not self._stopping and any(item.interrupted for item in receipt.items):
                raise KeyboardInterrupt
        elif isinstance(error, WorkersLost):
            self._in_flight.losses.add(chunk, error)
        elif error is not None:
            # The chunk could not be handed over, or its receipt not handed back.
            if chunk.is_away:
                self._cluster_results.failed(chunk, error)
            self._run_here_one_by_one(chunk)

    def _run_here_one_by_one(self, chunk: Chunk) -> None:
        for item in chunk.items:
            self._run_here(self._build(chunk.queue, [item]))

    # -- giving work out -----------------------------------------------------------------------------------------

    def _make_room(self) -> None:
        """Begin nothing new where the next run of the pipeline asks for it, and end once it waits for nothing here."""
        self._stopping |= handover.is_asked
        is_over = handover.is_asked and not handover.is_waited_for(self._in_flight)
        if is_over and any(not state.is_done for state in self._pipeline_state.states.values()):
            raise KeyboardInterrupt

    def _dispatch(self) -> None:
        while not self._stopping:
            self._interrupts.check()
            self._make_room()
            if self._in_flight.losses.is_trying:
                self._try_alone()
                return
            if self._in_flight.n_jobs == 1 and self._in_flight.running:
                return
            entry = self._ready_queue.first(self._in_flight.has_room, ranked=self._in_flight.running > 0)
            if entry is None:
                return
            if runs_here(entry, self._ready_queue, self._in_flight):
                items = self._other_runs.own(entry, entry.take(1))
                if items:
                    self._run_here(self._build(entry, items))
                continue
            pool = self._in_flight.pool(entry, self._pipeline_state.most_items)
            if self._in_flight.running >= entry.window(pool.n_jobs):
                return
            items = self._other_runs.own(entry, entry.take(pool.n_jobs))
            if not items:
                continue
            chunk = self._build(entry, items)
            if chunk.is_bound or pool.n_jobs == 1:
                self._run_here(chunk)
            else:
                self._in_flight.submit(pool, chunk)

    def _build(self, entry: StepQueue, items: list[Item]) -> Chunk:
        if self._chunks is None:
            self._store.pin()
            self._chunks = self._make_builder(self._in_flight.folder.path)
        self._counts.started(entry.step.name)
        return self._chunks.build(entry, items)

    def _run_here(self, chunk: Chunk) -> None:
        chunk.work.in_main = True
        chunk.work.slots = None
        chunk.work.capture = chunk.work.capture and not opens_debugger(chunk.queue.step)
        self._in_flight.begin(chunk)
        pace = chunk.queue.pace.seconds
        if pace is None or pace * len(chunk.items) > SHORT_CHUNK:
            self._file()
        if len(chunk.items) == 1:
            self._current.begin(chunk.work.items[0].key)
        try:
            with handover.during(chunk.work.items):
                receipt = run_work(chunk.work)
        finally:
            self._current.end()
        if handover.has_interrupted:  # this item alone: the next run may wait for one that a worker is at
            self._stopping, self._interrupts.asked = True, 0
        self._finished((chunk, receipt, None))
        if self._write_behind.is_due or self._other_runs.let_go(if_due=True):
            self._file()

    def _try_alone(self) -> None:
        """Try the next suspect of a loss, once nothing else is in flight."""
        if self._in_flight.running:
            return
        suspect, position = self._in_flight.losses.suspects.popleft()
        alone = self._build(suspect.queue, [suspect.items[position]])
        self._in_flight.losses.try_alone(alone)
        self._in_flight.submit(self._in_flight.pool(suspect.queue, self._pipeline_state.most_items), alone)

    # -- taking results in ---------------------------------------------------------------------------------------

    def _take(self, chunk: Chunk, receipt: Receipt) -> None:
        self._item_results.unkept(receipt.complaints)
        self._item_results.executed.add(chunk, receipt)
        worker = self._in_flight.folder.number_of(receipt.pid)
        self._in_flight.losses.cleared(chunk)
        failed = 0
        over = finished_items(self._pipeline_state.traffic, chunk, receipt)
        for item in over:
            state, index = chunk.items[item.position]
            if item.stored is not None:
                self._item_results.done(state, index, item)
                is_kept = item.changed is None
                self._pipeline_state.ran(state, index, item.stored, item.reads, item.seconds, is_kept=is_kept)
                if not is_kept or item.error is not None:
                    self._other_runs.give_up(state, index)
            elif not self._again(chunk, item):
                self._fail(chunk.queue, (state, index), item, worker)
                failed += 1
        if receipt.plain is not None:
            state, indices = chunk.at(receipt.plain.positions)
            self._item_results.done_plainly(state, indices, receipt.plain)
            self._pipeline_state.ran_plainly(state, indices, receipt.plain)
        self._item_results.chunk_ended(chunk, receipt, over, failed, worker)
        self._write_behind.take(chunk.queue.step.name, receipt)
        self._pipeline_state.work_off()
        self._counts.tell_known()
        for step, family, record in self._pipeline_state.take_unpublished():
            self._write_behind.add(step, family, [record])
        self._write_behind.report()

    def _again(self, chunk: Chunk, item: ItemReceipt) -> bool:
        """Whether a failed item is tried once more."""
        assert item.error is not None
        if item.error.kind == "missing":
            if self._heals:
                self._lose(item.error.message)
                return True
            item.error = item.error._replace(kind="raised")
        place = chunk.items[item.position]
        if item.is_for_main and not chunk.work.in_main:
            if handover.is_asked:
                self._ready_queue.put_back(chunk.queue, [place])
                return True
            self._run_here(self._build(chunk.queue, [place]))
            return True
        return self._ready_queue.failed(chunk.queue, place, stopping=self._stopping)

    def _fail(self, entry: StepQueue, place: Item, item: ItemReceipt, worker: int, detail: str = "") -> None:
        state, index = place
        state.item_failed(index)
        self._pipeline_state.gave_up(state, index)
        self._other_runs.give_up(state, index)
        self._item_results.failed(state, index, item, worker, max(1, self._ready_queue.failures(state, index)), detail)
        self._stopping |= self._gives_up
        if self._request.fail_fast:
            self._in_flight.kill()

    def _recover(self) -> None:
        """After a loss, when it is known who was at fault: blame, reopen, try again."""
        pools = self._in_flight.losses.pools
        if not pools or (report := self._in_flight.judge()) is None:
            return
        for chunk, items in report.again:
            self._ready_queue.put_back(chunk.queue, items)
        for blame in report.blamed:
            self._blame(blame)
        if not self._stopping:
            self._in_flight.reopen(pools)

    def _blame(self, blame: Blame) -> None:
        entry, place = blame.chunk.queue, blame.chunk.items[blame.position]
        if not self._ready_queue.failed(entry, place, stopping=self._stopping):
            item, worker = self._in_flight.receipt_of(blame)
            self._fail(entry, place, item, worker, blame.detail)

    def _file(self, *, if_due: bool = False) -> None:
        """File what waits, and let other runs see what this one has taken."""
        if not if_due or self._write_behind.is_due:
            self._write_behind.file()
        self._other_runs.let_go()
        self._write_behind.report()

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
            self._in_flight.ask_to_stop()
            while self._in_flight.running and time.monotonic() < deadline:
                self._collect(max(0.01, deadline - time.monotonic()))
        except KeyboardInterrupt:
            pass
        finally:
            self._in_flight.kill()

    def _close(self) -> None:
        self._in_flight.close()
        self._file()
        self._other_runs.close()
        self._write_behind.report(wait=True)
        self._write_behind.close()
        self._in_flight.remove_folder()
        self._cluster_results.tell()
        self._item_results.unkept(self._store.saving.take_complaints())
