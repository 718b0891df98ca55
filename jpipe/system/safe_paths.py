"""Work inside a folder that others may have had in hand, so that nothing in it leads out of it.

A cache can come with a repository, an archive or a member of the team. A link in the place of one of its folders would
have jpipe delete and write files of the user's elsewhere, and a pipe in the place of a file would have it wait forever.

A path into such a folder has ``/./`` where the folder begins, as for rsync: ``/home/ann/study/cache/./v1/notes/ab``.
Left of it links are followed as everywhere. Right of it every folder has to be a real one, and every file a regular
one. Where the system can do that, each folder is opened from the one above it and the last step is done by descriptor,
so that a link which appears meanwhile is not followed either. Paths without the mark are used as they are.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["MOST", "Entry", "busy", "inside", "is_inside", "read"]

_MARK = "/./"
_BY_DESCRIPTOR = hasattr(os, "O_NOFOLLOW") and {os.open, os.unlink, os.mkdir, os.stat, os.rename} <= os.supports_dir_fd
_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_FILE = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
_FILE |= getattr(os, "O_BINARY", 0)
_IS_FOLDER = getattr(os, "O_DIRECTORY", 0)
_NOT_FOLLOWED: dict[object, dict[str, Any]] = {
    call: {"follow_symlinks": False} if call in os.supports_follow_symlinks else {} for call in (os.link, os.utime)
}
_NO_FOLDER = (errno.ENOTDIR, errno.ELOOP, errno.EMLINK)
MOST = 1 << 28
"""Bytes that no file has which is read as a whole."""


class _Busy(threading.local):
    now = False


busy = _Busy()
"""Whether this thread is at work in here: names opened by descriptor mean nothing to who watches what is opened."""


def inside(folder: str | os.PathLike[str], *names: str) -> str:
    """The path of something in a folder that may not lead out of it."""
    return f"{os.fspath(folder)}{_MARK}{'/'.join(names)}"


def is_inside(path: object) -> bool:
    """Whether it is the path of something in such a folder."""
    return isinstance(path, str) and _MARK in path


def open(path: str, flags: int, mode: int = 0o777) -> int:  # noqa: A001 -- the names are those of `os`
    """`os.open`; what is not a regular file is an error, and is never waited for."""
    if _MARK not in path:
        return os.open(path, flags, mode)
    with _last(path) as (folder, name):
        descriptor = os.open(name, flags | _FILE, mode, dir_fd=folder)
    if not flags & _IS_FOLDER and not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is not a regular file", path)
    return descriptor


def read(path: str, most: int = MOST) -> bytes:
    """The content of a small file; an error where it has more than `most` bytes."""
    descriptor = open(path, os.O_RDONLY)
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        if os.fstat(descriptor).st_size > most:
            raise OSError(errno.EFBIG, "it is too large for what it should be", path)
        return file.read(most)


def put(path: str, content: bytes) -> None:
    """Write a file of this user's alone, whole: beside its place, then in it."""
    beside = f"{path}.{os.getpid()}.{time.monotonic_ns()}"
    with os.fdopen(open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
    replace(beside, path)


def lstat(path: str) -> os.stat_result:
    """`os.lstat`."""
    with _last(path) as (folder, name):
        return os.stat(name, dir_fd=folder, follow_symlinks=False)


def link(source: str | int, path: str) -> None:
    """`os.link`, also of an open file that Linux gave no name yet."""
    with _last(path) as (folder, name):
        if isinstance(source, int):
            # Python follows the link only if it is given a folder, which an absolute path makes the system ignore.
            place = f"/proc/self/fd/{source}"
            os.link(place, name, src_dir_fd=source, dst_dir_fd=folder, follow_symlinks=True)
            return
        with _last(source) as (other, own_name):
            os.link(own_name, name, src_dir_fd=other, dst_dir_fd=folder, **_NOT_FOLLOWED[os.link])


def rename(source: str, path: str) -> None:
    """`os.rename`."""
    with _last(source) as (folder, name), _last(path) as (other, other_name):
        os.rename(name, other_name, src_dir_fd=folder, dst_dir_fd=other)


def replace(source: str, path: str) -> None:
    """`os.replace`."""
    with _last(source) as (folder, name), _last(path) as (other, other_name):
        os.replace(name, other_name, src_dir_fd=folder, dst_dir_fd=other)


def unlink(path: str) -> None:
    """`os.unlink`."""
    with _last(path) as (folder, name):
        os.unlink(name, dir_fd=folder)


def mkdir(path: str, mode: int = 0o777) -> None:
    """`os.mkdir`."""
    with _last(path) as (folder, name):
        os.mkdir(name, mode, dir_fd=folder)


def rmdir(path: str) -> None:
    """`os.rmdir`."""
    with _last(path) as (folder, name):
        os.rmdir(name, dir_fd=folder)


def utime(path: str) -> None:
    """`os.utime`, to now."""
    with _last(path) as (folder, name):
        os.utime(name, dir_fd=folder, **_NOT_FOLLOWED[os.utime])


def listdir(path: str) -> list[str]:
    """`os.listdir`."""
    return [entry.name for entry in entries(path)]


class Entry:
    """A name in a folder, which is not followed where it is a link.

    Attributes
    ----------
    path
        How to get to it from outside.
    is_folder, is_file
        Whether it is a real folder, or a regular file.
    """

    __slots__ = ("_found", "_open", "is_file", "is_folder", "name", "path")

    def __init__(self, folder: str, found: os.DirEntry[str], is_open: list[bool]) -> None:
        self.name = found.name
        self.path = f"{folder}/{found.name}"
        self.is_folder = found.is_dir(follow_symlinks=False)
        self.is_file = found.is_file(follow_symlinks=False)
        self._found = found
        self._open = is_open

    def stat(self) -> os.stat_result:
        """Its status: quick while its folder is gone through, asked anew afterwards."""
        return self._found.stat(follow_symlinks=False) if self._open else lstat(self.path)


def entries(path: str) -> Iterator[Entry]:
    """What is in a folder, which is an error where it is not a real one."""
    with _folder(path) as folder, os.scandir(path if folder is None else folder) as found:
        is_open = [True]
        try:
            for entry in found:
                yield Entry(path, entry, is_open)
        finally:
            is_open.clear()


@contextmanager
def _last(path: str) -> Iterator[tuple[int | None, str]]:
    """The open folder that something is in, and its name there; no folder and its path where that is not to be had."""
    if _MARK not in path:
        yield None, path
        return
    above, _, name = path.rpartition("/")
    with _folder(above if _MARK in above else f"{above[:-1]}{_MARK}") as folder:
        before, busy.now = busy.now, True
        try:
            yield folder, path if folder is None else name
        except OSError as error:
            error.filename = path
            raise
        finally:
            busy.now = before


@contextmanager
def _folder(path: str) -> Iterator[int | None]:
    """An open folder, reached without following a link behind the mark."""
    root, mark, names = path.rpartition(_MARK)
    if not mark:
        yield None
        return
    if not _BY_DESCRIPTOR:
        _check(root, names)
        yield None
        return
    descriptor = _walk(root, names.split("/"))
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _walk(root: str, names: list[str]) -> int:
    before, busy.now = busy.now, True
    descriptor, path = -1, root
    try:
        descriptor = os.open(root, _FOLDER & ~os.O_NOFOLLOW)
        for name in filter(None, names):
            path = f"{path}/{name}"
            above, descriptor = descriptor, os.open(name, _FOLDER, dir_fd=descriptor)
            os.close(above)
    except OSError as error:
        if descriptor >= 0:
            os.close(descriptor)
        if error.errno in _NO_FOLDER:
            raise _not_real(path) from None
        error.filename = inside(root, *names)
        raise
    finally:
        busy.now = before
    return descriptor


def _check(root: str, names: str) -> None:
    """Windows, where folders cannot be opened: look at each."""
    path = root
    for name in filter(None, names.split("/")):
        path = f"{path}/{name}"
        status = os.lstat(path)
        if not stat.S_ISDIR(status.st_mode) or getattr(status, "st_reparse_tag", False):
            raise _not_real(path)


def _not_real(path: str) -> NotADirectoryError:
    return NotADirectoryError(errno.ENOTDIR, f"{path} is a link or a file, and should be a folder", path)
