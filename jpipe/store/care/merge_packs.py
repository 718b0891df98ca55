"""Merging the packs of a family into few, and rewriting a pack without some of its entries.

The new pack is on the disk before the old ones are removed. A reader that finds a pack gone looks at the folder again.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator

from blake3 import blake3

from jpipe.store.disk import system
from jpipe.store.disk.locks import Lock
from jpipe.store.durability import sync_file
from jpipe.store.format.memory_map import read_exactly
from jpipe.store.format.pack import PackBuilder, Segment, TornPack, read_pack
from jpipe.store.open_folder import Disk
from jpipe.store.record_index import SUFFIX

__all__ = ["drop_damaged", "merge_small", "rewrite"]

Keep = Callable[[Segment, int], bool]

_SMALL = 4 << 20
_MANY = 64
_AT_ONCE = 32 << 20
_WHOLE_FROM = 256


def merge_small(disk: Disk, family: bytes) -> bool:
    """Merge the small packs of a family if there are many; says whether it did.

    Segments of 256 entries or more are copied as they are, smaller ones become one new segment: so an entry is taken
    apart once, however often its pack is merged.
    """
    folder = disk.family_folder(family)
    sizes = {entry.name: entry.stat().st_size for entry in disk.packs(folder)}
    small = sorted((size, name) for name, size in sizes.items() if size < _SMALL)
    if len(small) <= _MANY:
        return False
    with _merging(disk, family) as free:
        return free and _merge(disk, family, _up_to(_AT_ONCE, small), None) > 0


def rewrite(disk: Disk, family: bytes, pack: str, keep: Keep) -> bool:
    """Replace a pack by one that has only the entries that `keep` wants, or by none; says whether that was possible."""
    with _merging(disk, family) as free:
        return free and _merge(disk, family, [pack], keep) == 1


def drop_damaged(disk: Disk, family: bytes, pack: str) -> None:
    """Set a pack aside of which a value is damaged, and keep its other entries in a new one."""
    aside = disk.folder.path("quarantine", pack)
    with contextlib.suppress(OSError), _merging(disk, family) as free:
        if free:
            disk.writer.make_folder(os.path.dirname(aside))
            with contextlib.suppress(FileExistsError):
                system.link(f"{disk.family_folder(family)}/{pack}", aside)
            _merge(disk, family, [pack], lambda *_: True)


def _up_to(limit: int, small: Iterable[tuple[int, str]]) -> list[str]:
    names: list[str] = []
    total = 0
    for size, name in small:
        total += size
        if names and total > limit:
            break
        names.append(name)
    return names


@contextlib.contextmanager
def _merging(disk: Disk, family: bytes) -> Iterator[bool]:
    """One process at a time merges a family; gives whether this one may."""
    disk.writer.make_folder(disk.folder.path("locks"))
    lock = Lock.take(disk.folder.path("locks", f"merge-{family.hex()}"))
    try:
        yield lock is not None
    finally:
        if lock is not None:
            lock.release(remove=True)


def _merge(disk: Disk, family: bytes, names: list[str], keep: Keep | None) -> int:
    """Put the entries of packs that are wanted into one pack; says how many packs it replaced.

    Without `keep` everything is wanted, and large segments are copied byte by byte. Entries that are taken one by one
    are left out when their value is damaged.
    """
    folder = disk.family_folder(family)
    builder = PackBuilder(family)
    chunks: list[bytes] = []
    merged = []
    for name in names:
        try:
            for segment, data in _segments(f"{folder}/{name}", family, name, disk):
                if keep is None and segment.count >= _WHOLE_FROM:
                    chunks.append(data)
                else:
                    _copy(segment, data, keep, builder)
        except (TornPack, FileNotFoundError):
            continue
        merged.append(name)
    if builder.keys:
        chunks += builder.chunks(disk.key)
    kept = _publish(disk, folder, chunks) if merged and chunks else None
    for name in merged:
        if name != kept:
            with contextlib.suppress(FileNotFoundError):
                system.unlink(f"{folder}/{name}")
    return len(merged)


def _segments(path: str, family: bytes, pack: str, disk: Disk) -> Iterator[tuple[Segment, bytes]]:
    """The segments of a pack, each with all of its bytes."""
    segments = read_pack(path, family, pack, disk.key)
    descriptor = system.open(path, system.READ)
    try:
        for segment in segments:
            yield segment, read_exactly(descriptor, segment.stop - segment.start, segment.start)
    finally:
        system.close_read(descriptor)


def _copy(segment: Segment, data: bytes, keep: Keep | None, builder: PackBuilder) -> None:
    values = segment.payload - segment.start
    for entry in range(segment.count):
        if keep is not None and not keep(segment, entry):
            continue
        row = segment.row(entry)
        if row.offset is None:
            builder.copy(segment, entry, None)
            continue
        start = values + row.offset
        value = data[start : start + row.length]
        if len(value) == row.length and blake3(value).digest() == row.check:
            builder.copy(segment, entry, value)


def _publish(disk: Disk, folder: str, chunks: list[bytes]) -> str:
    """Write a merged pack and wait until it is on the disk."""
    name = blake3(b"".join(chunks)).hexdigest(20) + SUFFIX
    disk.writer.publish(folder, name, chunks)
    sync_file(f"{folder}/{name}")
    system.sync_folder(folder)
    return name
