"""The file of a journal, written a line at a time, or many together where they come by the thousand."""

from __future__ import annotations

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

    def write(self, kind: str, row: Mapping[str, Any], *, always: bool, may_wait: bool = False) -> None:
        """Append a line after those that wait; one that `may_wait` waits for the next if the last was just written."""
        if self._descriptor is None or (self._size > _MOST_BYTES and not always):
            return
        line = json_line({"kind": kind, **row})
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
