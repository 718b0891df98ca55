"""The canonical byte stream of values: its tags, its short form, and the nodes it is assembled from.

Every value has one *encoding*, and equal values have equal encodings. Encodings are prefix-free (each begins with a tag
that says how it ends), so their concatenation is unambiguous. An encoding is made from the value alone, never from
where it sits, so that it can be computed once for an object that is used in many places.

Numbers, strings, bytes, lists, tuples and dicts are encoded as `marshal` writes them in version 2, a format without
back references; the other tags are control characters, which `marshal` does not use.
"""

from __future__ import annotations

import contextlib
import marshal
import os
import struct
from collections.abc import Callable, Sequence
from itertools import repeat
from typing import Any, Final

from blake3 import blake3

__all__ = [
    "INLINE",
    "PREFIX",
    "SCALARS",
    "Name",
    "Node",
    "Refused",
    "Tag",
    "count",
    "field",
    "hash_bytes",
    "hash_root",
    "new_hash",
    "scalar",
    "scalars",
    "short",
]

# Longer encodings of containers and objects are replaced by their hash. Shared objects are encoded once, so that this
# keeps a chain of pairs of one shared object linear in time and space.
INLINE: Final = 512

# BLAKE3 gains from threads only above this many bytes; below, handing work over costs more than it saves.
_THREADED = 1 << 20

PREFIX = b"jpipe value 1\0"

SCALARS: Final[frozenset[type]] = frozenset({int, float, str, bytes, bool, type(None), complex, type(...)})

_NUMBERS: Final[dict[type, tuple[Callable[[int, Any], bytes], int]]] = {
    int: (struct.Struct("<Bi").pack, ord("i")),
    float: (struct.Struct("<Bd").pack, ord("g")),
}
"""How `marshal` writes integers of 32 bits and floats."""

Name = Callable[[int], str]


class Tag:
    """First bytes of the encodings that are not `marshal`'s."""

    HASHED = b"\x01"  # the hash of a long encoding
    CYCLE = b"\x02"  # a member of a group of objects that contain each other
    SET = b"\x03"
    FROZENSET = b"\x04"
    BUFFER = b"\x05"  # raw bytes, inline when short
    OBJECT = b"\x06"  # an instance: how to rebuild it
    KIND = b"\x07"  # a type that has rules of its own, by name
    REFERENCE = b"\x08"  # a class or function by its qualified name
    CODE = b"\x09"  # a class or function by its fingerprint
    HUGE = b"\x0b"  # a string or bytes that `marshal` cannot hold
    HASHER = b"\x0c"  # what the user's own function said counts


class Node:
    """A value taken apart: its own bytes, and the values inside it.

    Parameters
    ----------
    head
        All that is local: begins with a tag, and says how many children follow.
    children
        Values, or nodes.
    unordered
        Whether the order of the children does not count.
    tail
        Bytes after the children.
    name
        How Python would write the way to child *i*, for messages.
    """

    __slots__ = ("children", "head", "name", "tail", "unordered")

    def __init__(
        self,
        head: bytes,
        children: Sequence[Any],
        *,
        unordered: bool = False,
        tail: bytes = b"",
        name: Name | None = None,
    ) -> None:
        self.head = head
        self.children = children
        self.unordered = unordered
        self.tail = tail
        self.name = name

    def assemble(self, encodings: list[bytes]) -> bytes:
        """The encoding of the whole from those of the children, in their order."""
        if self.unordered:
            encodings = sorted(encodings)
        return b"".join((self.head, *encodings, self.tail))


class Refused(Exception):
    """A value that cannot be digested; the engine adds where it sits.

    Parameters
    ----------
    value
        The value.
    why
        The rest of a sentence that begins with the value.
    hint
        A better remedy than the general one.

    Attributes
    ----------
    path
        How Python would write the way to it from the whole.
    way
        The values on that way, from the whole on.
    """

    def __init__(self, value: object, why: str, hint: str | None = None) -> None:
        super().__init__(why)
        self.value = value
        self.why = why
        self.hint = hint
        self.path = ""
        self.way: list[object] = []


_threads = blake3.AUTO


def _without_threads() -> None:
    global _threads
    _threads = 1


# BLAKE3's threads do not survive a fork: a child that hands them work waits for ever.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_without_threads)


def new_hash() -> blake3:
    """A BLAKE3 hash for large pieces."""
    return blake3(max_threads=_threads)


def hash_bytes(data: Any) -> bytes:
    """BLAKE3 of a contiguous buffer of bytes, on all cores if it is large."""
    if len(data) > _THREADED:
        return blake3(data, max_threads=_threads).digest()
    return blake3(data).digest()


def hash_root(encoding: bytes) -> bytes:
    """The digest of a value from its encoding."""
    if len(encoding) > _THREADED:  # too long to be copied for its prefix
        return new_hash().update(PREFIX).update(encoding).digest()
    return blake3(PREFIX + encoding).digest()


def short(encoding: bytes) -> bytes:
    """The encoding itself, or its hash if it is long."""
    return encoding if len(encoding) <= INLINE else Tag.HASHED + hash_bytes(encoding)


def scalar(value: Any) -> bytes:
    """The encoding of a value of one of the `SCALARS` types, exactly."""
    try:
        return marshal.dumps(value, 2)
    except ValueError:  # 2 GiB or more
        return _huge(value)


def scalars(values: Any) -> list[bytes]:
    """The encodings of many values of the `SCALARS` types, exactly."""
    kinds = set(map(type, values))
    number = _NUMBERS.get(kinds.pop()) if len(kinds) == 1 else None
    if number is not None:
        pack, tag = number  # `marshal` tells each call to all audit hooks, which takes longer than all else
        with contextlib.suppress(struct.error):  # one does not fit
            return [pack(tag, value) for value in values]
    try:
        return list(map(marshal.dumps, values, repeat(2)))
    except ValueError:
        return [scalar(value) for value in values]


def _huge(value: Any) -> bytes:
    data = value.encode("utf-8", "surrogatepass") if type(value) is str else value
    return Tag.HUGE + field(type(value).__name__) + len(data).to_bytes(8, "little") + hash_bytes(data)


def count(number: int) -> bytes:
    """A length, in eight bytes."""
    return number.to_bytes(8, "little")


def field(value: Any) -> bytes:
    """The encoding of a nested tuple or list of scalars inside a head."""
    return marshal.dumps(value, 2)
