"""What processes that work for an item look at: they write it to a file, from which the item hears of it."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import weakref
from typing import Any

from jpipe.system.watched_os import plain_open

__all__ = ["ChildReads"]

_kept: dict[int, ChildReads] = {}
"""By process, what children tell that an item has left alive."""


class ChildReads:
    """The file between an item and the processes that work for it.

    Parameters
    ----------
    file, path
        It, open for both.
    removes
        Whether the file goes with the object.
    is_child
        Whether this is such a process, which tells; else it is the item's own, which hears.
    """

    def __init__(self, file: int, path: str, *, removes: bool = True, is_child: bool = False) -> None:
        self._file = file
        self.path = path
        self.is_child = is_child
        self._from = 0
        self._end = weakref.finalize(self, _closed, file, path if removes else "", os.getpid())
        self._end.atexit = not is_child

    @classmethod
    def made(cls) -> ChildReads:
        """A new file, which goes with the object."""
        import tempfile  # few items start processes

        return cls(*tempfile.mkstemp(prefix="jpipe-reads-"))

    @classmethod
    def of_living(cls) -> ChildReads | None:
        """That of children that an earlier item of this process left alive, from here on; None where there are none."""
        kept = _kept.get(os.getpid())
        if kept is None:
            return None
        copy = cls(os.dup(kept._file), kept.path, removes=False)
        copy._from = os.fstat(copy._file).st_size
        return copy

    @classmethod
    def of_parent(cls, path: str) -> ChildReads:
        """The file of the process that this one works for."""
        return cls(plain_open(path, os.O_WRONLY | os.O_APPEND), path, removes=False, is_child=True)

    def tell(self, *words: Any) -> None:
        """Write a line, in a child; nothing in the item's own process."""
        if self.is_child:
            os.write(self._file, json.dumps(words).encode() + b"\n")

    def heard(self) -> list[list[Any]]:
        """All lines that children wrote, in the item's own process; nothing in a child."""
        if self.is_child:
            return []
        with os.fdopen(os.dup(self._file), "rb") as file:
            file.seek(self._from)
            return [json.loads(line) for line in file.read().splitlines()]

    def keep_for_living(self) -> None:
        """Children that stay, as those of a pool do, work for later items too and tell them in the same place."""
        processes = sys.modules.get("multiprocessing.process")
        if self.is_child or processes is None or os.getpid() in _kept:
            return
        if processes.active_children():
            _kept[os.getpid()] = self

    def close(self) -> None:
        """Nothing more is told or heard."""
        self._end()


def _closed(file: int, path: str, owner: int) -> None:
    os.close(file)
    if path and os.getpid() == owner:  # a forked child leaves the file to its parent
        with contextlib.suppress(OSError):
            os.unlink(path)
