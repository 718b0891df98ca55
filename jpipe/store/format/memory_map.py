"""File contents as numpy arrays: mapped where it pays, read where it does not or where mappings have run out."""

from __future__ import annotations

import errno
import functools
import mmap
import os
import sys
import weakref
from typing import Any, Literal

from jpipe.store.disk import system
from jpipe.store.format.dirty_pages import was_written
from jpipe.system import safe_paths as inside

__all__ = ["SCARCE", "Mode", "map_file", "read_exactly", "read_file", "read_small"]

Mode = Literal["c", "r"] | None
_ACCESS = {"c": mmap.ACCESS_COPY, "r": mmap.ACCESS_READ}
_KEEPS_DESCRIPTOR = sys.version_info < (3, 13)
SCARCE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN})
"""Numbers of the errors that say that this process has used up something; what is on the disk may be fine."""
_READ_AT_ONCE = 1 << 30
_USUALLY_ALLOWED = 65_530

_live = 0


def map_file(descriptor: int, size: int, path: str, mode: Literal["c", "r"]) -> Any:
    """The whole file as one array of bytes over a `numpy.memmap`; None where no mapping is to be had.

    joblib sends views of it to other processes by the file's name, unless something was written into it.

    Parameters
    ----------
    descriptor
        The open file; it may be closed afterwards.
    size
        Its size in bytes.
    path
        Its name.
    mode
        ``"c"``: writable, writes stay in this process; ``"r"``: read-only.
    """
    if _live >= _most_mappings():
        return None
    try:
        mapped = _mapped(descriptor, size, mode)
    except OSError as error:
        if error.errno in SCARCE:
            return None
        raise
    return _as_memmap(mapped, size, path, mode)


def read_file(descriptor: int, start: int, stop: int) -> Any:
    """The bytes from `start` to `stop` in memory that can be written to; shorter if the file is."""
    numpy = sys.modules.get("numpy")
    room: Any = bytearray(stop - start) if numpy is None else numpy.empty(stop - start, numpy.uint8)
    view = memoryview(room)
    done = 0
    while done < len(view):
        piece = system.pread(descriptor, min(_READ_AT_ONCE, len(view) - done), start + done)
        if not piece:
            return room[:done]
        view[done : done + len(piece)] = piece
        done += len(piece)
    return room


def read_exactly(descriptor: int, length: int, offset: int) -> bytes:
    """`length` bytes at `offset`; shorter only if the file ends."""
    data = system.pread(descriptor, min(length, _READ_AT_ONCE), offset)
    if len(data) == length:
        return data
    pieces = [data]
    done = len(data)
    while pieces[-1] and done < length:
        pieces.append(system.pread(descriptor, min(length - done, _READ_AT_ONCE), offset + done))
        done += len(pieces[-1])
    return b"".join(pieces)


def read_small(path: str) -> bytes:
    """The content of a file that is read as a whole; an error where it is larger than any such file."""
    descriptor = system.open(path, system.READ)
    try:
        size = system.fstat(descriptor).st_size
        if size > inside.MOST:
            raise OSError(errno.EFBIG, "it is too large for what it should be", path)
        return read_exactly(descriptor, size, 0)
    finally:
        system.close_read(descriptor)


def _mapped(descriptor: int, size: int, mode: Literal["c", "r"]) -> mmap.mmap:
    global _live
    keywords: dict[str, Any] = {} if _KEEPS_DESCRIPTOR else {"trackfd": False}
    mapped = mmap.mmap(descriptor, size, access=_ACCESS[mode], **keywords)
    _live += 1
    weakref.finalize(mapped, _unmapped).atexit = False
    return mapped


def _unmapped() -> None:
    global _live
    _live -= 1


def _most_mappings() -> int:
    """How many there may be: half of what the system allows, for memory is mapped too; a quarter of the descriptors."""
    if system.WINDOWS:
        return 1 << 30
    import resource

    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if not _KEEPS_DESCRIPTOR or soft == resource.RLIM_INFINITY:
        return _allowed() // 2
    return min(_allowed() // 2, int(soft // 4))


@functools.cache
def _allowed() -> int:
    """Mappings that the system allows a process."""
    try:
        with open("/proc/sys/vm/max_map_count", "rb") as file:
            return int(file.read())
    except (OSError, ValueError):
        return _USUALLY_ALLOWED


def _as_memmap(mapped: mmap.mmap, size: int, path: str, mode: Literal["c", "r"]) -> Any:
    """What `numpy.memmap` makes, over a mapping that holds no descriptor where Python can do that."""
    import numpy as np

    array: Any = np.ndarray.__new__(_kind(), (size,), np.uint8, buffer=mapped)
    array._mmap = mapped
    array.filename = os.path.abspath(path)
    array.offset = 0
    array.mode = mode
    return array.view(np.ndarray)


@functools.cache
def _kind() -> type:
    import numpy as np

    class Mapped(np.memmap):
        """Memory that has the bytes of a file, until something is written into it.

        joblib looks for the mapping that an array goes back to, and if there is one, it sends the name of the file in
        place of the array. What a step wrote into its arguments would be lost then without a word.
        """

        @property
        def base(self) -> Any:
            """The mapping; None when it no longer has what the file has."""
            below: Any = super().base
            if self.mode == "c" and isinstance(below, mmap.mmap) and was_written(self.ctypes.data, self.nbytes):
                return None
            return below

    return Mapped
