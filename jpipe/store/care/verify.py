"""Checking every byte of a cache, and mending what can be mended."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

from blake3 import blake3

from jpipe.store.care.merge_packs import drop_damaged, rewrite
from jpipe.store.care.removal import unlink
from jpipe.store.care.usage import PackFile, pack_files
from jpipe.store.disk import system
from jpipe.store.format.memory_map import read_exactly
from jpipe.store.format.records import MissingEntry
from jpipe.store.open_folder import Disk

__all__ = ["Problem", "Verified", "verify"]


class Problem(NamedTuple):
    """Something in the cache that is not as it was written.

    Parameters
    ----------
    kind
        ``"torn pack"``, ``"damaged value"``, ``"damaged blob"``, ``"missing blob"``, ``"foreign pack"`` or
        ``"stray file"``.
    path
        The file, from the cache folder on.
    harmless
        Whether nothing is lost by it: foreign packs and stray files are passed over by readers.
    """

    kind: str
    path: str
    harmless: bool = False


class Verified(NamedTuple):
    """What was checked and what was found; with `repair`, problems that are not `harmless` are gone now."""

    records: int
    blobs: int
    nbytes: int
    problems: tuple[Problem, ...]

    @property
    def sound(self) -> bool:
        """Whether every result in the cache is as it was written."""
        return all(problem.harmless for problem in self.problems)


Elsewhere = Callable[[bytes, str, bytes], bool]
"""Whether a blob that is not here, which a pack of a family names, is at a place from which it can be had."""


def verify(disk: Disk, *, repair: bool = False, elsewhere: Elsewhere | None = None) -> Verified:
    """Read and check everything.

    Parameters
    ----------
    disk
        The cache.
    elsewhere
        Tells which blobs are not missing although they are not here. Default: none.
    repair
        Set damaged files aside and drop the records that need them; what they held counts as missing then.
    """
    problems: list[Problem] = []
    blobs, nbytes = _check_blobs(disk, problems, repair)
    records = 0
    for pack in list(pack_files(disk)):
        nbytes += pack.size
        records += _check_pack(disk, pack, blobs, problems, repair, elsewhere or (lambda *_: False))
    problems += [Problem("stray file", path, harmless=True) for path in _strays(disk)]
    return Verified(records, len(blobs), nbytes, tuple(problems))


def _check_blobs(disk: Disk, problems: list[Problem], repair: bool) -> tuple[set[bytes], int]:
    """The sound blobs, and the bytes of all."""
    sound: set[bytes] = set()
    nbytes = 0
    for blob, is_seal, entry in list(disk.blob_files()):
        with contextlib.suppress(FileNotFoundError):
            nbytes += entry.stat().st_size
            if is_seal:
                continue
            state = _state_of(disk, blob)
            if state == "sound":
                sound.add(blob)
            elif state == "damaged":
                problems.append(Problem("damaged blob", disk.relative(entry.path)))
                if repair:
                    disk.blobs.set_aside(blob)
    return sound, nbytes


def _state_of(disk: Disk, blob: bytes) -> str:
    """What a blob is; looked at twice before it counts as damaged, for a run may have put a new one in its place."""
    for _ in range(2):
        try:
            disk.blobs.check(blob)
            return "sound"
        except MissingEntry:
            if not system.exists(disk.blobs.path(blob)):
                return "missing"
    return "damaged"


def _check_pack(
    disk: Disk, pack: PackFile, blobs: set[bytes], problems: list[Problem], repair: bool, elsewhere: Elsewhere
) -> int:
    """How many records of a pack count."""
    path = disk.relative(pack.path)
    if pack.segments is None:
        if not system.exists(pack.path):
            return 0
        problems.append(Problem("foreign pack" if pack.foreign else "torn pack", path, harmless=pack.foreign))
        if repair and not pack.foreign:
            unlink(pack.path)
        return 0
    damaged = _damaged_values(pack)
    # What was written since the blobs were gone through is looked at now; a pack that is gone meanwhile names nothing.
    new = {blob for blob in set(pack.blobs) - blobs if _state_of(disk, blob) == "sound"}
    blobs |= new
    missing = set(pack.blobs) - blobs if system.exists(pack.path) else set()
    missing = {blob for blob in missing if not elsewhere(pack.family, pack.name, blob)}
    if damaged:
        problems.append(Problem("damaged value", path))
        if repair:
            drop_damaged(disk, pack.family, pack.name)
    if missing:
        problems += [Problem("missing blob", disk.relative(disk.blobs.path(blob))) for blob in sorted(missing)]
        if repair and not damaged:
            rewrite(
                disk, pack.family, pack.name, lambda s, e: s.row(e).offset is not None or s.row(e).check not in missing
            )
    return sum(segment.count for segment in pack.segments) - damaged


def _damaged_values(pack: PackFile) -> int:
    damaged = 0
    try:
        descriptor = system.open(pack.path, system.READ)
    except FileNotFoundError:
        return 0
    try:
        for segment in pack.segments or ():
            values = read_exactly(descriptor, segment.stop - segment.payload, segment.payload)
            for row in map(segment.row, range(segment.count)):
                if row.offset is not None:
                    value = values[row.offset : row.offset + row.length]
                    damaged += len(value) != row.length or blake3(value).digest() != row.check
    finally:
        system.close_read(descriptor)
    return damaged


def _strays(disk: Disk) -> Iterator[str]:
    """Files among packs and blobs that jpipe did not name."""
    packs = {entry.path for _, folder in disk.families() for entry in disk.packs(folder)}
    blobs = {entry.path for _, _, entry in disk.blob_files()}
    for room in ("families", "blobs"):
        for path in _files_below(disk.folder.path(room)):
            if path not in packs and path not in blobs:
                yield disk.relative(path)


def _files_below(folder: str) -> Iterator[str]:
    for entry in system.scan(folder):
        if entry.is_folder:
            yield from _files_below(entry.path)
        else:
            yield entry.path
