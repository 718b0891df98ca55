"""Values whose digest is another one in each process: found by digesting a copy, and named by the part that differs."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from jpipe.digest.addresses import addresses_in
from jpipe.digest.canonical import SCALARS
from jpipe.digest.value import digest
from jpipe.system.figures import is_figure

__all__ = ["REMEDY", "unstable_part"]

REMEDY = "it counts as new each time: say what counts of it, @step(hash={Type: function})"
_DEEPEST = 20
_ADDRESS = object()
_MOST = 1000


def unstable_part(
    value: Any, copy: Any = None, *, hashers: Mapping[type, Callable[[Any], Any]] | None = None, name: str = "result"
) -> str | None:
    """Where in a value something has another digest in a copy of it, or is the `id()` of something; None if nothing is.

    Parameters
    ----------
    value, copy
        The value, and what came back when it was pickled. Default: a copy is made.
    hashers
        As in `digest`.
    name
        What the value is called.
    """
    try:
        if is_figure(value):
            return None  # a copy of one that was drawn lacks what drawing left in it; made anew it has the same digest
        copy = pickle.loads(pickle.dumps(value, 5)) if copy is None else copy
        if _same(value, copy, hashers):
            return _kept_address(value, name, tuple(hashers or ()))
        return _find(value, copy, hashers, name, _DEEPEST)
    except Exception:  # whatever the user's classes raise when they are looked at
        return None


def _find(value: Any, copy: Any, hashers: Any, path: str, depth: int) -> str | None:
    """The innermost part that differs; an address that is told by what lies there does not count."""
    is_explained = False
    for step, part, other in _parts(value, copy) if depth else ():
        if part is _ADDRESS or is_figure(part):
            is_explained = True
        elif not _same(part, other, hashers):
            is_explained = True
            found = _find(part, other, hashers, path + step, depth - 1)
            if found is not None:
                return found
    return None if is_explained else path


def _kept_address(value: Any, name: str, hashed: tuple[type, ...]) -> str | None:
    """Where a value keeps the `id()` of something that is in it too; what its digest does not count is left out."""
    things: dict[int, Any] = {}
    numbers: dict[int, str] = {}
    waiting = [(name, value)]
    while waiting and len(things) < _MOST:
        path, thing = waiting.pop()
        if id(thing) in things or isinstance(thing, hashed) or is_figure(thing):
            continue
        things[id(thing)] = thing
        things.setdefault(id(type(thing)), type(thing))
        if isinstance(thing, dict):
            numbers |= {key: f"{path}, a key" for key in list(thing)[:_MOST] if type(key) is int}
        for step, part, _ in _parts(thing, thing):
            if type(part) is int:
                numbers.setdefault(part, path + step)
            elif type(part) not in SCALARS and part is not _ADDRESS:
                waiting.append((path + step, part))
    return next((path for number, path in numbers.items() if number in things), None)


def _same(value: Any, copy: Any, hashers: Any) -> bool:
    return digest(value, hashers=hashers).content == digest(copy, hashers=hashers).content


def _parts(value: Any, copy: Any) -> Iterator[tuple[str, Any, Any]]:
    """What is inside both: (how it is written, in the value, in the copy)."""
    if type(value) is not type(copy):
        return
    if isinstance(value, dict):
        for key in list(value)[:_MOST]:
            if key in copy:
                yield f"[{key!r:.40}]", value[key], copy[key]
    elif isinstance(value, (set, frozenset)) and value is copy:
        yield from (("", part, part) for part in list(value)[:_MOST])
    elif isinstance(value, (list, tuple)):
        for position, (part, other) in enumerate(zip(value[:_MOST], copy[:_MOST], strict=False)):
            yield f"[{position}]", part, other
    ours, theirs = _state(value), _state(copy)
    addresses = addresses_in(value, ours)
    for name in ours:
        if name in theirs:
            yield f".{name}", _ADDRESS if name in addresses else ours[name], theirs[name]


def _state(value: Any) -> Mapping[str, Any]:
    """What is pickled of an object, by name."""
    state = value.__getstate__() if not isinstance(value, type) else None
    if isinstance(state, tuple) and len(state) == 2:
        return {**(state[0] or {}), **(state[1] or {})}
    return state if isinstance(state, dict) else {}
