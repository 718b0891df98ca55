"""The key of a call: what its result is filed under.

::

    key(item)        = H("jpipe key 1", fingerprint, name, digest, name, digest, ...)   by parameter, in their order
    key(mapped call) = H("jpipe map 1", fingerprint, name, kind, digest, ...)

A key holds no name and no place of a step, so renaming or moving one keeps its results. An item of a mapped call has
the key of the plain call with the same arguments. An argument that is the result of another call enters by the digest
of that result. Where more than code and arguments counts, `key_base` stands for the fingerprint::

    base = H("jpipe base 1", fingerprint, what the step says of its arguments, number among equal calls)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from blake3 import blake3

__all__ = ["item_key", "item_keys", "key_base", "map_key"]

Arguments = Sequence[tuple[str, bytes]]


def item_key(fingerprint: bytes, arguments: Arguments) -> bytes:
    """The key of a plain call or of one item, 32 bytes.

    Parameters
    ----------
    fingerprint
        Digest of the step's code.
    arguments
        (parameter name, digest), in the order of the signature.
    """
    return blake3(_ITEM + fingerprint + b"".join(_framed(name) + digest for name, digest in arguments)).digest()


def item_keys(
    fingerprint: bytes, fixed: Arguments, over: Sequence[tuple[str, Sequence[bytes]]], order: Sequence[str]
) -> list[bytes]:
    """The keys of many items of one mapped call.

    Parameters
    ----------
    fixed
        What is the same for all items.
    over
        By mapped parameter, the digests of its elements; all of one length.
    order
        Parameter names in the order of the signature.
    """
    constant = dict(fixed)
    mapped = dict(over)
    pieces: list[bytes | Sequence[bytes]] = []
    run = _ITEM + fingerprint
    for name in order:
        if name in constant:
            run += _framed(name) + constant[name]
        elif name in mapped:
            pieces += [run + _framed(name), mapped[name]]
            run = b""
    if len(pieces) == 2:
        head, digests = pieces
        return [blake3(b"".join((head, digest, run))).digest() for digest in digests]  # type: ignore[arg-type]
    columns: list[Iterable[bytes]] = [p if not isinstance(p, bytes) else _repeat(p, over) for p in pieces]
    return [blake3(b"".join(row) + run).digest() for row in zip(*columns, strict=True)]


def map_key(fingerprint: bytes, fixed: Arguments, over: Arguments) -> bytes:
    """The key of a mapped call as a whole.

    Parameters
    ----------
    fixed
        What is the same for all items.
    over
        By mapped parameter, the digest of the list of its elements.
    """
    parts = [_framed(name) + b"=" + digest for name, digest in fixed]
    parts += [_framed(name) + b"*" + digest for name, digest in over]
    return blake3(_MAP + fingerprint + b"".join(parts)).digest()


def key_base(fingerprint: bytes, rules: bytes, occurrence: bytes = b"") -> bytes:
    """What keys begin with in place of the fingerprint; the fingerprint itself where nothing else counts.

    Parameters
    ----------
    fingerprint
        Digest of the step's code.
    rules
        What the step says of how its arguments count, or nothing.
    occurrence
        Which of several equal calls it is; nothing for the first.
    """
    if not rules and not occurrence:
        return fingerprint
    return blake3(_BASE + fingerprint + len(rules).to_bytes(4, "little") + rules + occurrence).digest()


_BASE = b"jpipe base 1\0"
_ITEM = b"jpipe key 1\0"
_MAP = b"jpipe map 1\0"


def _framed(name: str) -> bytes:
    raw = name.encode()
    return len(raw).to_bytes(4, "little") + raw


def _repeat(piece: bytes, over: Sequence[tuple[str, Sequence[bytes]]]) -> list[bytes]:
    return [piece] * len(over[0][1])
