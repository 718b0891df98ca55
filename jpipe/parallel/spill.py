"""Temporary files for large arrays, gone when the map that made them ends."""

from __future__ import annotations

import contextlib
import os
import sys
import weakref
from pathlib import Path

if sys.platform != "win32":
    import fcntl

__all__ = ["SpillFolder"]

_PREFIX = "jpipe-map-"
_LOCK = "in-use"
_ENOUGH = 2 * 1024**3
"""Free bytes that a folder in memory must have to be used, joblib's own rule for /dev/shm."""


class SpillFolder:
    """A private temporary folder, made with its first file.

    Parameters
    ----------
    root
        Where to make it. Default: ``JOBLIB_TEMP_FOLDER``, else ``/dev/shm`` when that has room, else the system's
        temporary folder.
    """

    def __init__(self, root: str | None = None) -> None:
        self._root = root
        self._path: str | None = None
        self._remove: weakref.finalize[[str, int, int | None], SpillFolder] | None = None

    @property
    def path(self) -> str:
        """The folder."""
        if self._path is None:
            root = self._root or os.environ.get("JOBLIB_TEMP_FOLDER") or _folder_in_memory() or _system_folder()
            os.makedirs(root, exist_ok=True)
            _remove_abandoned(root)
            self._path = os.path.join(root, _PREFIX + random_name())
            os.mkdir(self._path, 0o700)
            self._remove = weakref.finalize(self, _remove_tree, self._path, os.getpid(), _lock(self._path))
        return self._path

    def write(self, raw: bytes | memoryview) -> str | None:
        """Write bytes to a new file and return its path, or None when there is no room for it."""
        return write_file(self.path, raw)

    def remove(self) -> None:
        """Remove the folder and all that is in it."""
        if self._remove is not None:
            self._remove()


def random_name() -> str:
    """A name that nothing else has."""
    return os.urandom(16).hex()


def write_file(folder: str, raw: bytes | memoryview) -> str | None:
    """Write bytes to a new file of a folder and return its path, or None when there is no room for it."""
    path = os.path.join(folder, random_name())
    try:
        with Path(path).open("xb", buffering=0) as file:
            rest = memoryview(raw)
            while rest:
                rest = rest[file.write(rest) :]
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(path)
        return None
    return path


def _folder_in_memory() -> str | None:
    try:
        disk = os.statvfs("/dev/shm")
    except (OSError, AttributeError):
        return None
    roomy = disk.f_bavail * disk.f_frsize > _ENOUGH
    return "/dev/shm" if roomy and os.access("/dev/shm", os.W_OK) else None


def _system_folder() -> str:
    # tempfile takes 10 ms to import, and is seldom needed.
    import tempfile

    return tempfile.gettempdir()


def _remove_tree(path: str, owner: int, lock: int | None) -> None:
    # A forked child inherits the finalizer, but the folder is its parent's.
    if os.getpid() == owner:
        _remove_folder(path)
        if lock is not None:
            os.close(lock)


def _remove_folder(path: str) -> None:
    """Remove a folder of files; on Windows, those that are still mapped stay."""
    with contextlib.suppress(OSError):
        for name in os.listdir(path):
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(path, name))
        os.rmdir(path)


def _lock(folder: str) -> int | None:
    """Mark the folder as in use for as long as this process lives."""
    if sys.platform == "win32":
        return None
    descriptor = os.open(os.path.join(folder, "new"), os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    os.rename(os.path.join(folder, "new"), os.path.join(folder, _LOCK))
    return descriptor


def _remove_abandoned(root: str) -> None:
    """Remove what killed processes left behind."""
    if sys.platform == "win32":
        return
    for name in os.listdir(root):
        path = os.path.join(root, name)
        if not name.startswith(_PREFIX) or os.path.islink(path):
            continue
        with contextlib.suppress(OSError):
            if os.stat(path).st_uid == os.getuid():
                with Path(path, _LOCK).open("rb") as file:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    _remove_folder(path)
