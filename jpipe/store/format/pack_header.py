"""What a segment of a pack begins with: its sizes, and the signature over all that follows from them."""

from __future__ import annotations

import struct
from typing import Any

from blake3 import blake3

from jpipe.store.disk.signing import SigningKey

__all__ = ["DETAILS_SIZE", "HEADER", "MAGIC", "ROW", "ForeignPack", "TornPack", "sign", "sizes"]

_PURPOSE = b"jpipe pack 1"
MAGIC = b"jpipepk1"
HEADER = struct.Struct("<8s8sQQI4x32s")
DETAILS_SIZE = struct.Struct("<Q")
ROW = struct.Struct("<32sQIIQIIddQQ")


class TornPack(Exception):
    """A pack that is cut off, damaged or not signed as it should be."""


class ForeignPack(TornPack):
    """A pack that another key signed."""


def sizes(head: bytes, available: int) -> tuple[int, int]:
    """Sizes of control section and payload, within what the file has."""
    if len(head) < HEADER.size:
        raise TornPack("cut off")
    magic, _, control, payload, count, _ = HEADER.unpack_from(head)
    if magic != MAGIC or HEADER.size + control + payload > available:
        raise TornPack("damaged header")
    if control < DETAILS_SIZE.size + (64 + ROW.size) * count:
        raise TornPack("more entries than fit")
    return control, payload


def sign(key: SigningKey, family: bytes, fixed: tuple[Any, ...], control: bytes) -> bytes:
    """The signature of a segment, whose family and control section it covers; `fixed` is the header without it."""
    return key.sign(_PURPOSE, family, blake3(control).digest(), HEADER.pack(*fixed, b"")[:40])
