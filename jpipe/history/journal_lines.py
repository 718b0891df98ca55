"""The file of a journal, written a line at a time, or many together where they come by the thousand."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Mapping
from typing import Any

from jpipe.history.run_index import json_line, open_to_append

__all__ = ["JournalLines"]

_MOST_BYTES = 16 << 20
_TOGETHER = 64 << 10
"""Lines that may wait are written when there are so many bytes of them, or the last were a second ago."""
_LONGEST_WAIT = 1.0


@functools.lru_cache(maxsize=64)
def _quoted(text: str) -> bytes:
    return json_line(text)[:-1]


class JournalLines:
    """A file of JSON lines that stops growing at `_MOST_BYTES`, but for what must be said.

    Parameters
    ----------
    path
        The file; where it cannot be opened nothing is written.
    """

    def __init__(self, path: str) -> None:
        self._descriptor: int | None = open_to_append(path)
        self._size = self._written = 0
        self._waiting: list[bytes] = []
        self._due = 0.0

    def write(self, kind: str, row: Mapping[str, Any], *, always: bool) -> None:
        """Append a row after those that wait."""
        if self._takes_more or (always and self._descriptor is not None):
            self._add(json_line({"kind": kind, **row}), may_wait=False)

    def write_chunk(self, step: str, ran: int, worker: int, at: float, seconds: float) -> None:
        """Append the row of a chunk, which waits for others: they come by the hundred thousand."""
        if self._takes_more:
            row = b'{"kind":"chunk","step":%b,"ran":%d,"worker":%d,"at":%.6f,"seconds":%.6f}\n'
            self._add(row % (_quoted(step), ran, worker, at, seconds), may_wait=True)

    @property
    def _takes_more(self) -> bool:
        return self._descriptor is not None and self._size <= _MOST_BYTES

    def _add(self, line: bytes, *, may_wait: bool) -> None:
        self._size += len(line)
        self._waiting.append(line)
        if not may_wait or self._size - self._written > _TOGETHER or time.monotonic() > self._due:
            self._flush()

    def _flush(self) -> None:
        descriptor, together = self._descriptor, b"".join(self._waiting)
        self._waiting.clear()
        self._written, self._due = self._size, time.monotonic() + _LONGEST_WAIT
        if descriptor is None or not together:
            return
        try:
            os.write(descriptor, together)
        except OSError:
            self.close()

    def close(self) -> None:
        """Write what waits, and end."""
        self._flush()
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
