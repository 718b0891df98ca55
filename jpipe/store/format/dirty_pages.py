"""Whether memory mapped from a file, copy-on-write, was written to since.

In such a mapping the system gives this process a page of its own in place of the file's when it is first written to,
and tells for every page which of the two it is (`Documentation/admin-guide/mm/pagemap.rst` of Linux).
"""

from __future__ import annotations

import mmap
import os
import sys

__all__ = ["was_written"]

_ENTRY = 8
_AT_ONCE = 1 << 20
_HERE = 62
"""A page is in memory or swapped out if one of the bits from here on is set."""
_OF_FILE = 61
"""This bit says of a page that it is the file's."""


def was_written(address: int, size: int) -> bool:
    """Whether any page from `address` on was written to, of `size` bytes; True where the system does not tell."""
    if sys.platform != "linux":
        return True
    first = address // mmap.PAGESIZE
    last = (address + max(size, 1) - 1) // mmap.PAGESIZE
    try:
        descriptor = os.open("/proc/self/pagemap", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return True
    try:
        return _any_own(descriptor, first * _ENTRY, (last + 1) * _ENTRY)
    except OSError:
        return True
    finally:
        os.close(descriptor)


def _any_own(descriptor: int, start: int, stop: int) -> bool:
    import numpy as np

    while start < stop:
        data = os.pread(descriptor, min(_AT_ONCE, stop - start), start)
        pages = np.frombuffer(data, np.uint64, len(data) // _ENTRY)
        if not len(pages) or np.any((pages >> _HERE != 0) & (pages >> _OF_FILE & 1 == 0)):
            return True
        start += len(pages) * _ENTRY
    return False
