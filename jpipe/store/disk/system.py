"""The calls to the operating system that the store makes, so that tests can make each of them fail.

The store calls nothing of `os` that touches a disk except through this module. Where a platform lacks a call, the
replacement stands here.
"""

from __future__ import annotations

import errno
import functools
import os
import sys
from collections.abc import Callable, Iterator

from jpipe.system import safe_paths as inside

__all__: list[str] = []

WINDOWS = os.name == "nt"

DISK_FULL = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EFBIG})
"""Numbers of the errors that say that there is no room."""
READ_ONLY = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
"""Numbers of the errors that say that one may not write here."""

_USUAL = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
READ = os.O_RDONLY | _USUAL
CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | _USUAL
TABLE = os.O_WRONLY | os.O_CREAT | _USUAL
LOCK = os.O_RDWR | os.O_CREAT | _USUAL
UNNAMED = (os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC) if hasattr(os, "O_TMPFILE") else None

open = inside.open  # noqa: A001 -- the names are those of `os`
close = os.close
write = os.write
fstat = os.fstat
lstat = inside.lstat
link = inside.link
rename = inside.rename
replace = inside.replace
unlink = inside.unlink
mkdir = inside.mkdir
rmdir = inside.rmdir
utime = inside.utime
listdir = inside.listdir


def exists(path: str) -> bool:
    """Whether there is anything of that name."""
    try:
        lstat(path)
    except OSError:
        return False
    return True


def close_read(descriptor: int) -> None:
    """Close a file that was only read: whatever goes wrong then changes nothing of what was read."""
    try:
        close(descriptor)
    except OSError:
        return


class Unflushed(OSError):
    """The disk reports that it could not keep a file: what it holds is unknown, and asking again may answer "fine"."""


def flush(descriptor: int) -> None:
    """Wait until the bytes of a file are on the disk.

    Raises
    ------
    Unflushed
        If the disk reports a failure.
    """
    try:
        fsync(descriptor)
    except OSError as error:
        raise Unflushed(error.errno, error.strerror) from error


def sync_folder(path: str) -> None:
    """Wait until the names in a folder are on the disk, where the platform can do that."""
    if WINDOWS:
        return
    descriptor = open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fsync(descriptor)
    except OSError:
        return
    finally:
        close_read(descriptor)


def scan(folder: str) -> Iterator[inside.Entry]:
    """The entries of `folder`; none if it is not there or not a real folder."""
    try:
        yield from inside.entries(folder)
    except (FileNotFoundError, NotADirectoryError):
        return


if hasattr(os, "pread"):
    pread = os.pread
else:  # Windows

    def pread(fd: int, length: int, offset: int, /) -> bytes:
        """`os.pread` for a file descriptor that only one thread uses."""
        os.lseek(fd, offset, os.SEEK_SET)
        return os.read(fd, length)


if sys.platform == "darwin":
    import fcntl

    def fsync(fd: int) -> None:
        """Wait until the file is on the disk itself, not in the disk's own cache."""
        try:
            fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
        except OSError:
            os.fsync(fd)
else:
    fsync = os.fsync


def disk_size(folder: str) -> int:
    """Bytes of the file system that `folder` is on, used and free."""
    if hasattr(os, "statvfs"):
        status = os.statvfs(folder)
        return status.f_frsize * status.f_blocks
    import shutil

    return shutil.disk_usage(folder).total


def reserve(descriptor: int, size: int) -> None:
    """Ask for room for `size` bytes before they are written: that makes writing faster, and fails early.

    Where the file system cannot do that, nothing happens: `os.posix_fallocate` would write all bytes as zeros then.
    """
    ask = _fallocate()
    if ask is None:
        return
    keep_size = 1
    if ask(descriptor, keep_size, 0, size) != 0 and (number := _errno()) == errno.ENOSPC:
        raise OSError(number, os.strerror(number))


@functools.cache
def _fallocate() -> Callable[[int, int, int, int], int] | None:
    if sys.platform != "linux" or sys.maxsize < 1 << 32:
        return None
    import ctypes

    ask = getattr(ctypes.CDLL(None, use_errno=True), "fallocate", None)
    if ask is not None:
        ask.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    return ask


def _errno() -> int:
    """Why the last call of `reserve` failed."""
    import ctypes

    return ctypes.get_errno()


def boot_id() -> bytes:
    """16 bytes that differ from one start of the machine to the next, or none where that cannot be told."""
    try:
        with os.fdopen(os.open("/proc/sys/kernel/random/boot_id", os.O_RDONLY)) as file:
            return bytes.fromhex(file.read().strip().replace("-", ""))
    except (OSError, ValueError):
        return b""
