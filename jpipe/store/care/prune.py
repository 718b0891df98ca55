"""Keeping the cache below its size: what recent runs reached stays, then what was used last.

Only whole files are removed, records before the blobs that they name, so a prune may be killed at any point and may run
beside pipelines. What was used since the oldest living run began is not touched; nor is what is younger than a day,
unless the caller says less, as `schedule/tidy_cache` does after a run where a size was set.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from jpipe.store.care.merge_packs import rewrite
from jpipe.store.care.pruned_keys import note_pruned
from jpipe.store.care.removal import IN_FLIGHT, blob_references, remove_blobs, unlink
from jpipe.store.care.roots import Reached, living_since, reached
from jpipe.store.care.usage import PackFile, pack_files
from jpipe.store.disk import leases, system
from jpipe.store.disk.locks import Lock
from jpipe.store.disk.publish import process_name
from jpipe.store.open_folder import Disk
from jpipe.system.machine import is_alive

__all__ = ["Pruned", "default_limit", "prune"]

GRACE = 24 * 3600.0
"""Seconds for which everything stays that was written or used."""
_DEFAULT_LIMIT = 50 << 30
_SHARE_OF_DISK = 0.2
_DOWN_TO = 0.9
_AHEAD = 3600.0


class Pruned(NamedTuple):
    """What a prune did, in bytes and files.

    `nbytes` is what is left; `done` is False if another process was pruning.
    """

    freed: int = 0
    packs: int = 0
    blobs: int = 0
    nbytes: int = 0
    done: bool = True


def default_limit(disk: Disk) -> int:
    """How large a cache may get, in bytes: 50 GiB, or a fifth of the disk if that is less."""
    return min(_DEFAULT_LIMIT, int(system.disk_size(disk.folder.root) * _SHARE_OF_DISK))


def prune(disk: Disk, limit: int, *, grace: float = GRACE, own_pin: str | None = None) -> Pruned:
    """Remove what is least worth keeping until the cache has at most `limit` bytes.

    Parameters
    ----------
    disk
        The cache.
    limit
        Bytes. What the last three runs of a pipeline reached stays even if that is more.
    grace
        Seconds for which everything stays.
    own_pin
        The pin of the run that prunes: it is over, and what it reached is noted.
    """
    try:
        disk.writer.make_folder(disk.folder.path("locks"))
        lock = Lock.take(disk.folder.path("locks", "prune"))
    except OSError:
        # Most often the disk is full. Two prunes at once do no harm, the lock only saves work.
        return _Prune(disk, limit, grace, own_pin).run()
    if lock is None:
        return Pruned(done=False)
    try:
        return _Prune(disk, limit, grace, own_pin).run()
    finally:
        lock.release(remove=True)


class _Prune:
    """One prune: what there is, what may go, and what went."""

    def __init__(self, disk: Disk, limit: int, grace: float, own_pin: str | None) -> None:
        self.disk = disk
        self.limit = limit
        self.packs = sorted(pack_files(disk), key=lambda pack: pack.used)
        self.references = blob_references(self.packs)
        self.blobs, self.blobs_used = _blob_sizes(disk)
        self.reached = reached(disk)
        self.now = self._now()
        living = living_since(disk, own_pin)
        self.before = self.now - grace if living is None else min(self.now - grace, living - _AHEAD)
        self.total = sum(pack.size for pack in self.packs) + sum(self.blobs.values())
        self.at_first = self.total
        self.removed_packs = self.removed_blobs = 0
        self.gone: list[tuple[bytes, bytes]] = []

    def run(self) -> Pruned:
        self._orphans()
        if self.total > self.limit:
            self._least_recently_used()
            note_pruned(self.disk, self.gone)
        _tidy(self.disk, self.before)
        return Pruned(self.at_first - self.total, self.removed_packs, self.removed_blobs, self.total)

    def _now(self) -> float:
        """The time; where files are from the future, the time of the newest, so that ages are never too long."""
        now = time.time()
        newest = max((pack.used for pack in self.packs), default=now)
        return min(now, newest) if newest > now + _AHEAD else now

    def _orphans(self) -> None:
        """Blobs that no record names, left by processes that died between the two."""
        new = self.now - IN_FLIGHT
        self._drop_blobs({b for b in self.blobs if b not in self.references and self.blobs_used[b] < new})

    def _least_recently_used(self) -> None:
        goal = int(self.limit * _DOWN_TO)
        mixed: list[PackFile] = []
        for pack in self.packs:
            if self.total <= goal:
                return
            if pack.used >= self.before:
                continue
            wanted = _wanted(pack, self.reached)
            if not wanted:
                self._drop_pack(pack)
            elif wanted < _count(pack) / 2:
                mixed.append(pack)
        for pack in mixed:
            if self.total > goal:
                self._thin_out(pack)

    def _drop_pack(self, pack: PackFile) -> None:
        if not _unused_since(pack, self.before) or not unlink(pack.path):
            return
        self.removed_packs += 1
        self.total -= pack.size
        self.gone += [(pack.family, key) for key in _keys(pack)]
        self._release(Counter(pack.blobs))

    def _thin_out(self, pack: PackFile) -> None:
        """Keep only what runs reached of a pack that is mostly something else."""
        family, reached_keys = pack.family, self.reached
        gone = Counter(
            row.check
            for segment in pack.segments or ()
            for entry, key in enumerate(segment.keys())
            if (row := segment.row(entry)).offset is None and not reached_keys.has(family, key)
        )
        keys = [key for key in _keys(pack) if not reached_keys.has(family, key)]
        with contextlib.suppress(OSError):  # no room for the new pack
            if rewrite(self.disk, family, pack.name, lambda s, e: reached_keys.has(family, s.key(e))):
                self._release(gone)
                self.gone += [(family, key) for key in keys]

    def _release(self, gone: Counter[bytes]) -> None:
        self.references -= gone
        self._drop_blobs({blob for blob in gone if blob in self.blobs and blob not in self.references})

    def _drop_blobs(self, blobs: set[bytes]) -> None:
        for blob in blobs:
            if self.blobs_used[blob] < self.before and remove_blobs(self.disk, {blob}, self.before):
                self.total -= self.blobs.pop(blob)
                self.removed_blobs += 1


def _blob_sizes(disk: Disk) -> tuple[dict[bytes, int], dict[bytes, float]]:
    """Bytes of each blob with its seal, and when it was last written or reused."""
    sizes: dict[bytes, int] = {}
    used: dict[bytes, float] = {}
    for blob, _, entry in disk.blob_files():
        with contextlib.suppress(FileNotFoundError):
            status = entry.stat()
            sizes[blob] = sizes.get(blob, 0) + status.st_size
            used[blob] = max(used.get(blob, 0.0), status.st_mtime)
    return sizes, used


def _count(pack: PackFile) -> int:
    return sum(segment.count for segment in pack.segments or ())


def _keys(pack: PackFile) -> Iterator[bytes]:
    return itertools.chain.from_iterable(segment.keys() for segment in pack.segments or ())


def _wanted(pack: PackFile, keep: Reached) -> int:
    return sum(keep.of(pack.family, segment.keys()) for segment in pack.segments or ())


def _unused_since(pack: PackFile, before: float) -> bool:
    """Look again right before removing: a run may have used the pack since it was listed."""
    try:
        return system.lstat(pack.path).st_mtime < before
    except OSError:
        return False


def _tidy(disk: Disk, before: float) -> None:
    """Files that dead processes left, all but the newest file in quarantine, locks that nobody holds."""
    for path in _dead_files(disk, before):
        unlink(path)
    aside = list(system.scan(disk.folder.path("quarantine")))
    aside.sort(key=lambda entry: entry.stat().st_ctime)
    for entry in aside[:-1]:
        unlink(entry.path)
    is_alone = leases.locks_are_common(disk.folder.root)
    for entry in list(system.scan(disk.folder.path("locks"))):
        with contextlib.suppress(OSError):
            kept = entry.name.endswith(".claims") or not is_alone
            if not (kept and entry.stat().st_mtime >= before) and (lock := Lock.take(entry.path)):
                lock.release(remove=True)


def _dead_files(disk: Disk, before: float) -> Iterator[str]:
    host = process_name().rpartition("-")[0]
    for entry in list(system.scan(disk.folder.path("tmp"))):
        owner, _, _ = entry.name.rpartition("-")
        named_host, _, pid = owner.rpartition("-")
        with contextlib.suppress(OSError):
            dead = named_host == host and pid.isdigit() and not is_alive(int(pid))
            if dead or entry.stat().st_mtime < before:
                yield entry.path
