"""Large lists and dicts that are given to many calls: copied once, and asked once what they hold.

What a pipeline function passes to a step is copied, because it may change it afterwards. One that is passed again as it
was gets the same copy, so that all who come later know it by its identity and need not look into it again.
"""

from __future__ import annotations

import marshal
import weakref
from collections.abc import Callable
from typing import Any

__all__ = ["LARGE", "LargeValues", "asked_once"]

LARGE = 256
"""Elements from which on a list, tuple or dict counts as large."""
_REMEMBERED = 64
_SCALARS = frozenset({int, float, complex, str, bool, type(None)})

_holds: dict[int, tuple[Any, list[bool]]] = {}
"""By identity of a copy: the copy, and whether it holds a result of a step, as soon as that was asked."""


class LargeValues:
    """The large values of one layout; their copies are known as long as it is there."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Any, Any, bytes | None]] = {}
        self._copies: list[int] = []
        weakref.finalize(self, _forget, self._copies)

    def captured(self, value: Any, copied: Callable[[], Any]) -> Any:
        """What stands for `value`: the copy that was made of it before, where it is still the same, else a new one."""
        known = self._known.get(id(value))
        if known is not None and _is_same(known, value, self._known):
            return known[1]
        copy = copied()
        # The value is kept too: another one must not get its identity. Of many that are passed once, only the last.
        self._known[id(value)] = value, copy, None
        if len(self._known) > _REMEMBERED:
            del self._known[next(iter(self._known))]
        _holds[id(copy)] = copy, []
        self._copies.append(id(copy))
        return copy

    def close(self) -> None:
        """The pipeline function is over: nothing is passed any more."""
        self._known.clear()


def asked_once(value: Any, ask: Callable[[Any], bool]) -> bool:
    """What `ask` says of a value, which is asked once if it is a large one that nobody changes."""
    known = _holds.get(id(value)) if _holds else None
    if known is None:
        return ask(value)
    if not known[1]:
        known[1].append(ask(value))
    return known[1][0]


def _is_same(known: tuple[Any, Any, bytes | None], value: Any, store: dict[int, tuple[Any, Any, bytes | None]]) -> bool:
    """Whether a value is as it was when it was copied. Only of plain data that can be told without running its code."""
    _, copy, stamp = known
    if stamp is None:
        stamp = _stamp(copy) if _is_plain(copy) else b""
        store[id(value)] = value, copy, stamp
    return bool(stamp) and _stamp(value) == stamp


def _stamp(value: Any) -> bytes:
    """A digest of plain data, exact to the type; empty where there is something else in it."""
    from blake3 import blake3  # seldom needed, and `import jpipe` would wait for it

    try:
        # Version 2 does not tell whether two parts are one object.
        return blake3(marshal.dumps(value, 2)).digest()
    except ValueError:
        return b""


def _is_plain(value: Any) -> bool:
    """Whether there are only numbers, texts and None in lists, tuples and dicts, all of Python's own kinds."""
    kind = type(value)
    if kind is dict:
        return _SCALARS.issuperset(map(type, value)) and _are_plain(value.values())
    if kind is list or kind is tuple:
        return _are_plain(value)
    return kind in _SCALARS


def _are_plain(values: Any) -> bool:
    return _SCALARS.issuperset(map(type, values)) or all(map(_is_plain, values))


def _forget(copies: list[int]) -> None:
    for copy in copies:
        _holds.pop(copy, None)
