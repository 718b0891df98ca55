"""File results: short ones together, and have all of them flushed to the disk before their step is reported."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

from jpipe.schedule.flush_to_disk import Syncer
from jpipe.schedule.step_counts import RunCounts
from jpipe.store import NewRecord, PlainRecords, Store
from jpipe.worker.messages import Receipt

__all__ = ["WriteBehind"]

MOST_RECORDS = 1000
LONGEST_WAIT = 0.1
"""How long a result may wait here for others to be filed with, seconds."""
SHARE = 100
"""A result waits so many times as long as filing took the last time: that leaves the main thread its time."""


class WriteBehind:
    """Results on their way into the store.

    Parameters
    ----------
    store
        Where they go.
    counts
        Counts what of each step is on its way, and reports a step when nothing is.
    """

    def __init__(self, store: Store, counts: RunCounts) -> None:
        self._store = store
        self._counts = counts
        self._syncer = Syncer(store)
        self._records: dict[bytes, tuple[list[NewRecord], list[PlainRecords]]] = {}
        self._names: list[str] = []
        self._count = 0
        self._since = 0.0
        self._wait = 0.0

    def add(self, name: str, family: bytes, records: Sequence[NewRecord], columns: Sequence[PlainRecords] = ()) -> None:
        """Results of step `name` that are not filed yet."""
        self._counts.steps[name].unsynced += 1
        if not self._count:
            self._since = time.monotonic()
        waiting = self._records.setdefault(family, ([], []))
        waiting[0].extend(records)
        waiting[1].extend(columns)
        self._names.append(name)
        self._count += len(records) + sum(len(column.payloads) for column in columns)

    def take(self, name: str, receipt: Receipt) -> None:
        """What a chunk of step `name` has left to be flushed and filed."""
        if receipt.paths:
            self.flush(name, receipt.paths)
        columns = () if receipt.plain is None else receipt.plain.take_records()
        if receipt.records or columns:
            self.add(name, receipt.family, [record for _, record in receipt.records], columns)

    def flush(self, name: str, paths: Sequence[str]) -> None:
        """Have files that a worker wrote flushed."""
        self._counts.steps[name].unsynced += 1
        self._syncer.add((name,), tuple(paths))

    @property
    def is_due(self) -> bool:
        """Whether what was added should be filed now."""
        return self._count >= MOST_RECORDS or self.due_in <= 0.0

    @property
    def due_in(self) -> float:
        """How long what was added may wait, seconds; for ever where that is nothing."""
        return self._since + self._wait - time.monotonic() if self._count else math.inf

    def file(self) -> None:
        """File what was added."""
        if not self._count:
            return
        begun = time.monotonic()
        records, self._records, self._count = self._records, {}, 0
        names, self._names = self._names, []
        paths: list[str] = []
        for family, (entries, columns) in records.items():
            paths += self._store.publish(family, entries, columns).paths
        self._syncer.add(tuple(names), tuple(paths))
        self._wait = min(LONGEST_WAIT, SHARE * (time.monotonic() - begun))

    def report(self, *, wait: bool = False) -> None:
        """Report the steps all of whose results are on the disk by now; all results, where `wait`."""
        for name in self._syncer.finished(wait=wait):
            self._counts.steps[name].unsynced -= 1
        self._counts.report(final=False)

    def close(self) -> None:
        """End; everything has to be filed before."""
        self._syncer.close()
