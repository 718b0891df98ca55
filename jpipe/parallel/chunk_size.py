"""How many items go into the next chunk, from what the finished ones took."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Pace"]

_TARGET_SECONDS = 0.25
_BETWEEN = 0.005
"""The main process and the scheduler of a cluster keep up with a chunk every so many seconds, not with many more."""
_MOST_BYTES = 32 * 1024**2


@dataclass(slots=True, eq=False, repr=False)
class Pace:
    """How long items take, and chunks of about a quarter of a second; of more where there are hundreds of workers.

    The first chunk holds one item. Later ones grow by steps, because the first items can be unlike the others. Towards
    the end they shrink, so that all workers finish at about the same time. They are never more than 32 MB.

    Parameters
    ----------
    seconds
        What an item takes: a mean that follows the last ones. None before the first.
    largest_chunk
        The items of the largest chunk so far.
    growth
        So many times that may the next one hold.
    most_items
        No chunk holds more.
    least_seconds
        Chunks do not shrink below what takes so long: it would not be worth their way.
    """

    seconds: float | None = None
    largest_chunk: int = 1
    growth: int = 64
    most_items: int = 20_000
    least_seconds: float = 0.0
    _bytes: float = 0.0

    def saw(self, seconds: float, items: int, nbytes: int = 0) -> None:
        """`items` items took `seconds` together, and `nbytes` on their way to the worker or back."""
        if not items:
            return
        latest = seconds / items
        self.seconds = latest if self.seconds is None else min((self.seconds + latest) / 2, 2 * latest)
        self._bytes = max(nbytes / items, self._bytes / 2)
        self.largest_chunk = max(self.largest_chunk, items)

    def chunk_size(self, waiting: int | None, workers: int) -> int:
        """How many of `waiting` items to take at once, for `workers` workers; None where nobody knows how many wait."""
        if self.seconds is None:
            return 1
        each = max(self.seconds, 1e-9)
        seconds = max(_TARGET_SECONDS, workers * _BETWEEN)
        size = min(self.largest_chunk * self.growth, self.most_items, int(seconds / each))
        if self._bytes:
            size = min(size, int(_MOST_BYTES / self._bytes))
        if waiting is not None:
            fair = -(-waiting // (2 * workers))
            size = min(size, max(fair, int(self.least_seconds / each)))
        return max(size, 1)
