"""What a pipeline returns: any structure, in which every output is replaced by its value at the end."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from jpipe.define.layout import Output

__all__ = ["filled"]


def filled(value: Any, replacement: Callable[[Output], Any]) -> Any:
    """`value` with each output in its lists, tuples, sets, dicts and dataclasses replaced.

    What holds no output is returned as it is, and what does as a copy: pipelines may return objects of any other use.
    """
    if type(value) is Output:
        return replacement(value)
    if not _holds_output(value, set()):
        return value
    if isinstance(value, dict):
        found: Any = copy.copy(value)
        if any(_holds_output(key, set()) for key in value):
            found.clear()
        for key, item in value.items():
            found[filled(key, replacement)] = filled(item, replacement)
        return found
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(filled(item, replacement) for item in value))
    if isinstance(value, (list, tuple, set, frozenset)):
        return type(value)(filled(item, replacement) for item in value)
    found = copy.copy(value)
    for name, item in _fields_of(value):
        object.__setattr__(found, name, filled(item, replacement))  # also where it is frozen
    return found


def _holds_output(value: Any, seen: set[int]) -> bool:
    """Whether there is an output in it; `seen` are the objects that are looked through already."""
    if type(value) is Output:
        return True
    if id(value) in seen:
        return False
    seen.add(id(value))
    return any(_holds_output(item, seen) for item in _inside(value))


def _inside(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value
        yield from value.values()
    elif isinstance(value, (list, tuple, set, frozenset)):
        yield from value
    elif is_dataclass(value) and not isinstance(value, type):
        yield from (item for _, item in _fields_of(value))


def _fields_of(value: Any) -> Iterator[tuple[str, Any]]:
    for one in fields(value):
        if hasattr(value, one.name):
            yield one.name, getattr(value, one.name)
