"""Arrays that can be resized: they own their memory, and only the step that takes them refers to them.

What comes from the cache lies in a mapped file or a buffer. numpy refuses to resize what somebody else refers to, and
``function(*args)`` refers to all arguments until the call ends.
"""

from __future__ import annotations

import dataclasses
import functools
import keyword
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

__all__ = ["handing_over", "with_own_memory"]


def with_own_memory(value: Any) -> Any:
    """A value with copies of the arrays in it that do not own their memory: in lists, tuples, dicts and dataclasses."""
    numpy = sys.modules.get("numpy")
    return value if numpy is None else _owned(value, numpy)


def handing_over(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Callable[[], Any]:
    """Calls a function, once, in a way in which it alone refers to its arguments; who asked lets go of his."""
    names = tuple(kwargs)
    if not all(name.isascii() and name.isidentifier() and not keyword.iskeyword(name) for name in names):
        return functools.partial(function, *args, **kwargs)
    values = [*args, *kwargs.values()]
    values.reverse()
    return functools.partial(_call_written_out(len(args), names), function, values)


@functools.lru_cache(maxsize=64)
def _call_written_out(count: int, names: tuple[str, ...]) -> Callable[..., Any]:
    """Takes a function and a list, and calls with what it takes from the end of the list."""
    given = ", ".join(["values.pop()"] * count + [f"{name}=values.pop()" for name in names])
    call: Callable[..., Any] = eval(compile(f"lambda function, values: function({given})", __file__, "eval"))
    return call


def _owned(value: Any, numpy: Any) -> Any:
    kind = type(value)
    if kind in (numpy.ndarray, numpy.memmap):
        return value if kind is numpy.ndarray and value.flags.owndata else numpy.array(value, copy=True, subok=False)
    if kind in (list, tuple):
        return kind(_owned(item, numpy) for item in value)
    if kind is dict:
        return {key: _owned(item, numpy) for key, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        for name, item in list(getattr(value, "__dict__", {}).items()):
            owned = _owned(item, numpy)
            if owned is not item:
                object.__setattr__(value, name, owned)
    return value
