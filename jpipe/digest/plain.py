"""Lists, tuples, dicts and sets: encoded in C as far as they hold nothing but plain data."""

from __future__ import annotations

import marshal
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any

from jpipe.digest.canonical import INLINE, Node, Tag, count, scalars, short

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

__all__ = [
    "CONTAINERS",
    "encodings",
    "reduce_container",
    "reduce_dict",
    "reduce_frozenset",
    "reduce_list",
    "reduce_set",
    "reduce_tuple",
]

CONTAINERS: frozenset[type] = frozenset({list, tuple, dict})

# `marshal` counts in 31 bits.
_MOST = 2**31 - 1

_LEVELS = 6
_SMALL = 4


def reduce_list(value: list[Any], atoms: frozenset[type]) -> bytes | Node:
    """A list: its encoding if there are only atoms inside, else a node."""
    return _reduce_sequence(value, b"[", atoms)


def reduce_tuple(value: tuple[Any, ...], atoms: frozenset[type]) -> bytes | Node:
    """A tuple, likewise."""
    return _reduce_sequence(value, b"(", atoms)


def reduce_dict(value: dict[Any, Any], atoms: frozenset[type]) -> bytes | Node:
    """A dict, likewise; its order counts."""
    if atoms.issuperset(map(type, value)) and atoms.issuperset(map(type, value.values())):
        whole = _dumps(value)
        if whole is not None:
            return short(whole)
    children = list(chain.from_iterable(value.items()))
    return Node(b"{", children, tail=b"0", name=lambda i: f"[{children[i - i % 2]!r}]")


def reduce_set(value: Collection[Any]) -> Node:
    """A set: its elements in the order of their encodings."""
    return Node(Tag.SET + count(len(value)), list(value), unordered=True, name=_element)


def reduce_frozenset(value: Collection[Any]) -> Node:
    """A frozenset, likewise."""
    return Node(Tag.FROZENSET + count(len(value)), list(value), unordered=True, name=_element)


def reduce_container(value: Any) -> bytes | Node:
    """A list, tuple or dict as a node whatever is inside, unless it is empty."""
    return _CONTAINER[type(value)](value, frozenset())


def _reduce_sequence(value: Any, tag: bytes, atoms: frozenset[type]) -> bytes | Node:
    if atoms.issuperset(map(type, value)):
        whole = _dumps(value)
        if whole is not None:
            return short(whole)
    head = tag + len(value).to_bytes(4, "little") if len(value) <= _MOST else tag + b"\xff" * 4 + count(len(value))
    return Node(head, value, name=_index)


def encodings(values: Any, atoms: frozenset[type], leaves: frozenset[type]) -> list[bytes] | None:
    """The encodings of many values if they are atoms and plain containers a few levels deep, else None.

    Parameters
    ----------
    values
        Values, in a container that can be iterated over many times.
    atoms
        Types of values without parts.
    leaves
        Which of list, tuple and dict may be encoded in one go.
    """
    kinds = set(map(type, values))
    if kinds <= atoms:
        return scalars(values)
    if not _is_plain(values, kinds, atoms, leaves):
        return None
    try:
        return _encode_plain(values, atoms)
    except ValueError:  # something of 2 GiB or more
        return None


def _is_plain(values: Any, kinds: set[type], atoms: frozenset[type], leaves: frozenset[type]) -> bool:
    """Look through the containers level by level, at the speed of C.

    `marshal` writes a container as often as it is used. Small ones may be shared, for there are few levels; with large
    ones it is left to the engine, which encodes them once.
    """
    for _ in range(_LEVELS):
        nested = kinds - atoms
        if not nested:
            return True
        if not nested <= leaves:
            return False
        members = values if kinds == nested else [value for value in values if type(value) in nested]
        inner = _contents(members, nested)
        if len(inner) > _SMALL * len(members) + INLINE and len(set(map(id, members))) < len(members):
            return False
        values = inner
        kinds = set(map(type, values))
    return kinds <= atoms


def _contents(members: Any, kinds: set[type]) -> list[Any]:
    inner = list(chain.from_iterable(members))
    if dict in kinds:
        dicts = members if len(kinds) == 1 else [member for member in members if type(member) is dict]
        inner.extend(chain.from_iterable(map(dict.values, dicts)))
    return inner


def _encode_plain(values: Any, atoms: frozenset[type]) -> list[bytes]:
    found = list(map(marshal.dumps, values, repeat(2)))
    if max(map(len, found), default=0) <= INLINE:
        return found
    return [
        part if len(part) <= INLINE or type(value) in atoms else _shorten(value, part, atoms)
        for value, part in zip(values, found, strict=True)
    ]


def _shorten(value: Any, whole: bytes, atoms: frozenset[type]) -> bytes:
    """The short encoding of a plain container that is long because it has many parts, or long ones."""
    node = reduce_container(value)
    if isinstance(node, bytes) or atoms.issuperset(map(type, node.children)):
        return short(whole)
    return short(node.assemble(_encode_plain(node.children, atoms)))


def _dumps(value: Any) -> bytes | None:
    try:
        return marshal.dumps(value, 2)
    except ValueError:  # something of 2 GiB or more
        return None


def _index(i: int) -> str:
    return f"[{i}]"


def _element(_i: int) -> str:
    return "{…}"


_CONTAINER: dict[type, Callable[[Any, frozenset[type]], bytes | Node]] = {
    list: reduce_list,
    tuple: reduce_tuple,
    dict: reduce_dict,
}
