"""What is in a cache, and how much room it takes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

from jpipe.store.disk import system
from jpipe.store.format.pack import ForeignPack, Segment, TornPack, read_pack
from jpipe.store.open_folder import Disk
from jpipe.system.safe_paths import Entry as FolderEntry

__all__ = ["Entry", "FamilyUse", "PackFile", "Size", "entries", "families", "foreign", "measure", "pack_files"]


class PackFile(NamedTuple):
    """A pack on disk: its size in bytes, when it was last used (seconds since 1970), and its segments.

    `segments` is None for a pack that does not count: one that is torn, or `foreign`, signed with another key.
    `blobs` are those that it names; of a foreign pack too, so that they are kept for their owner.
    """

    family: bytes
    path: str
    name: str
    size: int
    used: float
    segments: list[Segment] | None
    foreign: bool
    blobs: list[bytes]


class Entry(NamedTuple):
    """A record as `jpipe cache list` counts it."""

    family: bytes
    key: bytes
    nbytes: int
    created: float
    used: float


class FamilyUse(NamedTuple):
    """The records of one family together: their number, bytes of their results, when they were last used."""

    records: int
    nbytes: int
    used: float


class Size(NamedTuple):
    """How large a cache is: bytes of all files, and how many packs and blobs there are."""

    nbytes: int
    packs: int
    blobs: int


def pack_files(disk: Disk) -> Iterator[PackFile]:
    """All packs, read and checked."""
    for family, folder in disk.families():
        for entry in disk.packs(folder):
            with contextlib.suppress(FileNotFoundError):
                status = entry.stat()
                segments, foreign = _segments(disk, family, entry)
                blobs = [blob for segment in segments for blob in segment.blobs()]
                counted = None if foreign or not segments else segments
                yield PackFile(family, entry.path, entry.name, status.st_size, status.st_mtime, counted, foreign, blobs)


def _segments(disk: Disk, family: bytes, entry: FolderEntry) -> tuple[list[Segment], bool]:
    """The segments of a pack, none if it is torn, and whether it is foreign."""
    try:
        return read_pack(entry.path, family, entry.name, disk.key), False
    except ForeignPack:
        with contextlib.suppress(TornPack):
            return read_pack(entry.path, family, entry.name, None), True
        return [], True
    except TornPack:
        return [], False


def entries(disk: Disk) -> Iterator[Entry]:
    """All records."""
    for pack in pack_files(disk):
        for segment in pack.segments or ():
            for number, key in enumerate(segment.keys()):
                row = segment.row(number)
                yield Entry(pack.family, key, row.nbytes, row.created, max(pack.used, row.created))


def families(disk: Disk) -> dict[bytes, FamilyUse]:
    """All families with their records."""
    found: dict[bytes, FamilyUse] = {}
    for pack in pack_files(disk):
        known = found.get(pack.family, FamilyUse(0, 0, 0.0))
        segments = pack.segments or []
        records = sum(segment.count for segment in segments)
        nbytes = sum(segment.row(entry).nbytes for segment in segments for entry in range(segment.count))
        found[pack.family] = FamilyUse(known.records + records, known.nbytes + nbytes, max(known.used, pack.used))
    return found


def foreign(disk: Disk) -> tuple[int, int]:
    """How many packs are signed with another key, and how many results they say to have."""
    packs = results = 0
    for family, folder in disk.families():
        for entry in disk.packs(folder):
            with contextlib.suppress(OSError):
                segments, is_foreign = _segments(disk, family, entry)
                packs += is_foreign
                results += sum(segment.count for segment in segments) if is_foreign else 0
    return packs, results


def measure(disk: Disk) -> Size:
    """How large the cache is."""
    packs = blobs = nbytes = 0
    for _, folder in disk.families():
        for entry in disk.packs(folder):
            with contextlib.suppress(FileNotFoundError):
                nbytes += entry.stat().st_size
                packs += 1
    for _, is_seal, file in disk.blob_files():
        with contextlib.suppress(FileNotFoundError):
            nbytes += file.stat().st_size
            blobs += not is_seal
    for room in ("notes", "roots", "quarantine", "tmp"):
        nbytes += _below(disk.folder.path(room))
    return Size(nbytes, packs, blobs)


def _below(folder: str) -> int:
    total = 0
    for entry in system.scan(folder):
        with contextlib.suppress(FileNotFoundError):
            if entry.is_folder:
                total += _below(entry.path)
            else:
                total += entry.stat().st_size
    return total
