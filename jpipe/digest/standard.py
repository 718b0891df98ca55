"""Types of the standard library whose content `pickle` does not give, or not in a stable or cheap form."""

from __future__ import annotations

import array
import collections
import datetime as dt
import functools
import io
import pathlib
import sys
import types
from typing import TYPE_CHECKING, Any

from jpipe.digest.buffers import buffer
from jpipe.digest.canonical import Node, Refused, Tag, field
from jpipe.system.ownership import owns_function

if TYPE_CHECKING:
    from collections.abc import Callable
    from zoneinfo import ZoneInfo

    from jpipe.digest.engine import Encoder

__all__ = ["RULES", "standard_rule"]


def _reduce_partial(value: functools.partial[Any], _encoder: Encoder) -> Node:
    keywords: dict[str, Any] = value.keywords
    function = getattr(value.func, "__func__", value.func)
    if not (isinstance(function, types.FunctionType) and owns_function(function)):
        # A library that binds an `object()` (matplotlib does, in every figure) wants something that is nothing else.
        keywords = {name: _NOBODY if type(one) is object else one for name, one in keywords.items()}
    return Node(
        Tag.KIND + field("partial"),
        [value.func, value.args, keywords, vars(value)],
        name=lambda i: (".func", ".args", ".keywords", "")[i],
    )


_NOBODY = Node(Tag.KIND + field("object"), ())


def _reduce_bytearray(value: bytearray, _encoder: Encoder) -> bytes:
    return Tag.KIND + field("bytearray") + buffer(memoryview(value))


def _reduce_memoryview(value: memoryview, _encoder: Encoder) -> bytes:
    head = field(("memoryview", value.format, value.shape, value.readonly))
    return Tag.KIND + head + buffer(memoryview(value.tobytes()))


def _reduce_array(value: array.array[Any], _encoder: Encoder) -> bytes:
    return Tag.KIND + field(("array", value.typecode, value.itemsize)) + buffer(memoryview(value.tobytes()))


def _reduce_range(value: range, _encoder: Encoder) -> bytes:
    return Tag.KIND + field(("range", value.start, value.stop, value.step))


def _reduce_slice(value: slice, _encoder: Encoder) -> Node:
    return Node(Tag.KIND + field("slice"), [value.start, value.stop, value.step])


def _reduce_proxy(value: types.MappingProxyType[Any, Any], _encoder: Encoder) -> Node:
    return Node(Tag.KIND + field("mappingproxy"), [value.copy()])


def _reduce_view(value: Any, _encoder: Encoder) -> Node:
    items = list(value)
    return Node(Tag.KIND + field(type(value).__name__), [items])


def _reduce_cell(value: types.CellType, _encoder: Encoder) -> Node:
    try:
        return Node(Tag.KIND + field("cell"), [value.cell_contents], name=lambda _i: ".cell_contents")
    except ValueError:
        return Node(Tag.KIND + field("empty cell"), ())


def _reduce_zone(value: ZoneInfo, _encoder: Encoder) -> bytes:
    if value.key is None:
        raise Refused(value, "was read from a file and has no key")
    return Tag.KIND + field(("zoneinfo", value.key))


def _reduce_date(value: dt.date, _encoder: Encoder) -> bytes:
    return Tag.KIND + field(("date", value.toordinal()))


def _reduce_datetime(value: dt.datetime, _encoder: Encoder) -> bytes | Node:
    head = Tag.KIND + field(("datetime", value.replace(tzinfo=None).isoformat(), value.fold, value.tzinfo is None))
    return head if value.tzinfo is None else Node(head, [value.tzinfo])


def _reduce_timedelta(value: dt.timedelta, _encoder: Encoder) -> bytes:
    return Tag.KIND + field(("timedelta", value.days, value.seconds, value.microseconds))


def _reduce_text(value: Any, _encoder: Encoder) -> bytes:
    """A value that its type and its text say completely."""
    return Tag.KIND + field((type(value).__name__, str(value)))


def _refuse_order(value: Any, _encoder: Encoder) -> bytes:
    raise Refused(value, "goes through a set in an order that another process does not share", "pass the set itself")


def _refuse_generator(value: Any, _encoder: Encoder) -> bytes:
    raise Refused(value, "can be read only once", "pass a list in its place: list(...)")


def _refuse_file(value: Any, _encoder: Encoder) -> bytes:
    raise Refused(value, "is an open file", "pass its path, as jpipe.File(path), and open it in the step")


RULES: dict[type, Callable[[Any, Encoder], bytes | Node]] = {
    types.GeneratorType: _refuse_generator,
    types.AsyncGeneratorType: _refuse_generator,
    **dict.fromkeys(
        (io.TextIOWrapper, io.BufferedReader, io.BufferedWriter, io.BufferedRandom, io.FileIO), _refuse_file
    ),
    functools.partial: _reduce_partial,
    bytearray: _reduce_bytearray,
    memoryview: _reduce_memoryview,
    array.array: _reduce_array,
    range: _reduce_range,
    slice: _reduce_slice,
    types.MappingProxyType: _reduce_proxy,
    types.CellType: _reduce_cell,
    type({}.keys()): _reduce_view,
    type({}.values()): _reduce_view,
    type({}.items()): _reduce_view,
    type(collections.OrderedDict().keys()): _reduce_view,
    type(collections.OrderedDict().values()): _reduce_view,
    type(collections.OrderedDict().items()): _reduce_view,
    type(iter(set())): _refuse_order,
    dt.date: _reduce_date,
    dt.datetime: _reduce_datetime,
    dt.timedelta: _reduce_timedelta,
    pathlib.PurePosixPath: _reduce_text,
    pathlib.PureWindowsPath: _reduce_text,
    pathlib.PosixPath: _reduce_text,
    pathlib.WindowsPath: _reduce_text,
}

_BY_NAME: dict[tuple[str, str], Callable[[Any, Encoder], bytes | Node]] = {
    ("decimal", "Decimal"): _reduce_text,
    ("fractions", "Fraction"): _reduce_text,
    ("uuid", "UUID"): _reduce_text,
    ("zoneinfo", "ZoneInfo"): _reduce_zone,
}


def standard_rule(kind: type, _base: type) -> Callable[[Any, Encoder], bytes | Node] | None:
    """The rule for exactly a type of a module that most programs do not import, because that takes time."""
    found = getattr(sys.modules.get(kind.__module__), kind.__name__, None)
    return _BY_NAME.get((kind.__module__, kind.__name__)) if found is kind else None
