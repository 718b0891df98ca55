"""Flush results to the disk in the background, so that a step that is reported done survives a power cut."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator

from jpipe.store import Store

__all__ = ["Syncer"]

Names = tuple[str, ...]


class Syncer:
    """Calls `Store.sync` in a thread of its own, for all that waits together.

    Parameters
    ----------
    store
        Where the files are.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: queue.SimpleQueue[tuple[Names, tuple[str, ...]] | None] = queue.SimpleQueue()
        self._finished: queue.SimpleQueue[Names] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._open = 0

    def add(self, names: Names, paths: tuple[str, ...]) -> None:
        """Flush `paths`; `finished` gives the names then."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="jpipe-sync", daemon=True)
            self._thread.start()
        self._open += 1
        self._waiting.put((names, paths))

    def finished(self, *, wait: bool = False) -> Iterator[str]:
        """The names whose files are on the disk by now; of all that was added, where `wait`."""
        while self._open:
            try:
                names = self._finished.get(wait)
            except queue.Empty:
                return
            self._open -= 1
            yield from names

    def close(self) -> None:
        """End the thread when it is done."""
        if self._thread is not None:
            self._waiting.put(None)
            self._thread.join()
            self._thread = None

    def _work(self) -> None:
        while (entry := self._waiting.get()) is not None:
            together = [entry]
            while not self._waiting.empty():
                more = self._waiting.get()
                if more is None:
                    self._waiting.put(None)
                    break
                together.append(more)
            try:
                self._store.sync([path for _, paths in together for path in paths])
            finally:
                for names, _ in together:
                    self._finished.put(names)
