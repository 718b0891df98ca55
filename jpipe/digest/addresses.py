"""Addresses that objects remember, as `id()` gives them: what counts is which object is meant, not where it lay."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["addresses_in", "may_be_addresses"]

_LOWEST = 1 << 16
"""No object lies lower."""
_SINGLE = (None, True, False, ..., NotImplemented, (), "", b"", 0)
_NAMES = re.compile(r"^_|id|key|addr|ptr|pointer|hash|token|owner|ref|seen|source|handle", re.IGNORECASE)


def may_be_addresses(names: tuple[str, ...]) -> bool:
    """Whether attributes of these names are looked at: few are called so, and looking takes time."""
    return any(map(_NAMES.search, names))


def addresses_in(owner: Any, attributes: Mapping[str, Any]) -> dict[str, str]:
    """The attributes of an object that hold an address, each with what lies there.

    That is another attribute, something inside one, the object itself or its class, or what there is once.
    """
    numbers = {name: value for name, value in attributes.items() if type(value) is int and value > _LOWEST}
    if not numbers:
        return {}
    known: dict[int, str] = {}
    for place, thing in _near(owner, attributes):
        known.setdefault(id(thing), place)
    return {name: known[value] for name, value in numbers.items() if value in known}


def _near(owner: Any, attributes: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    yield "self", owner
    for single in _SINGLE:
        yield repr(single), single
    for name, value in attributes.items():
        if type(value) is not int:
            yield f".{name}", value
    yield "class", type(owner)
    for name, value in attributes.items():
        if type(value) is not int:
            yield f"class of .{name}", type(value)
        if type(value) in (list, tuple) and len(value) <= 100:
            yield from ((f".{name}[{position}]", part) for position, part in enumerate(value))
        elif type(value) is dict and len(value) <= 100:
            yield from ((f".{name}[{position}]", part) for position, part in enumerate(value.values()))
