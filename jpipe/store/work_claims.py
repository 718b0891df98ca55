"""Which run computes which items: a table for each family, so that two runs at once do each item once in total.

A run has an owner file that it keeps locked while it lives. Before it computes items it writes their keys into the
family's table, under the table's lock, leaving out those that another living run wrote there. The table is a plain
sequence of rows; rows of runs that are gone mean nothing, and it is emptied when it has no others.

::

    row = 16 bytes of the key | 8 bytes of the owner, zeros where the run that had it has no result to show for it

Where the locks of other machines are not seen, a file that only one can make stands for the table's lock, and an owner
also lives that shows signs of life: `jpipe.store.disk.leases`.

Like every claim this saves work and nothing else: where the table cannot be written, everybody computes.
"""

from __future__ import annotations

import contextlib
import errno
import os
import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from jpipe.model.record_codec import Malformed, load
from jpipe.store.disk import leases, system
from jpipe.store.disk.locks import HOLDER, Holder, Lock
from jpipe.store.format.memory_map import read_exactly, read_small
from jpipe.store.open_folder import Disk
from jpipe.system import safe_paths as inside

__all__ = ["HELD", "WorkClaims", "short_key"]

_KEY, _OWNER = 16, 8
_ROW = _KEY + _OWNER
_NOBODY = bytes(_OWNER)
HELD = 0.05
"""How long other runs may have to wait for a look into a table, seconds."""
_PAUSE = 0.001
_PATIENCE = 10.0
"""Seconds after which a locked table counts as one that cannot be had: whoever keeps it so long was stopped."""


@dataclass(slots=True, eq=False, repr=False)
class _Table:
    """The table of a family, as far as it was read; locked where `lock` is there.

    Attributes
    ----------
    others
        The owner by key, of all rows of other runs.
    taken
        Those of them whose run is alive.
    rows
        What this run will add.
    is_new
        Whether it was read since the last time that somebody asked for news.
    file, size
        The inode, and up to where it was read: once it has rows of this run, it only grows while this run lives.
    """

    path: str
    lock: Lock | leases.Exclusive | None = None
    others: dict[bytes, bytes] = field(default_factory=dict)
    taken: dict[bytes, bytes] = field(default_factory=dict)
    rows: list[bytes] = field(default_factory=list)
    is_new: bool = True
    file: int = -1
    size: int = 0


def short_key(key: bytes) -> bytes:
    """What a table has of a key."""
    return key[:_KEY]


class WorkClaims:
    """The items that one run computes, in the eyes of others.

    Parameters
    ----------
    disk
        Of the cache.
    step
        What is said of this run to those who wait.

    Notes
    -----
    Tables stay locked from `take` to `let_go`, so that many short items cost little: nobody else takes an item of the
    family meanwhile. Where `let_go` does not follow, because an item takes longer than it was expected to, a thread
    does it.
    """

    def __init__(self, disk: Disk, step: str = "") -> None:
        self._disk = disk
        self._owner = os.urandom(_OWNER)
        self._folder = disk.folder.path("locks")
        self._lock: Lock | None = None
        with contextlib.suppress(OSError):
            disk.writer.make_folder(self._folder)
            self._lock = Lock.take(self._owner_file(self._owner))
            if self._lock is not None:
                self._lock.describe(step)
        self._is_alone = leases.locks_are_common(disk.folder.root)
        self._beat = None if self._is_alone or self._lock is None else leases.Beat(self._lock.path)
        self._signs = leases.SignsOfLife()
        self._tables: dict[bytes, _Table] = {}
        self._known: dict[bytes, _Table] = {}
        self._given_up: list[tuple[bytes, bytes]] = []
        self.since = 0.0
        self._mutex = threading.RLock()
        self._is_held = threading.Event()
        self._watch: threading.Thread | None = None

    def has_news(self, family: bytes) -> bool:
        """Whether other runs may have finished items of the family since this was asked last."""
        known = self._known.get(family)
        table = self._tables.get(family) or known
        if table is None:
            return True
        is_new, table.is_new = table.is_new, False
        return is_new and (known is None or bool(table.others))

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
        with self._mutex:
            return self._take(family, keys)

    def _take(self, family: bytes, keys: Sequence[bytes]) -> dict[int, bytes]:
        if self._lock is None:
            return {}
        table = self._tables.get(family)
        if table is None:
            try:
                table = self._tables[family] = self._opened(family)
            except TimeoutError:
                self._lock.release(remove=True)
                self._lock = None
                return {}
            except OSError:
                return {}
            self.since = self.since or time.monotonic()
            self._is_held.set()
            if self._watch is None:
                self._watch = threading.Thread(target=self._let_go_in_time, name="jpipe-claims", daemon=True)
                self._watch.start()
        others = {}
        for position, key in enumerate(keys):
            owner = table.taken.get(key[:_KEY]) if table.taken else None
            if owner is not None:
                others[position] = owner
            else:
                table.rows.append(key[:_KEY] + self._owner)
        return others

    def taken_by_others(self, family: bytes) -> frozenset[bytes]:
        """The short keys of the items of a family that other living runs have taken."""
        try:
            table = self._opened(family)
        except OSError:
            return frozenset()
        if table.lock is not None:
            table.lock.release()
            table.lock = None
        return frozenset(table.taken)

    def give_up(self, family: bytes, key: bytes) -> None:
        """An item that this run took has ended without a result that others can find: they may compute it."""
        self._given_up.append((family, key))

    @property
    def gives_up(self) -> bool:
        """Whether other runs have still to be told of items that this one gives up."""
        return bool(self._given_up)

    def _withdraw(self) -> None:
        given_up, self._given_up = self._given_up, []
        for family, key in given_up:
            with contextlib.suppress(OSError):
                table = self._tables.get(family) or self._opened(family)
                self._tables[family] = table
                table.rows.append(key[:_KEY] + _NOBODY)

    def let_go(self) -> None:
        """Let other runs see what this one has taken, and take the rest."""
        with self._mutex:
            self._let_go()

    def _let_go_in_time(self) -> None:
        while self._is_held.wait() and self._lock is not None:
            time.sleep(HELD)
            with self._mutex:
                if self.since and time.monotonic() - self.since > HELD:
                    self._let_go()

    def _let_go(self) -> None:
        if self._given_up and self._lock is not None:
            self._withdraw()
        tables, self._tables = self._tables, {}
        self.since = 0.0
        self._is_held.clear()
        for family, table in tables.items():
            try:
                if table.rows:
                    self._write(table, starts_anew=family not in self._known and not table.taken)
                    self._known[family] = table
            except OSError:
                self._known.pop(family, None)
            finally:
                lock, table.lock = table.lock, None
                if lock is not None:
                    lock.release()

    def holder(self, owner: bytes) -> Holder | None:
        """Who the run is that computes an item."""
        try:
            found: Holder = load(HOLDER, read_small(self._owner_file(owner)))
        except (OSError, Malformed):
            return None
        return found

    def release(self) -> None:
        """This run computes nothing more."""
        try:
            self.let_go()
        finally:
            lock, self._lock = self._lock, None
            if self._beat is not None:
                self._beat.end()
            if lock is not None:
                lock.release(remove=True)
            self._is_held.set()

    def _opened(self, family: bytes) -> _Table:
        path = f"{self._folder}/{family.hex()}.claims"
        table = self._known.get(family) or _Table(path)
        table.lock = self._locked(path + ".lock")
        table.is_new = True
        try:
            self._read(table)
            alive = {owner for owner in set(table.others.values()) if self._is_alive(owner)}
            table.taken = {key: owner for key, owner in table.others.items() if owner in alive}
        except BaseException:
            table.lock.release()
            raise
        return table

    def _locked(self, path: str) -> Lock | leases.Exclusive:
        until = time.monotonic() + _PATIENCE
        if self._is_alone:
            while (lock := Lock.take(path)) is None:
                if time.monotonic() > until:
                    raise TimeoutError(path)
                time.sleep(_PAUSE)
            return lock
        path += leases.BUSY
        file = 0
        while (made := leases.Exclusive.take(path)) is None:
            before, file = file, leases.file_of(path)
            if file != before:
                until = time.monotonic() + _PATIENCE
            elif time.monotonic() > until:
                leases.Exclusive(path, file).release()  # whoever made it is gone, or was stopped
            time.sleep(_PAUSE * random.uniform(1, 20))
        return made

    def _read(self, table: _Table) -> None:
        """Read the rows that others have added."""
        try:
            descriptor = system.open(table.path, system.READ)
        except FileNotFoundError:
            table.file, table.size = -1, 0
            return
        try:
            state = system.fstat(descriptor)
            if state.st_ino != table.file or state.st_size < table.size:
                table.file, table.size = state.st_ino, 0
                table.others = {}
            if state.st_size > inside.MOST:
                raise OSError(errno.EFBIG, "it is too large for what it should be", table.path)
            raw = read_exactly(descriptor, state.st_size - table.size, table.size)
        finally:
            system.close_read(descriptor)
        starts = range(0, len(raw) - _ROW + 1, _ROW)
        if not table.size and not any(map(self._is_alive, {raw[at + _KEY : at + _ROW] for at in starts})):
            starts = range(0)  # most often a run finds what one has left that is over, and it may be very much
        for start in starts:
            owner = raw[start + _KEY : start + _ROW]
            if owner == _NOBODY:
                table.others.pop(raw[start : start + _KEY], None)
            elif owner != self._owner:
                table.others[raw[start : start + _KEY]] = owner
        table.size += len(raw)

    def _write(self, table: _Table, *, starts_anew: bool) -> None:
        """Add the rows of this run, in place of all others where it `starts_anew`."""
        how = os.O_TRUNC if starts_anew else os.O_APPEND
        descriptor = system.open(table.path, system.TABLE | how, self._disk.folder.file_mode | 0o200)
        try:
            system.write(descriptor, b"".join(table.rows))
            state = system.fstat(descriptor)
            table.file, table.size = state.st_ino, state.st_size
        finally:
            system.close(descriptor)
        table.rows = []
        if starts_anew:
            table.others = {}

    def _is_alive(self, owner: bytes) -> bool:
        if owner == _NOBODY:
            return False
        path = self._owner_file(owner)
        if not system.exists(path):
            return False
        lock = Lock.take(path)
        if lock is None:
            return True
        holder = None if self._is_alone else self.holder(owner)
        is_dead = self._is_alone or (holder is not None and holder.is_of_this_machine) or self._signs.is_silent(path)
        lock.release(remove=is_dead)
        return not is_dead

    def _owner_file(self, owner: bytes) -> str:
        return f"{self._folder}/run-{owner.hex()}"
