"""Which item each worker is on, readable after the worker was killed, and a flag that asks all of them to stop.

A file of 64-bit integers, mapped by the main process and by each worker. The first says whether to stop; after it come
two for each chunk in flight: the worker's process id and the index of its current item.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path

__all__ = ["Notes"]

_INTEGER = 8


class Notes:
    """The mapped file.

    Parameters
    ----------
    path
        Where the file is.
    places
        For the main process, which makes the file: how many chunks may be in flight.
    """

    def __init__(self, path: str, places: int = 0) -> None:
        self.path = path
        if places:
            Path(path).write_bytes(bytes(_INTEGER * (1 + 2 * places)))
        descriptor = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0))
        try:
            self._map = mmap.mmap(descriptor, 0)
        finally:
            os.close(descriptor)
        self.numbers = memoryview(self._map).cast("q")

    def clear(self, place: int) -> None:
        """A chunk is about to take this place."""
        self.numbers[1 + 2 * place] = 0

    def read(self, place: int) -> tuple[int, int]:
        """Process id, 0 when no worker has begun, and index of the current item of the chunk at this place."""
        try:
            return self.numbers[1 + 2 * place], self.numbers[2 + 2 * place]
        except ValueError:  # closed meanwhile, by a map that ended
            return 0, 0

    def ask_to_stop(self) -> None:
        """Ask the workers to stop after their current item."""
        self.numbers[0] = 1

    def close(self) -> None:
        """Unmap the file."""
        self.numbers.release()
        self._map.close()
