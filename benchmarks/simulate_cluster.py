"""The real scheduler with workers that only pretend: what a chunk costs the main process of a run with 1,000 workers.

``python -m benchmarks.simulate_cluster --items 100000 --workers 1000 --failures 0.001 --stragglers 0.01``

Nothing runs. A pool hands each chunk's receipt back when a simulated worker would be done: items take 1 s in the
middle, stragglers twenty times that, and a chunk is lost with its worker now and then. The run itself is a real one,
from laying out to the cache: measured is the processor time of the main thread between the first chunk and the last.
Receipts are made by another thread, as those of real workers come from one.
"""

from __future__ import annotations

import argparse
import heapq
import math
import queue
import random
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Self

import jpipe
from jpipe.schedule import run as run_module
from jpipe.schedule.in_flight import Completion, InFlight
from jpipe.store import Inline, NewRecord, Stored
from jpipe.system.error_record import WorkersLost
from jpipe.worker.messages import ItemReceipt, Receipt, Work

PIPELINE = """
from jpipe import map, pipeline, step

@step({options})
def simulated(i: int) -> int:
    return i

@pipeline
def main(n: int):
    return map(simulated, range(n))
"""


class Cluster:
    """Simulated workers: a heap of when each is done, by a clock of its own."""

    is_open = is_local = keeps_others = survives_losses = tells_losses = True
    shares_memory = False
    fell_back = ""

    def __init__(self, workers: int, failures: float, stragglers: float) -> None:
        self.n_jobs = workers
        self.unfit: dict[str, str] = {}
        self.chunks = self.lost = 0
        self.clock = 0.0
        self.begun = self.ended = 0.0
        self._failures = failures
        self._stragglers = stragglers
        self._random = random.Random(1)
        self._free = [0.0] * workers
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._asked: queue.SimpleQueue[tuple[Future[Receipt], Work, list[float]] | None] = queue.SimpleQueue()
        threading.Thread(target=self._make_receipts, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def submit(self, task: Any, done: Callable[[Any, Any], None], parts: Sequence[Any] = ()) -> None:
        """Give a chunk to the worker that is free first."""
        if not self.chunks:
            self.begun = time.thread_time()
        work: Work = task.work if hasattr(task, "work") else task.args[0]
        seconds = [self._seconds() for _ in work.items]
        end = max(heapq.heappop(self._free), self.clock) + sum(seconds)
        heapq.heappush(self._free, end)
        self.chunks += 1
        is_lost = self._random.random() < self._failures
        made: Future[Receipt] = Future()
        self._asked.put((made, work, seconds))

        def deliver() -> None:
            if is_lost:
                self.lost += 1
                done(None, WorkersLost("simulated"))
            else:
                done(made.result(), None)

        heapq.heappush(self._due, (end, self.chunks, deliver))

    def _make_receipts(self) -> None:
        while (asked := self._asked.get()) is not None:
            made, work, seconds = asked
            made.set_result(receipt_of(work, seconds))

    def advance(self) -> None:
        """The scheduler waits: let time pass until the next chunk is done."""
        if self._due:
            end, _, deliver = heapq.heappop(self._due)
            self.clock = max(self.clock, end)
            deliver()
            if not self._due:
                self.ended = time.thread_time()

    def _seconds(self) -> float:
        usual = math.exp(self._random.gauss(0.0, 0.3))
        return usual * 20 if self._random.random() < self._stragglers else usual

    def reopen(self) -> None:
        """Workers come by themselves."""

    def is_gone(self) -> bool:
        """Never."""
        return False

    def kill(self) -> None:
        """There is nothing to end."""

    def close(self) -> None:
        """No chunk comes any more."""
        self._asked.put(None)


def receipt_of(work: Work, seconds: Sequence[float]) -> Receipt:
    """What a worker would say of a chunk."""
    receipt = Receipt(work.number, 1, work.step.family, [], together=True)
    for position, (item, took) in enumerate(zip(work.items, seconds, strict=True)):
        stored = Stored(item.key, (), None, Inline(item.key[:16]), 16)
        receipt.items.append(ItemReceipt(position, stored=stored, seconds=took))
        receipt.records.append((position, NewRecord(item.key, stored, item.digests, (), took)))
    return receipt


def simulate(items: int, workers: int, failures: float, stragglers: float, options: str = "batch_size=1") -> Cluster:
    """Run a mapped call of `items` on simulated workers, and return them; the run itself succeeds."""
    cluster = Cluster(workers, failures, stragglers)

    class Pools:
        n_jobs = workers

        def __init__(self, *_: Any) -> None:
            """Nothing is asked of what a run wants."""

        def open(self, threads: bool, most: int | None = None) -> Cluster:
            return cluster

    class Waiting(InFlight):
        def completions(self, seconds: float) -> Iterator[Completion | None]:
            cluster.advance()
            return super().completions(0.0)

    before = run_module.Pools, run_module.InFlight
    run_module.Pools, run_module.InFlight = Pools, Waiting  # type: ignore[misc, assignment]
    try:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "pipeline.py")
            file.write_text(PIPELINE.format(options=options), "utf-8")
            from jpipe.define.loader import load

            run = jpipe.run(load(file), {"n": items}, n_jobs=workers, keep_going=True)
            assert not run.failures and sum(step.ran for step in run.steps) == items
    finally:
        run_module.Pools, run_module.InFlight = before  # type: ignore[misc]
    return cluster


def main() -> None:
    """Simulate, and print what a chunk costs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--failures", type=float, default=0.001, help="share of chunks that are lost with their worker")
    parser.add_argument("--stragglers", type=float, default=0.01, help="share of items that take twenty times as long")
    asked = parser.parse_args()
    begun = time.process_time()
    cluster = simulate(asked.items, asked.workers, asked.failures, asked.stragglers)
    seconds = cluster.ended - cluster.begun
    ideal = asked.items * (1 + 19 * asked.stragglers) * math.exp(0.045) / asked.workers
    print(
        f"{asked.items:,} items, {asked.workers:,} workers: {cluster.chunks:,} chunks, {cluster.lost:,} lost;"
        f" {seconds / cluster.chunks * 1e6:.0f} us of the main thread a chunk,"
        f" {time.process_time() - begun:.1f} s of the processor in all;"
        f" {cluster.clock:.0f} simulated seconds, {ideal:.0f} at the least"
    )


if __name__ == "__main__":
    main()
