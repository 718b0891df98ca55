"""Digests of byte and text parts, each part marked off by its length so that no two lists of parts read alike."""

from __future__ import annotations

from blake3 import blake3

FORMAT = b"jpipe-code-1"
"""Part of every fingerprint: a changed rule changes all of them, by changing this."""


def combine(*parts: bytes | str | memoryview) -> bytes:
    """The 32-byte BLAKE3 digest of a sequence of parts.

    Parameters
    ----------
    *parts : bytes or str or memoryview
        Text is taken as UTF-8, with lone surrogates allowed.

    Returns
    -------
    bytes
        32 bytes.
    """
    pieces: list[bytes | memoryview] = []
    for part in parts:
        raw = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        pieces.append(len(raw).to_bytes(8, "little"))
        pieces.append(raw)
    return blake3(b"".join(pieces)).digest()
