"""Blobs: one value in one file, checked before anything of it is unpickled, its arrays mapped.

::

    0      header, 64 bytes: magic, offset and length of the control section
    64     buffers, each at a multiple of 64 bytes (4096 for those of 1 MiB or more)
    ...    control section: codec, mapped?, number of buffers | offset, length of each | BLAKE3 of each | pickle stream

The id of a blob is the BLAKE3 of its control section. Through the digests in it, it vouches for every byte.
"""

from __future__ import annotations

import contextlib
import functools
import os
import struct
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from jpipe.digest.canonical import hash_bytes
from jpipe.store.disk import system
from jpipe.store.disk.publish import Buffer, Writer
from jpipe.store.disk.seals import Identity, Seals, identity_of, settled
from jpipe.store.disk.signing import SigningKey
from jpipe.store.format.encode import Encoded, decode
from jpipe.store.format.memory_map import SCARCE, Mode, map_file, read_exactly, read_file
from jpipe.store.format.records import CorruptEntry, MissingEntry, UnreadableEntry

__all__ = ["Blobs", "blob_id", "blob_name"]

_MAGIC = b"jpipebl1"
_HEADER = struct.Struct("<8sQQ40x")
_COUNTS = struct.Struct("<BBxxI")
_ENTRY = struct.Struct("<QQ")
_ALIGNED, _PAGE, _PAGED_FROM = 64, 4096, 1 << 20
_REMEMBERED = 200_000


def blob_name(blob: bytes) -> tuple[str, str]:
    """The folder, below ``blobs``, and the name of a blob's file."""
    text = blob.hex()
    return text[:2], text[2:]


def blob_id(folder: str, name: str) -> bytes | None:
    """The id of the blob in the file `name`; None for a file that is not a blob."""
    if len(folder) != 2 or len(name) != 62:
        return None
    try:
        return bytes.fromhex(folder + name)
    except ValueError:
        return None


class Control(NamedTuple):
    """A control section that was checked against the blob's id."""

    codec: int
    mapped: bool
    table: tuple[tuple[int, int], ...]
    digests: tuple[bytes, ...]
    stream: memoryview
    offset: int


class Blobs:
    """The blobs of one cache folder."""

    def __init__(self, writer: Writer, key: SigningKey) -> None:
        self._writer = writer
        self._seals = Seals(writer, key)
        self._checked: dict[bytes, Identity] = {}

    def path(self, blob: bytes) -> str:
        """Where the blob is."""
        return self._writer.folder.path("blobs", *blob_name(blob))

    def write(self, encoded: Encoded, *, mapped: bool) -> bytes:
        """Write a value, unless a sound blob of it is there; return its id.

        `mapped` values are mapped when they are loaded.
        """
        body = _Body(encoded, mapped)

        def place() -> str | None:
            if self._reuse(body.blob, body.size):
                return None
            self._writer.make_folder(os.path.dirname(self.path(body.blob)))
            return self.path(body.blob)

        if encoded.hashing is None and place() is None:
            return body.blob
        status = self._writer.publish_late(body, place if encoded.hashing else lambda: self.path(body.blob))
        if status is not None:
            identity = identity_of(status)
            self._remember(body.blob, identity)
            folder, name = blob_name(body.blob)
            self._seals.write(self._writer.folder.path("blobs", folder), name, body.blob, identity, durable=False)
        return body.blob

    def load(self, blob: bytes, mode: Mode) -> Any:
        """The value of a blob.

        Raises
        ------
        MissingEntry
            If it is not there; `CorruptEntry` if it was damaged and is set aside now.
        """
        try:
            control, buffers = self._opened(blob, mode)
        except CorruptEntry:
            self.set_aside(blob)
            raise
        try:
            return decode(control.codec, control.stream, buffers)
        except MemoryError:
            raise
        except Exception as error:
            raise UnreadableEntry(f"the result cannot be unpickled: {type(error).__name__}: {error}") from error

    def receive(self, blob: bytes, fill: Callable[[str], None]) -> None:
        """Take in a blob from elsewhere: `fill` writes its file at a path, and it counts once it was checked.

        Raises
        ------
        MissingEntry
            If it cannot be read; `CorruptEntry` if it is not what its id stands for.
        """
        path = self.path(blob)

        def check(beside: str) -> None:
            with _as_entry(beside) as descriptor:
                size = system.fstat(descriptor).st_size
                control = _read_control(descriptor, size, blob)
                _check_buffers(control, _buffers(descriptor, control, size, beside, "r" if control.mapped else None))

        if self._writer.take_in(fill, check, path):
            identity = identity_of(system.lstat(path))
            self._remember(blob, identity)
            folder, name = blob_name(blob)
            self._seals.write(self._writer.folder.path("blobs", folder), name, blob, identity, durable=False)

    def is_sound(self, blob: bytes) -> bool:
        """Whether a blob is there and as it was written; it is read only if its file was touched since."""
        path = self.path(blob)
        try:
            identity = identity_of(system.lstat(path))
        except OSError:
            return False
        if self._known(path, blob, identity):
            return True
        try:
            self._opened(blob, None)
        except CorruptEntry:
            self.set_aside(blob)
            return False
        except MissingEntry:
            return False
        return True

    def check(self, blob: bytes) -> None:
        """Read every byte of a blob; raises like `load` and leaves the file where it is."""
        self._opened(blob, None, trusting=False)

    def set_aside(self, blob: bytes) -> None:
        """Move a damaged blob out of the way, so that the next result of this content is written anew."""
        self._checked.pop(blob, None)
        path = self.path(blob)
        with contextlib.suppress(OSError):
            system.unlink(path + ".seal")
        try:
            self._writer.make_folder(self._writer.folder.path("quarantine"))
            system.replace(path, self._writer.folder.path("quarantine", blob.hex()))
        except OSError:
            with contextlib.suppress(OSError):
                system.unlink(path)

    def sync(self, blob: bytes) -> None:
        """Wait until a blob is on the disk, and seal it for good if its bytes are known to be right.

        Raises
        ------
        Unflushed
            If the disk reports a failure; what it holds is unknown then. Other errors say nothing of it.
        """
        path = self.path(blob)
        descriptor = system.open(path, system.READ)
        try:
            identity = identity_of(system.fstat(descriptor))
            state = self._seals.state(path, blob, identity)
            if state == "durable":
                return
            system.flush(descriptor)
        finally:
            system.close_read(descriptor)
        if state == "unsynced" or self._checked.get(blob) == identity:
            with contextlib.suppress(OSError):
                self._seal_for_good(blob, identity)

    def _opened(self, blob: bytes, mode: Mode, *, trusting: bool = True) -> tuple[Control, list[Any]]:
        path = self.path(blob)
        with _as_entry(path) as descriptor:
            identity = identity_of(system.fstat(descriptor))
            control = _read_control(descriptor, identity.size, blob)
            known = trusting and control.mapped and self._known(path, blob, identity)
            buffers = _buffers(descriptor, control, identity.size, path, mode if control.mapped else None)
            if not known:
                _check_buffers(control, buffers)
                self._trust(descriptor, blob, identity)
        return control, buffers

    def _known(self, path: str, blob: bytes, identity: Identity) -> bool:
        """Whether the buffers of this very file were found right before."""
        if self._checked.get(blob) == identity:
            return True
        if self._seals.state(path, blob, identity) is None:
            return False
        self._remember(blob, identity)
        return True

    def _trust(self, descriptor: int, blob: bytes, identity: Identity) -> None:
        """After a check: remember it, and seal the blob if it is old enough to be told from a later change."""
        if not settled(identity):
            return
        self._remember(blob, identity)
        with contextlib.suppress(OSError):
            system.fsync(descriptor)
            self._seal_for_good(blob, identity)

    def _seal_for_good(self, blob: bytes, identity: Identity) -> None:
        folder, name = blob_name(blob)
        self._seals.write(self._writer.folder.path("blobs", folder), name, blob, identity, durable=True)

    def _remember(self, blob: bytes, identity: Identity) -> None:
        if len(self._checked) >= _REMEMBERED:
            self._checked.clear()
        self._checked[blob] = identity

    def _reuse(self, blob: bytes, size: int) -> bool:
        """Whether a sound blob is there already, marked as used now; what else is there is set aside."""
        path = self.path(blob)
        try:
            if system.lstat(path).st_size != size:
                raise CorruptEntry(path)
            self._opened(blob, "r")
        except FileNotFoundError:
            return False
        except MissingEntry:
            self.set_aside(blob)
            return False
        try:
            system.utime(path + ".seal")
        except OSError:
            return system.exists(path)
        return True


@contextlib.contextmanager
def _as_entry(path: str) -> Iterator[int]:
    """The file at `path`, open; failures to read it become misses, running out of memory or descriptors does not."""
    try:
        descriptor = system.open(path, system.READ)
        try:
            yield descriptor
        finally:
            system.close_read(descriptor)
    except OSError as error:
        if error.errno in SCARCE:
            raise
        raise MissingEntry(f"{path}: {error.strerror}") from None


def _layout(encoded: Encoded) -> tuple[list[tuple[int, int]], int]:
    """(offset, length) of each buffer, and the offset of the control section."""
    table, end = [], _HEADER.size
    for buffer in encoded.buffers:
        step = _PAGE if len(buffer) >= _PAGED_FROM else _ALIGNED
        start = -(-end // step) * step
        end = start + len(buffer)
        table.append((start, len(buffer)))
    return table, end


class _Body:
    """The bytes of a blob, from the first to the last; what depends on the digests of the buffers comes last."""

    def __init__(self, encoded: Encoded, mapped: bool) -> None:
        self.encoded = encoded
        self.mapped = mapped
        self.table, self.end = _layout(encoded)
        count = len(self.table)
        self.control_size = _COUNTS.size + count * (_ENTRY.size + 32) + len(encoded.stream)

    @property
    def size(self) -> int:
        """Of the file, in bytes."""
        return self.end + self.control_size

    @functools.cached_property
    def control(self) -> bytes:
        """The control section."""
        counts = _COUNTS.pack(self.encoded.codec, self.mapped, len(self.table))
        entries = (_ENTRY.pack(*entry) for entry in self.table)
        return b"".join((counts, *entries, *self.encoded.digests, self.encoded.stream))

    @functools.cached_property
    def blob(self) -> bytes:
        """The id."""
        return hash_bytes(self.control)

    def __iter__(self) -> Iterator[Buffer]:
        yield _HEADER.pack(_MAGIC, self.end, self.control_size)
        position = _HEADER.size
        for (start, length), buffer in zip(self.table, self.encoded.buffers, strict=True):
            if start > position:
                yield bytes(start - position)
            yield buffer
            position = start + length
        yield self.control


def _read_control(descriptor: int, size: int, blob: bytes) -> Control:
    """Read the control section and check it; nothing in it is believed before its digest is right."""
    header = read_exactly(descriptor, _HEADER.size, 0)
    if len(header) != _HEADER.size:
        raise CorruptEntry(f"blob {blob.hex()} is cut off")
    magic, offset, length = _HEADER.unpack(header)
    if magic != _MAGIC or offset < _HEADER.size or length < _COUNTS.size or offset + length != size:
        raise CorruptEntry(f"blob {blob.hex()} has a damaged header")
    data = read_exactly(descriptor, length, offset)
    if len(data) != length or hash_bytes(data) != blob:
        raise CorruptEntry(f"blob {blob.hex()} has a damaged control section")
    return _parse_control(data, offset, blob)


def _parse_control(data: bytes, offset: int, blob: bytes) -> Control:
    codec, mapped, count = _COUNTS.unpack_from(data)
    digests_at = _COUNTS.size + count * _ENTRY.size
    stream_at = digests_at + 32 * count
    if stream_at > len(data):
        raise CorruptEntry(f"blob {blob.hex()} names more buffers than it has")
    table = tuple(_ENTRY.iter_unpack(memoryview(data)[_COUNTS.size : digests_at]))
    end = _HEADER.size
    for start, length in table:
        if start < end or start + length > offset:
            raise CorruptEntry(f"blob {blob.hex()} has buffers outside of their place")
        end = start + length
    digests = tuple(data[at : at + 32] for at in range(digests_at, stream_at, 32))
    return Control(codec, bool(mapped), table, digests, memoryview(data)[stream_at:], offset)


def _buffers(descriptor: int, control: Control, size: int, path: str, mode: Mode) -> list[Any]:
    if not control.table:
        return []
    if mode is not None:
        flat = map_file(descriptor, size, path, mode)
        if flat is not None:
            return [flat[start : start + length] for start, length in control.table]
    first = control.table[0][0]
    data = read_file(descriptor, first, control.offset)
    if len(data) != control.offset - first:
        raise CorruptEntry(f"{path} is cut off")
    return [data[start - first : start - first + length] for start, length in control.table]


def _check_buffers(control: Control, buffers: list[Any]) -> None:
    for buffer, digest in zip(buffers, control.digests, strict=True):
        if hash_bytes(memoryview(buffer)) != digest:
            raise CorruptEntry("the bytes of an array are not what was written")
