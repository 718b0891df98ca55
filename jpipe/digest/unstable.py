"""Values whose digest is another one in each process: found by digesting a copy, and named by the part that differs."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from jpipe.digest.value import digest

__all__ = ["REMEDY", "unstable_part"]

REMEDY = "it counts as new each time: say what counts of it, @step(hash={Type: function})"
_DEEPEST = 20
_MOST = 1000


def unstable_part(
    value: Any, copy: Any = None, *, hashers: Mapping[type, Callable[[Any], Any]] | None = None, name: str = "result"
) -> str | None:
    """Where in a value something has another digest in a copy of it, such as an `id()` that is kept; None if nothing.

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
        copy = pickle.loads(pickle.dumps(value, 5)) if copy is None else copy
        if _same(value, copy, hashers):
            return None
        path = name
        for _ in range(_DEEPEST):
            for step, part, other in _parts(value, copy):
                if not _same(part, other, hashers):
                    path, value, copy = path + step, part, other
                    break
            else:
                break
    except Exception:  # whatever the user's classes raise when they are looked at
        return None
    return path


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
    elif isinstance(value, (list, tuple)):
        for position, (part, other) in enumerate(zip(value[:_MOST], copy[:_MOST], strict=False)):
            yield f"[{position}]", part, other
    ours, theirs = _state(value), _state(copy)
    for name in ours:
        if name in theirs:
            yield f".{name}", ours[name], theirs[name]


def _state(value: Any) -> Mapping[str, Any]:
    """What is pickled of an object, by name."""
    state = value.__getstate__() if not isinstance(value, type) else None
    if isinstance(state, tuple) and len(state) == 2:
        return {**(state[0] or {}), **(state[1] or {})}
    return state if isinstance(state, dict) else {}
