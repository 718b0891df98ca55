"""What stands for the code of a function that joblib memoises: its source, unless something else is what runs.

joblib reads the source from the file when the function is first called. By then the file may have been edited, and two
functions of one line or of one closure have the same source. Where compiling the source does not give the code that is
in memory, that code counts as well, with the numbers and texts it has captured.
"""

from __future__ import annotations

import functools
import sys
import textwrap
from collections.abc import Iterator
from types import CodeType, FrameType
from typing import Any

__all__ = ["function_of_caller", "text_for"]

_FUTURES = 0x1FF0000
"""Flags that ``from __future__`` sets for a whole file."""
_PLAIN = frozenset({bool, int, float, complex, str, bytes, type(None)})


def function_of_caller(frame: FrameType | None) -> Any:
    """The memoised function on whose behalf joblib asks, from the frame that asks; None if it does not tell."""
    memoised = frame.f_locals.get("self") if frame is not None else None
    return getattr(memoised, "func", None)


def text_for(source: str, function: Any) -> str:
    """A text that is equal for functions that do the same: `source`, with the live code where they disagree."""
    code = getattr(function, "__code__", None)
    if not isinstance(code, CodeType):
        return source
    text = _text(source, code)
    return text + _captured(function) if code.co_freevars else text


@functools.lru_cache(maxsize=256)
def _text(source: str, code: CodeType) -> str:
    """The text without what a closure has captured; remembered, because joblib asks at each call."""
    live = _essence(code)
    if not code.co_freevars and any(_essence(compiled) == live for compiled in _compiled(source, code.co_name)):
        return source
    return f"{source}\0{sys.implementation.cache_tag}\0{live!r}\0"


def _compiled(source: str, name: str) -> Iterator[CodeType]:
    """The code objects of that name that `source` gives."""
    try:
        top = compile(textwrap.dedent(source), "<source>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return
    pending = [top]
    while pending:
        code = pending.pop()
        if code.co_name == name:
            yield code
        pending += [constant for constant in code.co_consts if isinstance(constant, CodeType)]


def _essence(code: CodeType) -> tuple[Any, ...]:
    """What a code object does, without where it stands."""
    constants = tuple(
        _essence(constant) if isinstance(constant, CodeType) else (type(constant).__name__, _told(constant))
        for constant in code.co_consts
    )
    return code.co_code, constants, code.co_names, code.co_varnames, code.co_argcount, code.co_flags & ~_FUTURES


def _told(constant: Any) -> str:
    """A constant in words; the order of a set is of this process alone."""
    if isinstance(constant, tuple):
        return f"({','.join(map(_told, constant))})"
    return f"{{{','.join(sorted(map(_told, constant)))}}}" if isinstance(constant, frozenset) else repr(constant)


def _captured(function: Any) -> str:
    """The numbers and texts of a closure. Other captured values may be its memory, and change with every call."""
    told = []
    for cell in function.__closure__ or ():
        try:
            value = cell.cell_contents
        except ValueError:
            continue
        told.append(repr(value) if type(value) in _PLAIN else type(value).__qualname__)
    return ",".join(told)
