"""Finding the part of a result that cannot be pickled, to name it in the error."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

from jpipe.errors import UnstorableResult

__all__ = ["unstorable"]

_DEEPEST = 50
_MOST = 10_000
_LONGEST = 100
"""Characters of the way to a part that are shown."""


def unstorable(value: Any, error: Exception, can_be_pickled: Callable[[Any], bool]) -> UnstorableResult:
    """The error for a result that cannot be pickled.

    Parameters
    ----------
    value
        The result.
    error
        What pickling it raised.
    can_be_pickled
        Tells it of a part of the result.
    """
    path, culprit = _culprit(value, can_be_pickled)
    if len(path) > _LONGEST:
        path = f"{path[: _LONGEST // 2]}…{path[-_LONGEST // 4 :]}"
    kind = f"{type(culprit).__module__}.{type(culprit).__qualname__}".removeprefix("builtins.")
    if inspect.isgenerator(culprit):
        return UnstorableResult(
            f"{path} is a generator, which can be read only once",
            path=path,
            hint="return a list in its place: list(...), or [...] around what is yielded",
        )
    return UnstorableResult(
        f"{path} is a {kind}, which cannot be pickled: {error}",
        path=path,
        hint="return something else in its place (data, a path, or what is needed to make it again), "
        "or mark the step with cache=False",
    )


def _culprit(value: Any, can_be_pickled: Callable[[Any], bool]) -> tuple[str, Any]:
    """Go down into the first part that cannot be pickled, until all parts of it can."""
    path = "result"
    seen = {id(value)}
    for _ in range(_DEEPEST):
        for step, part in _parts(value):
            if id(part) not in seen and not can_be_pickled(part):
                seen.add(id(part))
                path, value = path + step, part
                break
        else:
            break
    return path, value


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, part in list(value.items())[:_MOST]:
            yield f"[{key!r:.60}]", part
        for key in list(value)[:_MOST]:
            yield f".key({key!r:.60})", key
    elif isinstance(value, (list, tuple)):
        for position, part in enumerate(value[:_MOST]):
            yield f"[{position}]", part
    elif isinstance(value, (set, frozenset)):
        for part in list(value)[:_MOST]:
            yield f"{{{part!r:.60}}}", part
    yield from _attributes(value)


def _attributes(value: Any) -> Iterator[tuple[str, Any]]:
    closure = getattr(value, "__closure__", None)
    if closure:
        names = value.__code__.co_freevars
        for name, cell in zip(names, closure, strict=True):
            try:
                yield f".<{name}>", cell.cell_contents
            except ValueError:
                continue
    state = getattr(value, "__dict__", None)
    if isinstance(state, dict) and not isinstance(value, type):
        for name, part in state.items():
            yield f".{name}", part
    for kind in type(value).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if hasattr(value, name):
                yield f".{name}", getattr(value, name)
