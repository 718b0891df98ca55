"""Raw bytes inside an encoding: inline when short, by hash when long, and not hashed twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jpipe.digest.canonical import INLINE, Tag, count, hash_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["buffer", "hashed", "known"]


def buffer(data: Any) -> bytes:
    """The encoding of a contiguous buffer of bytes."""
    size = len(data)
    return Tag.BUFFER + count(size) + (bytes(data) if size <= INLINE else hash_bytes(data))


def hashed(size: int, digest: bytes) -> bytes:
    """The encoding of a buffer of more than `INLINE` bytes whose BLAKE3 hash is known."""
    return Tag.BUFFER + count(size) + digest


def known(buffers: Mapping[tuple[int, int], bytes], address: int, size: int) -> bytes | None:
    """The encoding of the buffer at an address, if it was hashed before and is long enough to enter by its hash."""
    digest = buffers.get((address, size)) if size > INLINE else None
    return None if digest is None else hashed(size, digest)
