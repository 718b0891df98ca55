"""Locks on files, which end with the process that holds them, and who that is."""

from __future__ import annotations

import contextlib
import os
import time
import weakref
from pathlib import Path
from typing import Any, NamedTuple

from jpipe.model.record_codec import COUNT, NUMBER, TEXT, dump, named
from jpipe.store.disk import system

__all__ = ["HOLDER", "Holder", "Lock"]


class Holder(NamedTuple):
    """Who holds a lock: host, process, since when (seconds since 1970), for which step; and which start of the host."""

    host: str
    pid: int
    started: float
    step: str
    boot: str

    @property
    def is_of_this_machine(self) -> bool:
        """Whether it runs where this process does."""
        return (self.host, self.boot) == (_host(), system.boot_id().hex())


HOLDER = named(Holder, host=TEXT, pid=COUNT, started=NUMBER, step=TEXT, boot=TEXT)


class Lock:
    """A lock on a file, which the system gives back when the process dies."""

    def __init__(self, path: str, held: Any) -> None:
        self.path = path
        self.held = held

    @classmethod
    def take(cls, path: str) -> Lock | None:
        """Lock the file at `path`, making it; None if it is locked."""
        held = _take(path)
        return None if held is None else cls(path, held)

    def describe(self, step: str) -> None:
        """Write who holds the lock into its file."""
        with contextlib.suppress(OSError):
            _write_holder(self, dump(HOLDER, _this_process(step)))

    def release(self, *, remove: bool = False) -> None:
        """Give the lock back; in a forked child of its holder, nothing, for there it is not held."""
        try:
            if remove and not system.WINDOWS and _is_held(self.held):
                with contextlib.suppress(OSError):
                    system.unlink(self.path)
        finally:
            _give(self.held)


def _host() -> str:
    return os.uname().nodename if hasattr(os, "uname") else os.environ.get("COMPUTERNAME", "")


def _this_process(step: str) -> Holder:
    return Holder(_host(), os.getpid(), time.time(), step, system.boot_id().hex())


if system.WINDOWS:
    import filelock

    def _take(path: str) -> Any:
        lock = filelock.FileLock(path + ".lock", thread_local=False)
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            return None
        return lock

    def _write_holder(lock: Lock, text: bytes) -> None:
        Path(lock.path).write_bytes(text)

    def _is_held(held: Any) -> bool:
        return bool(held.is_locked)

    def _give(held: Any) -> None:
        held.release()

else:
    import fcntl

    class _Descriptor:
        """An open lock file; weakly known, so that a forked child can close its copy."""

        __slots__ = ("__weakref__", "number")

        def __init__(self, number: int) -> None:
            self.number = number

    _open: weakref.WeakSet[_Descriptor] = weakref.WeakSet()

    def _close_in_child() -> None:
        for held in list(_open):
            with contextlib.suppress(OSError):
                os.close(held.number)
            held.number = -1
        _open.clear()

    os.register_at_fork(after_in_child=_close_in_child)

    def _take(path: str) -> Any:
        while True:
            descriptor = system.open(path, system.LOCK, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                same = _is_still(path, descriptor)
            except BlockingIOError:
                os.close(descriptor)
                return None
            except BaseException:
                os.close(descriptor)
                raise
            if same:
                held = _Descriptor(descriptor)
                _open.add(held)
                return held
            os.close(descriptor)

    def _is_still(path: str, descriptor: int) -> bool:
        """Whether the locked file is the one of that name: its last holder may have removed it meanwhile."""
        try:
            named = system.lstat(path)
        except FileNotFoundError:
            return False
        locked = os.fstat(descriptor)
        return (named.st_dev, named.st_ino) == (locked.st_dev, locked.st_ino)

    def _write_holder(lock: Lock, text: bytes) -> None:
        os.ftruncate(lock.held.number, 0)
        os.pwrite(lock.held.number, text, 0)

    def _is_held(held: Any) -> bool:
        return bool(held.number >= 0)

    def _give(held: Any) -> None:
        if held.number >= 0:
            _open.discard(held)
            os.close(held.number)
            held.number = -1
