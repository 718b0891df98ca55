"""What stands on disk as JSON, and the values it stands for: each kind is declared once, for both directions.

A file in the cache may be torn, of another version, or somebody else's. So what is read counts as hostile until it was
checked: every type, every range, every name of a field. `Malformed` says that something is not as it was written.

A codec is a pair of functions. They are put together as types are: ``many(row(Part, TEXT, maybe(WHOLE), DIGEST))``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

__all__ = [
    "BYTES",
    "COUNT",
    "DIGEST",
    "NUMBER",
    "TEXT",
    "TRUTH",
    "WHOLE",
    "Codec",
    "Malformed",
    "dump",
    "load",
    "many",
    "maybe",
    "named",
    "one_of",
    "row",
    "scalar",
    "table",
]

_MOST = 1 << 63


class Malformed(ValueError):
    """Something that was read is not what is written there."""


class Codec(NamedTuple):
    """How values of a kind are written, as what `json` takes, and how they are read and checked."""

    write: Callable[[Any], Any]
    read: Callable[[Any], Any]


def dump(codec: Codec, value: Any) -> bytes:
    """A value as bytes."""
    return json.dumps(codec.write(value), separators=(",", ":")).encode()


def load(codec: Codec, data: bytes) -> Any:
    """The value that `dump` was given.

    Raises
    ------
    Malformed
        If the bytes say anything else than `dump` writes.
    """
    try:
        plain = json.loads(data)
    except (ValueError, RecursionError):
        raise Malformed("it is not JSON") from None
    return codec.read(plain)


def many(codec: Codec, make: Callable[[Iterable[Any]], Any] = tuple) -> Codec:
    """A sequence, which `make` makes of the values that were read."""
    write, read = codec

    def read_many(plain: Any) -> Any:
        if type(plain) is not list:
            raise Malformed(f"a list, not {plain!r:.60}")
        return make([read(one) for one in plain])

    return Codec(lambda values: [write(value) for value in values], read_many)


def table(codec: Codec) -> Codec:
    """A mapping from texts."""
    write, read = codec

    def read_table(plain: Any) -> dict[str, Any]:
        if type(plain) is not dict:
            raise Malformed(f"a table, not {plain!r:.60}")
        return {name: read(one) for name, one in plain.items()}

    return Codec(lambda values: {name: write(value) for name, value in values.items()}, read_table)


def maybe(codec: Codec) -> Codec:
    """A value or None."""
    write, read = codec
    return Codec(
        lambda value: None if value is None else write(value), lambda plain: None if plain is None else read(plain)
    )


def row(make: Callable[..., Any], *codecs: Codec) -> Codec:
    """A tuple, as a list of its fields in their order; `make` takes them."""
    writes, reads = [codec.write for codec in codecs], [codec.read for codec in codecs]

    def read_row(plain: Any) -> Any:
        if type(plain) is not list or len(plain) != len(reads):
            raise Malformed(f"a list of {len(reads)}, not {plain!r:.60}")
        return make(*[read(one) for read, one in zip(reads, plain, strict=True)])

    return Codec(lambda value: [write(one) for write, one in zip(writes, value, strict=True)], read_row)


def named(make: Callable[..., Any], **codecs: Codec) -> Codec:
    """An object with these attributes, as a table that has exactly them; `make` takes them by name."""

    def read_named(plain: Any) -> Any:
        if type(plain) is not dict or plain.keys() != codecs.keys():
            raise Malformed(f"a table of {', '.join(codecs)}, not {plain!r:.60}")
        return make(**{name: codec.read(plain[name]) for name, codec in codecs.items()})

    return Codec(lambda value: {name: codec.write(getattr(value, name)) for name, codec in codecs.items()}, read_named)


def one_of(kinds: Iterable[Any]) -> Codec:
    """One of these texts, or a member of this enumeration by its value."""
    known: Mapping[Any, Any] = {getattr(kind, "value", kind): kind for kind in kinds}

    def read_kind(plain: Any) -> Any:
        if type(plain) is not str or plain not in known:
            raise Malformed(f"one of {', '.join(map(str, known))}, not {plain!r:.60}")
        return known[plain]

    return Codec(lambda kind: getattr(kind, "value", kind), read_kind)


def scalar(types: tuple[type, ...], check: Callable[[Any], bool], what: str) -> Codec:
    """A value that JSON has as it is, of exactly these types."""

    def read_scalar(plain: Any) -> Any:
        if type(plain) not in types or not check(plain):
            raise Malformed(f"{what}, not {plain!r:.60}")
        return plain

    return Codec(lambda value: value, read_scalar)


def _read_bytes(plain: Any) -> bytes:
    try:
        found = bytes.fromhex(plain)
    except (TypeError, ValueError):
        raise Malformed(f"bytes, not {plain!r:.80}") from None
    if found.hex() != plain:
        raise Malformed(f"bytes, not {plain!r:.80}")
    return found


def _read_digest(plain: Any) -> bytes:
    found = _read_bytes(plain)
    if len(found) != 32:
        raise Malformed(f"32 bytes, not {plain!r:.80}")
    return found


def _is_finite(value: float) -> bool:
    return math.isfinite(value) and abs(value) < _MOST


TEXT = scalar((str,), lambda _: True, "a text")
TRUTH = scalar((bool,), lambda _: True, "true or false")
WHOLE = scalar((int,), lambda value: -_MOST <= value < _MOST, "a whole number")
COUNT = scalar((int,), lambda value: 0 <= value < _MOST, "a number from 0")
NUMBER = scalar((int, float), _is_finite, "a number")
BYTES = Codec(bytes.hex, _read_bytes)
DIGEST = Codec(bytes.hex, _read_digest)
"""32 bytes."""
