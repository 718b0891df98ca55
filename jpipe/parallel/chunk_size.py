"""How many items to put into the next chunk, from what the finished ones took."""

from __future__ import annotations

from typing import Literal

__all__ = ["ChunkSizer"]

_TARGET_SECONDS = 0.25
_LEAST_SECONDS = 0.005
_GROWTH = 16
_MOST_BYTES = 32 * 1024**2
_MOST_ITEMS = 100_000


class ChunkSizer:
    """Chunks of about a quarter of a second.

    The first chunks hold one item. Later ones grow at most 16-fold at a time, because the first items can be unlike
    the others. Towards the end they shrink, so that all workers finish at about the same time, but not below the five
    milliseconds for which a chunk is worth its way. They are never more than 32 MB.

    Parameters
    ----------
    n_jobs
        Number of workers.
    batch_size
        Items in a chunk, or ``"auto"``.
    """

    def __init__(self, n_jobs: int, batch_size: int | Literal["auto"] = "auto") -> None:
        self._n_jobs = n_jobs
        self._fixed = None if batch_size == "auto" else batch_size
        self._largest = 1
        self._seconds: float | None = None
        self._bytes = 0.0

    def size(self, remaining: int | None) -> int:
        """Items for the next chunk.

        Parameters
        ----------
        remaining
            How many are left, or None if nobody knows.
        """
        if self._fixed is not None:
            return self._fixed
        if self._seconds is None:
            return 1
        size = min(self._largest * _GROWTH, _MOST_ITEMS)
        if self._seconds * size > _TARGET_SECONDS:
            size = int(_TARGET_SECONDS / self._seconds)
        if self._bytes * size > _MOST_BYTES:
            size = int(_MOST_BYTES / self._bytes)
        if remaining is not None:
            fair = -(-remaining // (2 * self._n_jobs))
            size = min(size, max(fair, int(_LEAST_SECONDS / max(self._seconds, 1e-9))))
        return max(size, 1)

    def learn(self, count: int, seconds: float, nbytes: int) -> None:
        """A chunk is finished.

        Parameters
        ----------
        count
            Items in it.
        seconds
            What they took in the worker.
        nbytes
            Size of its packed items or of its packed results, whichever is more.
        """
        if count == 0:
            return
        latest = seconds / count
        self._seconds = latest if self._seconds is None else min((self._seconds + latest) / 2, 2 * latest)
        self._bytes = max(nbytes / count, self._bytes / 2)
        self._largest = max(self._largest, count)
