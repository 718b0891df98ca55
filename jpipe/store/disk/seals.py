"""Seals: signed notes that the bytes of a blob were checked, so that opening a large one need not read it.

A seal names a file by device, inode, size and times of change. It counts while the file has exactly these, which no
change of its bytes leaves as they are. There are two kinds: one that holds until the machine is started again, made at
once by whoever wrote the file, and one that holds for good, made when the file is known to be on the disk. So a blob
that a power loss tore is found out: it has no seal that counts, and is checked in full.
"""

from __future__ import annotations

import functools
import os
import struct
import time
from typing import NamedTuple

from jpipe.store.disk import system
from jpipe.store.disk.publish import Writer
from jpipe.store.disk.signing import SigningKey

__all__ = ["Identity", "Seals", "identity_of", "settled"]

_PURPOSE = b"jpipe seal 1"
_SEAL = struct.Struct("<8s40s16sd32s")
_MAGIC = b"jpipesl1"
_NUMBERS = struct.Struct("<QQQqq")
_FOR_GOOD = bytes(16)
_TRUSTED_UNSYNCED = 3600.0
_FINE_TICK = 20_000_000
_COARSE_TICK = 2_500_000_000
_ALL = (1 << 64) - 1


class Identity(NamedTuple):
    """What tells a file from any other and from itself after a change; times in nanoseconds."""

    device: int
    inode: int
    size: int
    mtime: int
    ctime: int

    def packed(self) -> bytes:
        """As 40 bytes."""
        return _NUMBERS.pack(self.device & _ALL, self.inode & _ALL, self.size, self.mtime, self.ctime)


def identity_of(status: os.stat_result) -> Identity:
    """The identity of a file, from its status."""
    return Identity(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def settled(identity: Identity) -> bool:
    """Whether a change of the file from now on would change its times: their clock ticks, some by 2 seconds."""
    newest = max(identity.mtime, identity.ctime)
    tick = _FINE_TICK if newest % 1_000_000_000 else _COARSE_TICK
    return time.time_ns() - newest > tick


class Seals:
    """The seals of one cache folder."""

    def __init__(self, writer: Writer, key: SigningKey) -> None:
        self._writer = writer
        self._key = key

    def write(self, folder: str, name: str, blob: bytes, identity: Identity, *, durable: bool) -> None:
        """Seal the file `name`, the blob with the 32-byte id `blob`; if not `durable`, until the machine restarts."""
        boot = _FOR_GOOD if durable else _boot()
        if not boot:
            return
        packed, now = identity.packed(), time.time()
        signature = self._key.sign(_PURPOSE, blob, packed + boot + struct.pack("<d", now))
        self._writer.replace(folder, name + ".seal", [_SEAL.pack(_MAGIC, packed, boot, now, signature)])

    def state(self, path: str, blob: bytes, identity: Identity) -> str | None:
        """``"durable"``, ``"unsynced"``, or None if no seal counts for the blob at `path`."""
        try:
            descriptor = system.open(path + ".seal", system.READ)
        except OSError:
            return None
        try:
            data = system.pread(descriptor, _SEAL.size, 0)
        except OSError:
            return None
        finally:
            system.close_read(descriptor)
        if len(data) != _SEAL.size:
            return None
        magic, packed, boot, sealed, signature = _SEAL.unpack(data)
        if magic != _MAGIC or packed != identity.packed():
            return None
        if not self._key.signed(signature, _PURPOSE, blob, packed + boot + struct.pack("<d", sealed)):
            return None
        if boot == _FOR_GOOD:
            return "durable"
        return "unsynced" if boot == _boot() and -60 < time.time() - sealed < _TRUSTED_UNSYNCED else None


@functools.cache
def _boot() -> bytes:
    return system.boot_id()
