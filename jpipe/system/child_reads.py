"""What processes that work for an item look at: they write it to a file, from which the item hears of it."""

from __future__ import annotations

import contextlib
import json
import os
import weakref
from typing import Any

from jpipe.system.watched_os import plain_open

__all__ = ["ChildReads"]


class ChildReads:
    """The file between an item and the processes that work for it.

    Parameters
    ----------
    file, path
        It, open for both.
    is_child
        Whether this is such a process, which tells; else it is the item's own, which hears.
    """

    def __init__(self, file: int, path: str, *, is_child: bool = False) -> None:
        self._file = file
        self.path = path
        self.is_child = is_child
        self._end = weakref.finalize(self, _closed, file, "" if is_child else path, os.getpid())
        self._end.atexit = not is_child

    @classmethod
    def made(cls) -> ChildReads:
        """A new file, which goes with the object."""
        import tempfile  # few items start processes

        return cls(*tempfile.mkstemp(prefix="jpipe-reads-"))

    @classmethod
    def of_parent(cls, path: str) -> ChildReads:
        """The file of the process that this one works for."""
        return cls(plain_open(path, os.O_WRONLY | os.O_APPEND), path, is_child=True)

    def tell(self, *words: Any) -> None:
        """Write a line, in a child; nothing in the item's own process."""
        if self.is_child:
            os.write(self._file, json.dumps(words).encode() + b"\n")

    def heard(self) -> list[list[Any]]:
        """All lines that children wrote, in the item's own process; nothing in a child."""
        if self.is_child:
            return []
        os.lseek(self._file, 0, os.SEEK_SET)
        with os.fdopen(os.dup(self._file), "rb") as file:
            return [json.loads(line) for line in file.read().splitlines()]

    def close(self) -> None:
        """Nothing more is told or heard."""
        self._end()


def _closed(file: int, path: str, owner: int) -> None:
    os.close(file)
    if path and os.getpid() == owner:  # a forked child leaves the file to its parent
        with contextlib.suppress(OSError):
            os.unlink(path)
