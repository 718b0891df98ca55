"""Functions and classes by value for another process: their code arrives with its file and its lines.

What a serialiser keeps of code beside what it does (the name of its file, the table of its lines) is its own affair and
changes between releases; jpipe shows failures by file and line, and finds a function's source by them. So wherever
jpipe pickles by value, it says itself what a code object is.
"""

from __future__ import annotations

import functools
import io
import pickle
from types import CodeType
from typing import Any

__all__ = ["ByValue", "dumps", "pickler", "reduced"]

_FIELDS = (
    *("argcount", "posonlyargcount", "kwonlyargcount", "nlocals", "stacksize", "flags", "code", "consts", "names"),
    *("varnames", "filename", "name", "qualname", "firstlineno", "linetable", "exceptiontable", "freevars", "cellvars"),
)
"""What `CodeType` takes, in its order, on all Pythons from 3.11 up: pickles need not name jpipe, which may move."""


def reduced(value: Any) -> tuple[Any, ...] | None:
    """How to pickle a code object with all that Python knows of it; None for everything else."""
    if type(value) is not CodeType:
        return None
    return CodeType, tuple(getattr(value, "co_" + name) for name in _FIELDS)


@functools.cache
def pickler() -> Any:
    """A pickler that sends by value what cannot be imported; imported late, because few runs need it."""
    import cloudpickle

    class ByValuePickler(cloudpickle.Pickler):  # type: ignore[misc]
        def reducer_override(self, obj: Any) -> Any:
            return reduced(obj) or super().reducer_override(obj)

    return ByValuePickler


def dumps(value: Any, kind: Any = None) -> bytes:
    """Pickle a value, by value what cannot be imported; `kind` is another class of picklers than `pickler` gives.

    Raises
    ------
    Exception
        Whatever pickling raises for a value that cannot be pickled.
    """
    buffer = io.BytesIO()
    (kind or pickler())(buffer, pickle.HIGHEST_PROTOCOL).dump(value)
    return buffer.getvalue()


class ByValue:
    """A value inside something that another pickler sends: it arrives as `dumps` would bring it.

    Parameters
    ----------
    value
        Anything that can be pickled by value.
    """

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __reduce__(self) -> tuple[Any, ...]:
        return _carried, (dumps(self.value),)


def _carried(pickled: bytes) -> ByValue:
    return ByValue(pickle.loads(pickled))
