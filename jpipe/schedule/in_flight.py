"""The workers of a run: pools, the chunks that are with them, and what is done when one dies, hangs or is to stop."""

from __future__ import annotations

import functools
import os
import queue
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from jpipe.model.events import OUT_OF_MEMORY, Notice
from jpipe.parallel.n_jobs import Pools, memory_for_items
from jpipe.schedule.chunks import Chunk, StepQueue
from jpipe.schedule.lost_workers import Blame, Losses, LossReport
from jpipe.schedule.run_folder import RunFolder
from jpipe.schedule.still_waiting import StillWaiting
from jpipe.schedule.watchdog import Watchdog, end_process
from jpipe.store.work_claims import short_key
from jpipe.system.error_record import ErrorRecord, WorkersLost
from jpipe.system.memory import killed_for_memory, machine_memory
from jpipe.system.ownership import is_users
from jpipe.worker.descriptors import last_words
from jpipe.worker.messages import ItemReceipt, Receipt
from jpipe.worker.run_chunk import Task
from jpipe.worker.terminal_text import as_seen

if TYPE_CHECKING:
    from jpipe.parallel.pool import Pool
    from jpipe.worker.cluster_task import ClusterTasks

__all__ = ["UNREACHABLE", "Completion", "InFlight"]

UNREACHABLE = ErrorRecord("killed", "WorkerLostError", "the scheduler of the cluster does not answer any more")
"""What is said of an item whose worker may live, on a cluster of which nothing is heard."""

LOOK = 0.5
"""How often to look after the workers, seconds."""
STOPPED = 3.0
"""Who did not look for longer was stopped, or had work of its own, seconds."""

Completion = tuple[Chunk, Receipt | None, BaseException | None]


class InFlight:
    """The workers of one run.

    Parameters
    ----------
    pools
        Opens them, at most one of each kind.
    opened
        Called with each pool that was opened.
    tell
        Takes what the user should know.

    Attributes
    ----------
    n_jobs
        How many workers there are.
    losses
        The chunks that were lost with their workers.
    """

    def __init__(
        self, pools: Pools, opened: Callable[[Pool], None], tell: Callable[[Notice], None] = lambda notice: None
    ) -> None:
        self.losses = Losses()
        self.n_jobs = pools.n_jobs
        self._open_pool = pools.open
        self._opened = opened
        self._tell = tell
        self._still_waiting = StillWaiting()
        self._over = 0
        self._pools: dict[bool, Pool] = {}
        self._running: dict[int, Chunk] = {}
        self._completed: queue.SimpleQueue[Completion | None] = queue.SimpleQueue()
        self._folder: RunFolder | None = None
        self._looked = 0.0

    @property
    def folder(self) -> RunFolder:
        """The run's folder, where workers say what they are at; made when it is asked for."""
        if self._folder is None:
            self._folder = RunFolder()
            self._watchdog = Watchdog(self._folder)
            self._killed_before = killed_for_memory()
        return self._folder

    @property
    def running(self) -> int:
        """How many chunks are with workers."""
        return len(self._running)

    @property
    def has_pools(self) -> bool:
        """Whether workers were started."""
        return bool(self._pools)

    def has_room(self, entry: StepQueue) -> bool:
        """Whether what the step needs of memory fits beside what is running; a single item may always run."""
        needed = entry.options.memory
        if needed is None or not self._running:
            return True
        taken = sum(chunk.queue.options.memory or 0 for chunk in self._running.values())
        available = memory_for_items()
        return not available or taken + needed <= available

    def pool(self, entry: StepQueue, most: Callable[[], int | None]) -> Pool:
        """The pool for a step, opened when it is the first to need it; `most` says how many items can still come."""
        threads = entry.options.prefer == "threads"
        pool = self._pools.get(threads)
        if pool is None:
            pool = self._pools[threads] = self._open_pool(threads, most())
            pool.__enter__()
            if not pool.is_local:
                from jpipe.worker.cluster_task import name_here

                pool.find_unfit(name_here)
            self._opened(pool)
        return pool

    def submit(self, pool: Pool, chunk: Chunk) -> None:
        """Give a chunk to a worker."""
        self.begin(chunk)
        chunk.pool = pool
        completed = self._completed
        task, parts = (Task(chunk.work), ()) if pool.is_local else self._cluster.task(chunk.work, chunk.needs)
        try:
            pool.submit(task, lambda receipt, error: completed.put((chunk, receipt, error)), parts)
        except WorkersLost as error:
            completed.put((chunk, None, error))

    @functools.cached_property
    def _cluster(self) -> ClusterTasks:
        from jpipe.worker.cluster_task import ClusterTasks

        return ClusterTasks()

    def send_values(self) -> bool:
        """Send code and values along from now on, to workers that see no cache; False if that was done before."""
        before, self._cluster.sends_values = self._cluster.sends_values, True
        return not before

    def begin(self, chunk: Chunk) -> None:
        """A chunk is running from now on."""
        self._running[chunk.work.number] = chunk
        chunk.queue.running += 1

    def over(self, chunk: Chunk) -> bool:
        """A chunk is not running any more; False if it was given up before."""
        if self._running.pop(chunk.work.number, None) is None:
            return False
        chunk.queue.running -= 1
        self._over += 1
        return True

    def completions(self, seconds: float) -> Iterator[Completion | None]:
        """What is over; waits at most `seconds` for the first. None for a call of `wake`."""
        try:
            yield self._completed.get(timeout=seconds)
            while True:
                yield self._completed.get(block=False)
        except queue.Empty:
            return

    def wake(self) -> None:
        """End a wait in `completions`; a signal handler may call it, SimpleQueue.put is made for that."""
        self._completed.put(None)

    # -- workers that die or hang --------------------------------------------------------------------------------

    def look_after(self) -> None:
        """End workers whose item ignores its timeout, and notice those that died unheard of."""
        now = time.monotonic()
        if not self._running or now - self._looked < LOOK:
            return
        if self._looked and now - self._looked > STOPPED:
            self._watchdog.was_stopped(now, now - self._looked - LOOK)
        self._looked = now
        self._watchdog.look()
        ended = self._over + sum(slot.done for slot in self._watchdog.slots)
        if notice := self._still_waiting.look(now, ended, self._running, self._watchdog.slots):
            self._tell(notice)
        for slot in self._watchdog.overdue(self._running, now):
            pool = self._running[slot.chunk].pool
            if self._running[slot.chunk].is_away and slot.pid != os.getpid():
                continue  # the worker's own process is ended where it is
            self.losses.overdue(slot.chunk)
            if pool is not None and pool.is_local and pool.tells_losses and not pool.shares_memory:
                end_process(slot.pid)
            elif pool is not None:
                self._abandon(pool)
        for pool in self._pools.values():
            if pool.is_local and not pool.tells_losses and self._watchdog.vanished(self._running):
                self._abandon(pool)

    def give_up_unreachable(self) -> list[Chunk]:
        """The chunks that were in pools whose workers cannot be reached any more."""
        gone = [pool for pool in self._pools.values() if pool.is_open and pool.is_gone()]
        if not gone:
            return []
        chunks = [chunk for chunk in self._running.values() if chunk.pool in gone]
        for chunk in chunks:
            self.over(chunk)
        for pool in gone:
            pool.forget()
        return chunks

    def judge(self) -> LossReport | None:
        """Who was at fault, once nothing is left in pools that end with a worker; None before, or without a loss."""
        lost = [pool for pool in self.losses.pools if not getattr(pool, "keeps_others", False)]
        if not self.losses.pools or any(chunk.pool in lost for chunk in self._running.values()):
            return None
        report = self.losses.judge(self.folder.states())
        self.folder.forget_workers()
        return report

    def reopen(self, pools: Iterable[object]) -> None:
        """Start new workers in those pools."""
        wanted = list(pools)
        for pool in self._pools.values():
            if pool in wanted:
                pool.reopen()

    def receipt_of(self, blame: Blame) -> tuple[ItemReceipt, int]:
        """What is known of an item that ended its worker, and the number of that worker."""
        timeout = blame.chunk.queue.options.timeout
        slot = blame.slot
        pid = slot.pid if slot is not None else 0
        peak = max(self._watchdog.memory.get(pid, 0), slot.peak_memory if slot is not None else 0)
        words = last_words(self.folder.path, pid)
        frames = tuple((file, line, name, is_users(file)) for file, line, name in words.frames)
        if blame.kind == "timeout" and timeout is not None:
            seconds = timeout
            message = f"took longer than its timeout of {timeout:g} s"
            error = ErrorRecord("timeout", "ItemTimeoutError", message, frames=frames)
        else:
            seconds = max(0.0, time.monotonic() - slot.started) if slot is not None else 0.0
            starved = "SIGKILL" in blame.detail and self._is_out_of_memory(peak)
            message = words.crash or f"its worker process was killed{OUT_OF_MEMORY if starved else ''}"
            error = ErrorRecord("killed", "WorkerLostError", message, frames=frames)
        worker = self.folder.number_of(pid) if pid else 0
        item = ItemReceipt(blame.position, error=error, seconds=seconds, output=as_seen(words.text), peak_memory=peak)
        return item, worker

    def _is_out_of_memory(self, peak: int) -> bool:
        """Whether a worker that was just killed, and had so much, most likely took memory that there was not."""
        total = max(peak, sum(self._watchdog.memory.values()))
        return killed_for_memory() > self._killed_before or (total > 0 and 2 * total >= machine_memory())

    def _abandon(self, pool: Pool) -> None:
        """Give everything up that is in a pool that cannot be trusted any more."""
        for chunk in [chunk for chunk in self._running.values() if chunk.pool is pool]:
            self.over(chunk)
            self.losses.add(chunk, WorkersLost(""))
        pool.kill()

    def give_up_all_but(self, wanted: frozenset[bytes]) -> bool:
        """End the chunks that have none of these items, where that ends no other chunk; whether any is left that has.

        Parameters
        ----------
        wanted
            Short keys.
        """
        workers = {slot.chunk: slot.pid for slot in self.folder.states()}
        is_left = False
        for number, chunk in list(self._running.items()):
            if not wanted.isdisjoint(short_key(item.key) for item in chunk.work.items):
                is_left = True
            elif getattr(chunk.pool, "survives_losses", False) and number in workers:
                self.over(chunk)
                end_process(workers[number])
        return is_left

    # -- the end -------------------------------------------------------------------------------------------------

    def ask_to_stop(self) -> None:
        """Have every worker stop after the item that it is on."""
        if self._folder is not None:
            self._folder.ask_to_stop()

    def kill(self) -> None:
        """End all workers at once."""
        for pool in self._pools.values():
            pool.kill()
        self._running.clear()

    def close(self) -> None:
        """Close the pools."""
        for pool in self._pools.values():
            pool.close()

    def remove_folder(self) -> None:
        """Remove the run's folder, once nothing asks what workers said."""
        if self._folder is not None:
            self._folder.remove()
