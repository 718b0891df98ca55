"""Locks and signs of life for file systems that several machines use, where one may not see the locks of another.

There a file that only one can make keeps others out for a moment, and who lives shows it: a thread gives the owner's
file a new time every minute. To another machine the owner counts as dead when that has not changed for five minutes of
its own clock; the clocks of two machines are never compared. A machine that slept so long is taken for dead although it
lives: then two compute the same, which costs time and nothing else.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import threading
import time
from pathlib import Path

from jpipe.store.disk import system

__all__ = ["BUSY", "Beat", "Exclusive", "SignsOfLife", "file_of", "locks_are_common"]

BEAT = 60.0
"""How often who lives says so, seconds."""
SILENCE = 300.0
"""After so long without a sign its owner counts as dead, seconds."""
BUSY = ".busy"
"""How the names of files end that keep others out."""
_OF_ONE_MACHINE = re.compile(
    r"bcachefs|btrfs|exfat|ext[234]|f2fs|fuseblk|hfsplus|jfs|ntfs3?|overlay|ramfs|tmpfs|ubifs|vfat|xfs|zfs"
)


@functools.lru_cache(maxsize=16)
def locks_are_common(folder: str) -> bool:
    """Whether a lock on a file there is seen by all who see the file, as on a disk of this machine.

    Linux says what kind of file system a folder is on. Elsewhere locks are taken to be common, as they are on Windows
    also over a network.
    """
    try:
        mounts = Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape").splitlines()
        place = os.path.realpath(folder) + "/"
    except OSError:
        return True
    best, kind = -1, ""
    for mount in mounts:
        words, _, rest = mount.partition(" - ")
        point = re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), words.split(" ")[4]).rstrip("/") + "/"
        if place.startswith(point) and len(point) >= best:
            best, kind = len(point), rest.partition(" ")[0]
    return not kind or _OF_ONE_MACHINE.fullmatch(kind) is not None


class Exclusive:
    """A file that only one can make at a time, on every file system."""

    def __init__(self, path: str, file: int) -> None:
        self.path = path
        self._file = file

    @classmethod
    def take(cls, path: str) -> Exclusive | None:
        """Make the file; None if it is there."""
        try:
            descriptor = system.open(path, system.CREATE, 0o600)
        except FileExistsError:
            return None
        try:
            return cls(path, system.fstat(descriptor).st_ino)
        finally:
            system.close(descriptor)

    def release(self, *, remove: bool = True) -> None:
        """Remove it, unless somebody else has made it anew meanwhile."""
        if remove and file_of(self.path) == self._file:
            with contextlib.suppress(OSError):
                system.unlink(self.path)


def file_of(path: str) -> int:
    """Which file has a name; 0 where there is none."""
    try:
        return system.lstat(path).st_ino
    except OSError:
        return 0


class Beat:
    """Shows that this process lives, by a new time of a file every minute."""

    def __init__(self, path: str) -> None:
        self._over = threading.Event()
        threading.Thread(target=self._show, args=(path,), name="jpipe-alive", daemon=True).start()

    def _show(self, path: str) -> None:
        while not self._over.wait(BEAT):
            with contextlib.suppress(OSError):
                system.utime(path)

    def end(self) -> None:
        """Show it no more."""
        self._over.set()


class SignsOfLife:
    """Since when the owners of files have shown none, by this machine's clock."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, float]] = {}

    def is_silent(self, path: str) -> bool:
        """Whether nothing was seen of its owner for so long that it counts as dead."""
        try:
            descriptor = system.open(path, system.READ)  # what was opened is told as it is, not as it was remembered
            try:
                shown = system.fstat(descriptor).st_mtime_ns
            finally:
                system.close_read(descriptor)
        except OSError:
            return False
        now = time.monotonic()
        before, since = self._seen.get(path, (-1, now))
        if shown != before:
            self._seen[path] = shown, now
            return False
        return now - since > SILENCE
