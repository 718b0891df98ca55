"""The columns of packs that answer for very many items at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from jpipe.store.disk import system
from jpipe.store.format.memory_map import read_exactly
from jpipe.store.format.pack import IN_BLOB, Segment
from jpipe.store.format.pack_header import DETAILS_SIZE, HEADER, sizes

__all__ = ["PlainColumns", "key_columns", "plain_columns"]

_ROW = list(
    zip(
        ("check", "offset", "length", "shape", "details", "parts", "extra", "seconds", "created", "peak", "nbytes"),
        ("V32", "<u8", "<u4", "<u4", "<u8", "<u4", "<u4", "<f8", "<f8", "<u8", "<u8"),
        strict=True,
    )
)
"""`ROW` for numpy."""


class PlainColumns(NamedTuple):
    """Of many entries, which are plain, and the digests of all; of the plain ones the sums of bytes and seconds."""

    is_plain: Any
    contents: Any
    nbytes: int
    seconds: float


def plain_columns(segment: Segment, entries: Any) -> PlainColumns:
    """What `Segment.plain` says, of very many entries: `entries` is an array of their numbers."""
    import numpy as np

    start = DETAILS_SIZE.size + 32 * segment.count
    contents = np.frombuffer(segment.control, "V32", segment.count, start)[entries]
    rows = np.frombuffer(segment.control, _ROW, segment.count, start + 32 * segment.count)[entries]
    plain_shapes = [number for number, (_, code, reads) in enumerate(segment.shapes()) if not code and not reads]
    is_plain = (rows["offset"] != IN_BLOB) & (rows["parts"] == 0) & np.isin(rows["shape"], plain_shapes)
    plain = rows[is_plain]
    return PlainColumns(is_plain, contents, int(plain["nbytes"].sum()), float(plain["seconds"].sum()))


def key_columns(path: str) -> Iterator[bytes]:
    """The keys of a pack, joined, a segment at a time; nothing vouches for them.

    Raises
    ------
    TornPack
        If it is cut off.
    """
    descriptor = system.open(path, system.READ)
    try:
        size = system.fstat(descriptor).st_size
        start = 0
        while start < size:
            head = read_exactly(descriptor, HEADER.size, start)
            control, payload = sizes(head, size - start)
            yield read_exactly(descriptor, 32 * HEADER.unpack(head)[4], start + HEADER.size + DETAILS_SIZE.size)
            start += HEADER.size + control + payload
    finally:
        system.close_read(descriptor)
