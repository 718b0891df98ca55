"""polars: by names, types and values, however many chunks there are."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from jpipe.digest.canonical import Node, Refused, Tag, field

if TYPE_CHECKING:
    from collections.abc import Callable

    from jpipe.digest.engine import Encoder

__all__ = ["polars_rule"]


def polars_rule(kind: type, _base: type) -> Callable[[Any, Encoder], bytes | Node] | None:
    """The rule for one of polars' classes, or None if it has no rule of its own."""
    polars = sys.modules["polars"]
    if issubclass(kind, polars.DataFrame):
        return _reduce_frame
    if issubclass(kind, polars.Series):
        return _reduce_series
    if issubclass(kind, polars.LazyFrame):
        return _refuse_lazy
    if issubclass(kind, polars.DataType):
        return _reduce_dtype
    return None


def _refuse_lazy(value: Any, _encoder: Encoder) -> bytes:
    raise Refused(value, "reads its content only when it is used", "pass .collect(), or the path as a jpipe.File")


def _reduce_frame(frame: Any, _encoder: Encoder) -> Node:
    columns = frame.get_columns()
    children = [type(frame), *(_column(column) for column in columns)]
    head = Tag.KIND + field(("polars frame", frame.height, tuple(frame.columns)))
    return Node(head, children, name=lambda i: f" column {columns[i - 1].name!r}" if i else "")


def _reduce_series(series: Any, _encoder: Encoder) -> Node:
    return Node(Tag.KIND + field(("polars series", series.name)), [type(series), _column(series)])


def _reduce_dtype(dtype: Any, _encoder: Encoder) -> bytes:
    return Tag.KIND + field(("polars dtype", repr(dtype)))


def _column(series: Any) -> Node:
    polars = sys.modules["polars"]
    dtype = series.dtype
    head = Tag.KIND + field(("polars column", repr(dtype), len(series)))
    if isinstance(dtype, (polars.Categorical, polars.Enum)):
        return Node(head, [series.cast(polars.String).to_list()], name=_whole)
    if isinstance(dtype, polars.Boolean) or not (dtype.is_numeric() or dtype.is_temporal()) or dtype.is_decimal():
        return Node(head, [series.to_list()], name=_whole)
    values = series.to_physical()
    if not values.null_count():
        return Node(head, [values.to_numpy()], name=_whole)
    return Node(head, [values.is_null().to_numpy(), values.fill_null(0).to_numpy()], name=_whole)


def _whole(_i: int) -> str:
    return ""
