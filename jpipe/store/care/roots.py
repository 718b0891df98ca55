"""What the last runs of each pipeline reached, which pruning keeps, and the pins of runs that are alive."""

from __future__ import annotations

import contextlib
import errno
import os
import struct
import time
from collections.abc import Iterable, Mapping
from itertools import islice

from jpipe.store.disk import leases, system
from jpipe.store.disk.locks import Lock
from jpipe.store.disk.publish import process_name
from jpipe.store.format.memory_map import read_small
from jpipe.store.open_folder import Disk

__all__ = ["Reached", "living_since", "mark_reached", "pin", "reached"]

KEPT_RUNS = 3
_PURPOSE = b"jpipe root 1"
_MAGIC = b"jpiper01"
_HEAD = struct.Struct("<8s32s")
_FAMILY = struct.Struct("<32sI")
_EVERYTHING = 0xFFFFFFFF
_PREFIX = 8
_TOGETHER = 1 << 14
_TRIES = 10
_LONGEST_RUN = 7 * 86_400.0
"""So long a run of another machine counts as alive whose lock is not seen here, seconds."""


class Reached:
    """Keys that are to be kept, by family; the first 8 bytes of a key stand for it."""

    def __init__(self) -> None:
        self._keys: dict[bytes, set[bytes] | None] = {}

    def add(self, family: bytes, prefixes: Iterable[bytes] | None) -> None:
        """Keep these keys of a family, or all of them for None."""
        known = self._keys.setdefault(family, set())
        if prefixes is None:
            self._keys[family] = None
        elif known is not None:
            known.update(prefixes)

    def has(self, family: bytes, key: bytes) -> bool:
        """Whether a run reached the key."""
        known = self._keys.get(family, ())
        return known is None or key[:_PREFIX] in known

    def of(self, family: bytes, keys: Iterable[bytes]) -> int:
        """How many of `keys` runs reached."""
        known = self._keys.get(family, ())
        if known is None:
            return sum(1 for _ in keys)
        return sum(key[:_PREFIX] in known for key in keys) if known else 0


def mark_reached(disk: Disk, pipeline: bytes, run: bytes, families: Mapping[bytes, Iterable[bytes] | None]) -> None:
    """Note what a run reached, and forget all but the last three runs of its pipeline."""
    body = b"".join(_packed(family, keys) for family, keys in families.items())
    folder = disk.folder.path("roots", pipeline.hex())
    name = run.hex()
    signature = disk.key.sign(_PURPOSE, body)
    disk.writer.replace(folder, name, [_HEAD.pack(_MAGIC, signature), body])
    runs = sorted(system.scan(folder), key=lambda entry: entry.stat().st_mtime_ns)
    for entry in runs[:-KEPT_RUNS]:
        if entry.name != name:
            with contextlib.suppress(FileNotFoundError):
                system.unlink(entry.path)


_NO_NOTE = {
    errno.ENOENT,
    errno.EINVAL,
    errno.ELOOP,
    errno.EMLINK,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ENXIO,
    errno.EFBIG,
}
"""Numbers of the errors of what is gone, or is no file that jpipe wrote: a link, a pipe, a folder, something huge."""


def reached(disk: Disk) -> Reached:
    """What the noted runs of all pipelines reached.

    Raises
    ------
    OSError
        If a note cannot be read now: to take it for none would have what it names pruned.
    """
    found = Reached()
    for pipeline in system.scan(disk.folder.path("roots")):
        for run in system.scan(pipeline.path) if pipeline.is_folder else ():
            try:
                _read(disk, run.path, found)
            except struct.error:
                continue
            except OSError as error:
                if error.errno not in _NO_NOTE:
                    raise
    return found


def pin(disk: Disk) -> Lock | None:
    """Show that a run is alive until the lock is released or this process dies; None where that cannot be written."""
    folder = disk.folder.path("pins")
    with contextlib.suppress(OSError):
        disk.writer.make_folder(folder)
        for _ in range(_TRIES):
            # A prune that looks whether the owner lives may have the new file for a moment; it removes it then.
            lock = Lock.take(f"{folder}/{process_name()}-{os.urandom(4).hex()}")
            if lock is not None:
                return lock
    return None


def living_since(disk: Disk, own_pin: str | None = None) -> float | None:
    """When the oldest run began that is alive, leaving out that of `own_pin`; removes the pins of dead ones."""
    oldest: float | None = None
    here, is_alone = process_name().rpartition("-")[0], leases.locks_are_common(disk.folder.root)
    for entry in list(system.scan(disk.folder.path("pins"))):
        if entry.path == own_pin:
            continue
        with contextlib.suppress(OSError):
            started = entry.stat().st_mtime
            lock = Lock.take(entry.path)
            is_elsewhere = not is_alone and entry.name.rsplit("-", 2)[0] != here
            is_alive = lock is None or (is_elsewhere and time.time() - started < _LONGEST_RUN)
            if is_alive:
                oldest = started if oldest is None else min(oldest, started)
            if lock is not None:
                lock.release(remove=not is_alive)
    return oldest


def _packed(family: bytes, keys: Iterable[bytes] | None) -> bytes:
    if keys is None:
        return _FAMILY.pack(family, _EVERYTHING)
    prefixes, rest = bytearray(), iter(keys)
    while some := [*islice(rest, _TOGETHER)]:
        prefixes += b"".join([key[:_PREFIX] for key in some])
    return _FAMILY.pack(family, len(prefixes) // _PREFIX) + prefixes


def _read(disk: Disk, path: str, found: Reached) -> None:
    data = read_small(path)
    magic, signature = _HEAD.unpack_from(data)
    body = data[_HEAD.size :]
    if magic != _MAGIC or not disk.key.signed(signature, _PURPOSE, body):
        return
    position = 0
    while position < len(body):
        family, count = _FAMILY.unpack_from(body, position)
        position += _FAMILY.size
        if count == _EVERYTHING:
            found.add(family, None)
            continue
        end = position + _PREFIX * count
        found.add(family, (body[at : at + _PREFIX] for at in range(position, end, _PREFIX)))
        position = end
