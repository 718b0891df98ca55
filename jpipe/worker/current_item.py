"""Which item the main process itself is doing, on disk: so that a run which died of it can be told by the next one.

A worker that dies is noticed at once. The main process is noticed only by the next run, which finds the key of the item
under the number of a process that is gone.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import platform
from pathlib import Path
from typing import Self

from jpipe.system import safe_paths as inside
from jpipe.system.machine import is_alive

__all__ = ["CurrentItem", "died_on"]

_KEY = 32
_IDLE = bytes(_KEY)
_HERE = f"@{platform.node()}"
"""A cache may be shared with other machines, whose processes cannot be asked from here."""


class CurrentItem:
    """The note of this process, in the cache.

    Parameters
    ----------
    cache
        The cache folder.
    """

    def __init__(self, cache: Path) -> None:
        self._path = f"{_folder(cache)}/{os.getpid()}{_HERE}"
        self._map: mmap.mmap | None = None

    def begin(self, key: bytes) -> None:
        """The item of this key begins."""
        if self._map is None and len(key) == _KEY:
            with contextlib.suppress(OSError):
                self._map = _mapped(self._path)
        if self._map is not None:
            self._map[:_KEY] = key

    def end(self) -> None:
        """It is over."""
        if self._map is not None:
            self._map[:_KEY] = _IDLE

    def close(self) -> None:
        """Remove the note."""
        if self._map is not None:
            self._map.close()
            self._map = None
            with contextlib.suppress(OSError):
                inside.unlink(self._path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def died_on(cache: Path) -> frozenset[bytes]:
    """The keys of the items that processes which are gone were doing; their notes are removed."""
    keys = set()
    with contextlib.suppress(OSError):
        for name in inside.listdir(_folder(cache)):
            pid = name.removesuffix(_HERE)
            if pid != name and pid.isdigit() and not is_alive(int(pid)):
                path = f"{_folder(cache)}/{name}"
                keys.add(inside.read(path, most=_KEY))
                inside.unlink(path)
    return frozenset(key for key in keys if len(key) == _KEY and key != _IDLE)


def _folder(cache: Path) -> str:
    return inside.inside(cache, "v1", "notes", "current")


def _mapped(path: str) -> mmap.mmap:
    with contextlib.suppress(FileExistsError):
        inside.mkdir(os.path.dirname(path), 0o700)
    descriptor = inside.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(descriptor, _IDLE)  # a hole would have no room on a full disk, and to write into it kills the process
        return mmap.mmap(descriptor, _KEY)
    finally:
        os.close(descriptor)
