"""Which run computes which items: a table for each family, so that two runs at once do each item once in total.

A run has an owner file that it keeps locked while it lives. Before it computes items it writes their keys into the
family's table, under the table's lock, leaving out those that another living run wrote there. The table is a plain
sequence of rows; rows of runs that are gone mean nothing, and it is emptied when it has no others.

::

    row = 16 bytes of the key | 8 bytes of the owner

Like every claim this saves work and nothing else: where the table cannot be written, everybody computes.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import time
from collections.abc import Sequence

from jpipe.store.claims import Holder, Lock
from jpipe.store.disk import Disk

__all__ = ["Turns"]

_KEY, _OWNER = 16, 8
_ROW = _KEY + _OWNER
_PAUSE = 0.001


class Turns:
    """The items that one run computes, in the eyes of others.

    Parameters
    ----------
    disk
        Of the cache.
    step
        What is said of this run to those who wait.
    """

    def __init__(self, disk: Disk, step: str = "") -> None:
        self._disk = disk
        self._owner = secrets.token_bytes(_OWNER)
        self._folder = disk.folder.path("locks")
        self._lock: Lock | None = None
        with contextlib.suppress(OSError):
            disk.writer.make_folder(self._folder)
            self._lock = Lock.take(self._owner_file(self._owner))
            if self._lock is not None:
                self._lock.describe(step)
        self._alive: dict[bytes, float] = {}

    def take(self, family: bytes, keys: Sequence[bytes]) -> dict[int, bytes]:
        """Announce that this run computes items.

        Parameters
        ----------
        family
            The fingerprint of their step.
        keys
            Their keys.

        Returns
        -------
        dict
            Positions of keys that another living run computes, and that run's owner. All others are this run's now.
        """
        if self._lock is None:
            return {}
        try:
            return self._take(family, keys)
        except OSError:
            return {}

    def holder(self, owner: bytes) -> Holder | None:
        """Who the run is that computes an item."""
        try:
            with open(self._owner_file(owner), "rb") as file:
                return Holder(**json.loads(file.read(4096)))
        except (OSError, ValueError, TypeError):
            return None

    def release(self) -> None:
        """This run computes nothing more."""
        if self._lock is not None:
            self._lock.release(remove=True)
            self._lock = None

    def _take(self, family: bytes, keys: Sequence[bytes]) -> dict[int, bytes]:
        path = f"{self._folder}/{family.hex()}.turns"
        lock = self._locked(path + ".lock")
        try:
            rows = self._rows(path)
            taken = {key: owner for key, owner in rows if owner != self._owner and self._is_alive(owner)}
            others = {p: taken[key[:_KEY]] for p, key in enumerate(keys) if key[:_KEY] in taken}
            mine = b"".join(key[:_KEY] + self._owner for p, key in enumerate(keys) if p not in others)
            self._write(path, mine, anew=bool(rows) and not taken and all(o != self._owner for _, o in rows))
        finally:
            lock.release()
        return others

    def _locked(self, path: str) -> Lock:
        while (lock := Lock.take(path)) is None:
            time.sleep(_PAUSE)
        return lock

    def _rows(self, path: str) -> list[tuple[bytes, bytes]]:
        try:
            with open(path, "rb") as file:
                raw = file.read()
        except FileNotFoundError:
            return []
        ends = range(0, len(raw) - _ROW + 1, _ROW)
        return [(raw[start : start + _KEY], raw[start + _KEY : start + _ROW]) for start in ends]

    def _write(self, path: str, rows: bytes, *, anew: bool) -> None:
        flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if anew else os.O_APPEND) | getattr(os, "O_BINARY", 0)
        descriptor = os.open(path, flags, self._disk.folder.file_mode | 0o200)
        try:
            os.write(descriptor, rows)
        finally:
            os.close(descriptor)

    def _is_alive(self, owner: bytes) -> bool:
        now = time.monotonic()
        if now - self._alive.get(owner, -1.0) < 0.05:
            return True
        path = self._owner_file(owner)
        if not os.path.exists(path):
            return False
        lock = Lock.take(path)
        if lock is None:
            self._alive[owner] = now
            return True
        lock.release(remove=True)
        return False

    def _owner_file(self, owner: bytes) -> str:
        return f"{self._folder}/run-{owner.hex()}"
