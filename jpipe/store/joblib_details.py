"""Details of joblib's contract: what stands for the code of a memoised function, and what `reduce_size` removes.

joblib reads the source of a function from its file when the function is first called. By then the file may have been
edited, and two functions of one line or of one closure have the same source. Where compiling the source does not give
the code that is in memory, that code counts as well, with the numbers and texts it has captured.
"""

from __future__ import annotations

import datetime as dt
import functools
import sys
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Any, NamedTuple

from blake3 import blake3

from jpipe.model.step_options import parse_bytes
from jpipe.system import by_value

__all__ = ["CodeByBytes", "ItemInfo", "excess", "function_of_caller", "text_for"]

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


class ItemInfo(NamedTuple):
    """What joblib wants to know of an item to decide which to remove."""

    path: str
    size: int
    last_access: dt.datetime


def excess(
    items: Iterable[ItemInfo],
    bytes_limit: int | str | None,
    items_limit: int | None,
    age_limit: dt.timedelta | None,
) -> Iterator[ItemInfo]:
    """The items that have to go, the one that was not used for longest first.

    Parameters
    ----------
    items
        All that there are.
    bytes_limit, items_limit, age_limit
        What they may be together at most; None: any.
    """
    if age_limit is not None and age_limit.total_seconds() < 0:
        raise ValueError("age_limit has to be a positive timedelta")
    ordered = sorted(items, key=lambda item: item.last_access)
    limit = parse_bytes(bytes_limit, "bytes_limit") if bytes_limit is not None else None
    oldest = None if age_limit is None else dt.datetime.now(dt.UTC) - age_limit
    left = _Left(sum(item.size for item in ordered), len(ordered), limit, items_limit, oldest)
    for item in ordered:
        if not left.takes(item):
            return
        yield item


@dataclass(slots=True)
class _Left:
    """What is there still; items are offered to it from the one that was not used for longest."""

    size: int
    count: int
    size_limit: int | None
    count_limit: int | None
    oldest: dt.datetime | None

    def takes(self, item: ItemInfo) -> bool:
        """Whether `item` has to go."""
        too_large = self.size_limit is not None and self.size > self.size_limit
        too_many = self.count_limit is not None and self.count > self.count_limit
        too_old = self.oldest is not None and item.last_access <= self.oldest
        self.size -= item.size
        self.count -= 1
        return too_large or too_many or too_old


class CodeByBytes:
    """Tells code inside the results of a user's own `joblib.Memory` by its pickled form: nothing is keyed by it."""

    @staticmethod
    def of_object(thing: Any) -> bytes:
        """The digest of a function or class that is not found by its name."""
        return blake3(by_value.dumps(thing)).digest()
