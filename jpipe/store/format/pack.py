"""Packs: the records of many calls in one file, with the small results themselves.

A pack is a row of segments. A chunk of calls is published as a pack of one segment; merging packs strings their
segments together. Segments and packs belong to a family, all calls with one fingerprint of code::

    segment = header   magic, id of the key, length of control and payload, number of entries, signature: 72 bytes
            | control  size of details | keys, 32 bytes each | contents, 32 bytes each | rows | details | shapes
            | payload  the encoded small values

What entries are asked for by the thousand (keys, contents) stands in columns. `details` are the arguments' digests,
the digests of parts and the extra bytes; `shapes` (JSON) is what many entries have in common: names of arguments, code
inside, files read. The signature covers the family and the control section; each row has the BLAKE3 of its value's
bytes, or a blob's id.
"""

from __future__ import annotations

import hmac
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, NamedTuple

from blake3 import blake3

from jpipe.model.record_codec import Malformed, dump, load
from jpipe.store.disk import system
from jpipe.store.disk.signing import SigningKey
from jpipe.store.format.memory_map import read_exactly
from jpipe.store.format.pack_codec import SHAPES, Shape, parts_from, parts_to
from jpipe.store.format.pack_header import DETAILS_SIZE, HEADER, MAGIC, ROW, ForeignPack, TornPack, sign, sizes
from jpipe.store.format.records import BlobPlace, NewRecord, PackPlace, PlainRecords, Record, Where

__all__ = [
    "IN_BLOB", "ForeignPack", "PackBuilder", "Row", "Segment", "TornPack", "parse_pack", "read_pack",
    "resigned",
]  # fmt: skip

IN_BLOB = (1 << 64) - 1

Details = tuple[bytes, bytes, bytes]

_CHECKED_UP_TO = 1 << 20
"""Of packs up to this size the values are checked when records are read; of larger ones each when it is loaded."""


class Row(NamedTuple):
    """The fixed part of an entry.

    `check` is the BLAKE3 of the value's bytes in the payload, or the id of its blob (`offset` is None then). `shape`
    and `details` say where the rest of the entry is, `parts` and `extra` how long that is, in bytes.
    """

    check: bytes
    offset: int | None
    length: int
    shape: int
    details: int
    parts: int
    extra: int
    seconds: float
    created: float
    peak_memory: int
    nbytes: int


@dataclass(slots=True, eq=False, repr=False)
class Segment:
    """A segment whose signature was checked.

    `pack` is the name of its file, `start` where it begins there, `payload` where its values begin, `stop` its end.
    `damaged` are entries whose values are known to be damaged: they do not count.
    """

    family: bytes
    pack: str
    start: int
    payload: int
    stop: int
    count: int
    control: bytes
    damaged: frozenset[int] = frozenset()
    _shapes: list[Shape] | None = None

    def keys(self) -> list[bytes]:
        """The keys of all entries."""
        start = DETAILS_SIZE.size
        control = self.control
        return [control[at : at + 32] for at in range(start, start + 32 * self.count, 32)]

    def key_column(self) -> memoryview:
        """The keys of all entries, joined."""
        return memoryview(self.control)[DETAILS_SIZE.size : DETAILS_SIZE.size + 32 * self.count]

    def content(self, entry: int) -> bytes:
        """Digest of the value of an entry."""
        start = DETAILS_SIZE.size + 32 * (self.count + entry)
        return self.control[start : start + 32]

    def key(self, entry: int) -> bytes:
        """The key of an entry."""
        start = DETAILS_SIZE.size + 32 * entry
        return self.control[start : start + 32]

    def row(self, entry: int) -> Row:
        """The fixed part of an entry."""
        check, offset, *rest = self._row(entry)
        return Row(check, None if offset == IN_BLOB else offset, *rest)

    def blobs(self) -> Iterator[bytes]:
        """The ids of the blobs that entries name, as often as they do."""
        start = DETAILS_SIZE.size + 64 * self.count
        rows = memoryview(self.control)[start : start + ROW.size * self.count]
        return (row[0] for row in ROW.iter_unpack(rows) if row[1] == IN_BLOB)

    def shape(self, row: Row) -> Shape:
        """What an entry shares with others: names of arguments, code, reads."""
        return self.shapes()[row.shape]

    def shapes(self) -> list[Shape]:
        """All shapes, by number."""
        if self._shapes is None:
            start = self._details_at + DETAILS_SIZE.unpack_from(self.control)[0]
            self._shapes = load(SHAPES, self.control[start:])
        return self._shapes

    def shape_number(self, entry: int) -> int:
        """Entries with equal numbers have equal shapes."""
        number: int = self._row(entry)[3]
        return number

    def details(self, row: Row, arguments: int) -> Details:
        """The digests of the arguments, joined; the encoded digests of parts; the extra bytes."""
        start = self._details_at + row.details
        parts = start + 32 * arguments
        extra = parts + row.parts
        return self.control[start:parts], self.control[parts:extra], self.control[extra : extra + row.extra]

    def place_of(self, entry: int) -> Where:
        """Where the value of an entry is."""
        check, offset, length, *_ = self._row(entry)
        if offset == IN_BLOB:
            return BlobPlace(check)
        return PackPlace(self.family, self.key(entry), self.pack, self.payload + offset, length, check)

    def record(self, entry: int) -> Record:
        """An entry in full."""
        control, count = self.control, self.count
        keys_at = DETAILS_SIZE.size + 32 * entry
        contents_at = keys_at + 32 * count
        rows_at = DETAILS_SIZE.size + 64 * count
        row = ROW.unpack_from(control, rows_at + ROW.size * entry)
        check, offset, length, shape, details, parts, extra, seconds, created, peak_memory, nbytes = row
        names, code, reads = self.shapes()[shape]
        key = control[keys_at : keys_at + 32]
        at = rows_at + ROW.size * count + details
        arguments = []
        for name in names:
            arguments.append((name, control[at : at + 32]))
            at += 32
        part_digests, part_code = parts_from(control[at : at + parts]) if parts else (None, {})
        at += parts
        where: Where
        if offset == IN_BLOB:
            where = BlobPlace(check)
        else:
            where = PackPlace(self.family, key, self.pack, self.payload + offset, length, check)
        return Record(
            key,
            control[contents_at : contents_at + 32],
            code,
            part_digests,
            part_code,
            tuple(arguments),
            reads,
            seconds,
            peak_memory,
            nbytes,
            created,
            where,
            control[at : at + extra],
        )

    def plain(self, entry: int) -> tuple[bytes, int, float] | None:
        """Digest, bytes and seconds of a value of this pack that holds no code and came of no file; None for others."""
        row = self._row(entry)
        _, code, reads = self.shapes()[row[3]]
        if code or reads or row[1] == IN_BLOB or row[5]:
            return None
        return self.content(entry), row[10], row[7]

    def _row(self, entry: int) -> tuple[Any, ...]:
        return ROW.unpack_from(self.control, DETAILS_SIZE.size + 64 * self.count + ROW.size * entry)

    @property
    def _details_at(self) -> int:
        return DETAILS_SIZE.size + (64 + ROW.size) * self.count


@dataclass(slots=True, eq=False, repr=False)
class PackBuilder:
    """Collects entries and writes them as one segment.

    `payload_at` is where the values begin in it, known after `chunks`.
    """

    family: bytes
    keys: list[bytes] = field(default_factory=list)
    contents: list[bytes] = field(default_factory=list)
    rows: list[bytes] = field(default_factory=list)
    details: list[bytes] = field(default_factory=list)
    payload: list[bytes] = field(default_factory=list)
    shapes: dict[Shape, int] = field(default_factory=dict)
    payload_at: int = 0
    _details_size: int = 0
    _payload_size: int = 0

    def add(self, record: NewRecord, value: bytes | None, check: bytes, created: float) -> None:
        """An entry for `record`, with its small `value`, or with the id of a blob as `check`."""
        stored = record.stored
        names = tuple([name for name, _ in record.arguments])
        digests = b"".join([digest for _, digest in record.arguments])
        times = (record.seconds, created, record.peak_memory, stored.nbytes)
        self._add(
            (record.key, stored.content, check),
            value,
            (names, stored.code, record.reads),
            (digests, parts_to(stored), record.extra),
            times,
        )

    def add_plain(self, records: PlainRecords, created: float) -> None:
        """An entry for each of these records."""
        names = tuple([name for name, _ in records.arguments])
        shape = self.shapes.setdefault((names, (), ()), len(self.shapes))
        columns = [_split(column) for _, column in records.arguments]
        offset, details, size = self._payload_size, self._details_size, 32 * len(names)
        for payload, seconds, peak in zip(records.payloads, records.seconds, records.peaks, strict=True):
            check, length = blake3(payload).digest(), len(payload)
            times = seconds, created, peak, length - 1
            self.rows.append(ROW.pack(check, offset, length, shape, details, 0, 0, *times))
            offset += length
            details += size
        self.keys += _split(records.keys)
        self.contents.append(records.contents)
        self.details += chain.from_iterable(zip(*columns, strict=True))
        self.payload += records.payloads
        self._payload_size, self._details_size = offset, details

    def copy(self, segment: Segment, entry: int, value: bytes | None) -> None:
        """An entry of another segment."""
        row = segment.row(entry)
        shape = segment.shape(row)
        digests = (segment.key(entry), segment.content(entry), row.check)
        times = (row.seconds, row.created, row.peak_memory, row.nbytes)
        self._add(digests, value, shape, segment.details(row, len(shape[0])), times)

    def chunks(self, key: SigningKey) -> list[bytes]:
        """The bytes of the segment."""
        shapes = dump(SHAPES, self.shapes)
        size = DETAILS_SIZE.pack(self._details_size)
        control = b"".join((size, *self.keys, *self.contents, *self.rows, *self.details, shapes))
        fixed = (MAGIC, key.id, len(control), self._payload_size, len(self.keys))
        signature = sign(key, self.family, fixed, control)
        self.payload_at = HEADER.size + len(control)
        return [HEADER.pack(*fixed, signature), control, *self.payload]

    def _add(
        self,
        digests: tuple[bytes, bytes, bytes],
        value: bytes | None,
        shape: Shape,
        details: Details,
        times: tuple[float, float, int, int],
    ) -> None:
        number = self.shapes.setdefault(shape, len(self.shapes))
        offset, length = (IN_BLOB, 0) if value is None else (self._payload_size, len(value))
        key, content, check = digests
        self.keys.append(key)
        self.contents.append(content)
        self.rows.append(ROW.pack(check, offset, length, number, self._details_size, *map(len, details[1:]), *times))
        self.details += details
        self._details_size += sum(map(len, details))
        if value is not None:
            self.payload.append(value)
            self._payload_size += length


def _split(joined: bytes) -> list[bytes]:
    return [joined[at : at + 32] for at in range(0, len(joined), 32)]


def read_pack(
    path: str, family: bytes, pack: str, key: SigningKey | None, *, has_readers: bool = False
) -> list[Segment]:
    """Read a pack and check every segment of it; without a key, only so far that its numbers can be used.

    Where it `has_readers`, who want to know what can be loaded, the values of a small one are checked too.

    Raises
    ------
    TornPack
        If a byte of what is signed is wrong; `ForeignPack` if it was signed with another key.
    FileNotFoundError
        If it was merged or pruned.
    """
    descriptor = system.open(path, system.READ)
    try:
        size = system.fstat(descriptor).st_size
        segments: list[Segment] = []
        start = 0
        while start < size or not segments:
            segment = _read_segment(descriptor, start, size, family, pack, key)
            segments.append(segment)
            start = segment.stop
        if has_readers and key is not None and size <= _CHECKED_UP_TO:
            content = memoryview(read_exactly(descriptor, size, 0))
            for segment in segments:
                segment.damaged = _damaged(segment, content)
        return segments
    finally:
        system.close_read(descriptor)


def parse_pack(data: bytes, family: bytes, pack: str, key: SigningKey) -> list[Segment]:
    """The segments of a pack in memory, every byte of them checked; raises like `read_pack`."""
    segments: list[Segment] = []
    start = 0
    while start < len(data) or not segments:
        control = sizes(data[start : start + HEADER.size], len(data) - start)[0]
        head = data[start : start + HEADER.size + control]
        segments.append(_segment(head, start, len(data), family, pack, key))
        start = segments[-1].stop
    if any(_damaged(segment, memoryview(data)) for segment in segments):
        raise TornPack("a value is damaged")
    return segments


def resigned(data: bytes, segments: list[Segment], key: SigningKey) -> list[bytes]:
    """The bytes of a pack that was checked, as if `key` had signed it."""
    chunks: list[bytes] = []
    for segment in segments:
        magic, _, *counts, _ = HEADER.unpack_from(data, segment.start)
        fixed = (magic, key.id, *counts)
        signature = sign(key, segment.family, fixed, segment.control)
        chunks += [HEADER.pack(*fixed, signature), data[segment.start + HEADER.size : segment.stop]]
    return chunks


def _damaged(segment: Segment, content: memoryview) -> frozenset[int]:
    """The entries of a small pack whose values are damaged, so that this is known although nobody loads them."""
    start = DETAILS_SIZE.size + 64 * segment.count
    rows = memoryview(segment.control)[start : start + ROW.size * segment.count]
    found = []
    for entry, (check, offset, length, *_) in enumerate(ROW.iter_unpack(rows)):
        if offset != IN_BLOB:
            at = segment.payload + offset
            if blake3(content[at : at + length]).digest() != check:
                found.append(entry)
    return frozenset(found)


def _read_segment(descriptor: int, start: int, size: int, family: bytes, pack: str, key: SigningKey | None) -> Segment:
    head = read_exactly(descriptor, min(4096, size - start), start)
    control_size = sizes(head, size - start)[0]
    if HEADER.size + control_size > len(head):
        head += read_exactly(descriptor, HEADER.size + control_size - len(head), start + len(head))
    return _segment(head, start, size, family, pack, key)


def _segment(head: bytes, start: int, size: int, family: bytes, pack: str, key: SigningKey | None) -> Segment:
    control_size, payload_size = sizes(head, size - start)
    *fixed, signature = HEADER.unpack_from(head)
    control = head[HEADER.size : HEADER.size + control_size]
    if len(control) != control_size:
        raise TornPack("cut off")
    if key is not None and fixed[1] != key.id:
        raise ForeignPack("signed with another key")
    if key is not None and not hmac.compare_digest(signature, sign(key, family, tuple(fixed), control)):
        raise TornPack("wrong signature")
    payload = start + HEADER.size + control_size
    segment = Segment(family, pack, start, payload, payload + payload_size, fixed[4], control)
    if key is not None:
        try:
            segment.shapes()
        except (Malformed, struct.error):
            raise TornPack("what its entries have in common cannot be read") from None
    return segment
