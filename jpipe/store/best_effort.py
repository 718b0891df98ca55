"""Writing to a disk that may be full or read-only: room is made once, what failed is told once, and work goes on."""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Callable
from typing import TypeVar

from jpipe.store.care.prune import prune
from jpipe.store.care.usage import measure
from jpipe.store.disk import system
from jpipe.store.format.records import CacheWarning
from jpipe.store.open_folder import Disk

__all__ = ["Saving"]

_LEAST_ROOM = 16 << 20
_EMERGENCY_GRACE = 600.0
_WARNED_AT = 4
"""Calls between the warning and the method of `Store` that somebody called."""

T = TypeVar("T")

_FUTILE_FOR = 60.0
_futile: dict[str, float] = {}
"""By cache, when pruning made no room: to look through all of it again for every result would take longer than most."""


class Saving:
    """Calls what writes, and bears its failures.

    Parameters
    ----------
    disk
        Of the cache.
    quiet
        Whether failures are only noted in `complaints`, for somebody who asks, instead of being warned of.
    """

    def __init__(self, disk: Disk, *, quiet: bool = False) -> None:
        self._disk = disk
        self.quiet = quiet
        self.complaints: list[str] = []
        self._told: set[str] = set()

    def __call__(self, write: Callable[[], T], size: int) -> T | None:
        """What `write` gives, which takes `size` bytes; None, told once, if the cache cannot take it."""
        try:
            return write()
        except OSError as error:
            failure = error
        if failure.errno in system.DISK_FULL and self._made_room(size):
            try:
                return write()
            except OSError as error:
                failure = error
        self._tell(failure)
        return None

    def take_complaints(self) -> list[str]:
        """What went wrong since the last time; each thing is told once."""
        complaints, self.complaints = self.complaints, []
        return complaints

    def _made_room(self, size: int) -> bool:
        """The disk is full: remove what was not used for longest, twice of what is needed now."""
        root = self._disk.folder.root
        if time.monotonic() - _futile.get(root, -_FUTILE_FOR) < _FUTILE_FOR:
            return False
        with contextlib.suppress(OSError):
            limit = max(0, measure(self._disk).nbytes - max(2 * size, _LEAST_ROOM))
            if prune(self._disk, limit, grace=_EMERGENCY_GRACE).freed > 0:
                return True
        _futile[root] = time.monotonic()
        return False

    def _tell(self, error: OSError) -> None:
        reason = _reason(error)
        if reason in self._told:
            return
        self._told.add(reason)
        message = f"results are not kept in the cache {self._disk.folder.root}: {reason}"
        self.complaints.append(message)
        if not self.quiet:
            warnings.warn(message, CacheWarning, stacklevel=_WARNED_AT)


def _reason(error: OSError) -> str:
    if error.errno in system.DISK_FULL:
        return "the disk is full"
    return "it cannot be written to" if error.errno in system.READ_ONLY else error.strerror or str(error)
