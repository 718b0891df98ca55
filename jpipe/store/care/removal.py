"""Taking things out of the cache: records first, then the blobs that no record names any more."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable

from jpipe.store.care.merge_packs import rewrite
from jpipe.store.care.usage import PackFile, pack_files
from jpipe.store.disk import system
from jpipe.store.format.pack import Segment
from jpipe.store.open_folder import Disk

__all__ = ["IN_FLIGHT", "blob_references", "clear", "remove", "remove_blobs", "unlink"]

IN_FLIGHT = 60.0
"""A blob that was written or reused this many seconds ago may be about to get its record."""


def unlink(path: str) -> bool:
    """Remove a file; says whether it is gone by that. One that is in use on Windows stays for the next time."""
    try:
        system.unlink(path)
    except OSError as error:
        if isinstance(error, FileNotFoundError | NotADirectoryError) or error.errno in system.READ_ONLY:
            return False
        raise
    return True


def blob_references(packs: Iterable[PackFile]) -> Counter[bytes]:
    """How many records name each blob."""
    return Counter(blob for pack in packs for blob in pack.blobs)


def remove(disk: Disk, family: bytes, keys: set[bytes]) -> None:
    """Remove records, and the blobs that no other record names."""
    _remove(disk, family, lambda segment, entry: segment.key(entry) in keys)


def clear(disk: Disk, families: Iterable[bytes] | None) -> None:
    """Remove all records of `families`, or everything.

    Raises
    ------
    OSError
        If nothing can be removed there.
    """
    if not os.access(disk.folder.base, os.W_OK):
        raise OSError(errno.EROFS, "it cannot be written to", disk.folder.base)
    if families is None:
        _clear_everything(disk)
        return
    for family in families:
        _remove(disk, family, lambda *_: True)


def remove_blobs(disk: Disk, blobs: set[bytes], before: float) -> int:
    """Remove those of `blobs` that were last written or reused before that time; gives the bytes that were freed."""
    freed = 0
    for blob in blobs:
        path = disk.blobs.path(blob)
        try:
            status = system.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        used = status.st_mtime
        with contextlib.suppress(OSError):
            used = max(used, system.lstat(path + ".seal").st_mtime)
        if used < before and unlink(path):
            unlink(path + ".seal")
            freed += status.st_size
    return freed


def _remove(disk: Disk, family: bytes, doomed: Callable[[Segment, int], bool]) -> None:
    freed: set[bytes] = set()
    for pack in [pack for pack in pack_files(disk) if pack.family == family]:
        numbers = [(s, e) for s in pack.segments or () for e in range(s.count) if doomed(s, e)]
        if not numbers:
            continue
        rows = [segment.row(entry) for segment, entry in numbers]
        freed.update(row.check for row in rows if row.offset is None)
        if len(numbers) == sum(segment.count for segment in pack.segments or ()):
            unlink(pack.path)
        else:
            rewrite(disk, family, pack.name, lambda segment, entry: not doomed(segment, entry))
    if freed:
        freed -= blob_references(pack_files(disk)).keys()
        remove_blobs(disk, freed, time.time() - IN_FLIGHT if len(freed) > 1 else time.time() + 1)


def _clear_everything(disk: Disk) -> None:
    for _, folder in disk.families():
        for entry in disk.packs(folder):
            unlink(entry.path)
        with contextlib.suppress(OSError):
            system.rmdir(folder)
    for _, _, entry in disk.blob_files():
        unlink(entry.path)
    for room in ("notes", "roots", "quarantine"):
        _empty(disk.folder.path(room))


def _empty(folder: str) -> None:
    for entry in list(system.scan(folder)):
        if entry.is_folder:
            _empty(entry.path)
            with contextlib.suppress(OSError):
                system.rmdir(entry.path)
        else:
            unlink(entry.path)
