"""What comes back from workers of a cluster: refusals are said and the work goes elsewhere, results are filed here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from jpipe.decide.record_lookup import RecordLookup
from jpipe.model.events import Notice, Observer
from jpipe.schedule.chunks import Chunk
from jpipe.store import MissingEntry, Store
from jpipe.worker.messages import Receipt

if TYPE_CHECKING:
    from jpipe.parallel.pool import Pool

__all__ = ["ClusterResults"]

_UNSEEN = "code and values travel through the cluster from now on, because of the worker {worker}: {why}"


class ClusterResults:
    """Takes the receipts of workers that may be on other machines.

    Parameters
    ----------
    store
        Where results are filed, signed with this user's key.
    lookup
        Knows the files of the project.
    emit
        Takes the events.
    send_values
        Has code and values sent along from now on; False if they were before.
    """

    def __init__(self, store: Store, lookup: RecordLookup, emit: Observer, send_values: Callable[[], bool]) -> None:
        self._store = store
        self._lookup = lookup
        self._emit = emit
        self._send_values = send_values
        self._sends_values = False
        self._told: set[tuple[str, str]] = set()
        self._done_here: Counter[str] = Counter()

    def take(self, chunk: Chunk, receipt: Receipt) -> None:
        """Check and file what a worker gave, before anything of it counts."""
        if receipt.is_refused:
            return
        for item in receipt.items:
            other = next((read.path for read in item.reads if not self._lookup.unchanged(read)), None)
            if other is not None and item.changed is None:
                receipt.refuse(len(receipt.items), f"its {other} is not the one that is here")
                receipt.is_unfit = not self._sends_values
                return
        if receipt.blobs:
            from jpipe.worker.parcels import file_results

            try:
                file_results(self._store, receipt)
            except MissingEntry as error:
                receipt.refuse(len(receipt.items), f"a result did not arrive as it was sent: {error}")
                return
        # Small results wait to be filed with those of other chunks.
        receipt.together = True
        receipt.publish(self._store)

    def refused(self, chunk: Chunk, receipt: Receipt) -> bool:
        """A worker cannot do a chunk: say why, once; return whether another one may."""
        why = next((item.error.message for item in receipt.items if item.error is not None), "")
        if receipt.is_blind:
            self._sends_values = True
            if self._send_values():
                self._emit(Notice(_UNSEEN.format(worker=receipt.worker, why=why)))
            return True
        pool: Pool | None = chunk.pool
        if pool is not None and not pool.is_local and receipt.is_unfit:
            left = pool.exclude(receipt.worker)
            if (receipt.worker, why) not in self._told:
                self._told.add((receipt.worker, why))
                self._emit(Notice(f"the worker {receipt.worker} is not used: {why}"))
            if left:
                return True
        self._done_here[why] += 1
        return False

    def failed(self, chunk: Chunk, error: BaseException) -> None:
        """A chunk could not be handed over, or its receipt not handed back."""
        chunk.pool.forget_parts()
        self._done_here[f"{type(error).__name__}: {error}".splitlines()[0][:200]] += 1

    def tell(self) -> None:
        """Say at the end what ran in this process although there were workers."""
        for why, count in self._done_here.items():
            chunks = "1 chunk" if count == 1 else f"{count:,} chunks"
            self._emit(Notice(f"{chunks} ran in the main process because {why}"))
        self._done_here.clear()
