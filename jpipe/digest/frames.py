"""pandas: by labels and values, column by column, however the columns are kept in blocks."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from jpipe.digest.arrays import reduce_array
from jpipe.digest.arrow import encode_arrow
from jpipe.digest.canonical import Name, Node, Tag, field
from jpipe.digest.instances import reduce_instance

if TYPE_CHECKING:
    from jpipe.digest.engine import Encoder

__all__ = ["pandas_rule"]

Rule = Callable[[Any, "Encoder"], "bytes | Node"]


def pandas_rule(kind: type, _base: type) -> Rule | None:
    """The rule for a class that is or comes from one of pandas', or None if it has no rule of its own."""
    pandas = sys.modules["pandas"]
    rules: tuple[tuple[type, Rule], ...] = (
        (pandas.DataFrame, _reduce_frame),
        (pandas.Series, _reduce_series),
        (pandas.Index, _reduce_index),
        (pandas.api.extensions.ExtensionArray, _reduce_extension),
        (pandas.api.extensions.ExtensionDtype, _reduce_dtype),
    )
    return next((rule for ancestor, rule in rules if issubclass(kind, ancestor)), None)


def _reduce_frame(frame: Any, encoder: Encoder) -> Node:
    labels = list(frame.columns)
    columns = [_column(column.array, encoder) for _, column in frame.items()]
    children = [*_common(frame), frame.columns, frame.index, *columns]
    before = len(children) - len(columns)

    def name(i: int) -> str:
        if i >= before:
            return f" column {labels[i - before]!r}"
        return _COMMON_NAMES[i] if i < len(_COMMON_NAMES) else (".columns", ".index")[i - len(_COMMON_NAMES)]

    return Node(Tag.KIND + field(("frame", len(columns))), children, name=name)


def _reduce_series(series: Any, encoder: Encoder) -> Node:
    names = (*_COMMON_NAMES, ".name", ".index", "")
    children = [*_common(series), series.name, series.index, _column(series.array, encoder)]
    return Node(Tag.KIND + field("series"), children, name=lambda i: names[i])


_COMMON_NAMES = ("", ".attrs", "")


def _common(holder: Any) -> list[Any]:
    """What a frame and a series have in common: class, ``attrs``, flags and the attributes of a derived class."""
    kind = type(holder)
    own = [] if kind.__module__.partition(".")[0] == "pandas" else [getattr(holder, n, None) for n in holder._metadata]
    return [kind, holder.attrs, (holder.flags.allows_duplicate_labels, own)]


def _reduce_index(index: Any, encoder: Encoder) -> Node:
    pandas = sys.modules["pandas"]
    names = list(index.names)
    if isinstance(index, pandas.RangeIndex):
        return Node(Tag.KIND + field("range index"), [type(index), names, (index.start, index.stop, index.step)])
    if isinstance(index, pandas.MultiIndex):
        children = [type(index), names, *index.levels, *index.codes]
        return Node(Tag.KIND + field(("multi-index", index.nlevels)), children)
    frequency = getattr(index, "freqstr", None)
    children = [type(index), names, frequency, _column(index.array, encoder)]
    return Node(Tag.KIND + field("index"), children, name=lambda _i: "")


def _row(i: int) -> str:
    return f" row {i}"


def _column(array: Any, encoder: Encoder) -> Node:
    """The values of a column, as a child of a node."""
    reduced = _reduce_extension(array, encoder, _row)
    return reduced if isinstance(reduced, Node) else Node(reduced, ())


def _reduce_extension(array: Any, encoder: Encoder, name: Name | None = None) -> bytes | Node:
    pandas = sys.modules["pandas"]
    if type(array) is pandas.arrays.NumpyExtensionArray:
        return reduce_array(array.to_numpy(), encoder, name)
    inside = _inside(array, encoder)
    if inside is None:
        return reduce_instance(array, encoder)
    head = Tag.KIND + field(("extension array", type(array).__name__, len(inside)))
    return Node(head, [array.dtype, *inside], name=lambda _i: "")


def _inside(array: Any, _encoder: Encoder) -> list[Any] | None:
    """What an extension array of pandas' own holds besides its dtype; None for one of another package."""
    pandas = sys.modules["pandas"]
    arrays = pandas.arrays
    if isinstance(array, pandas.Categorical):
        return [array.codes]
    if isinstance(array, (arrays.DatetimeArray, arrays.TimedeltaArray, arrays.PeriodArray)):
        return [array.asi8, getattr(array, "tz", None), getattr(array, "freqstr", None)]
    if isinstance(array, arrays.IntervalArray):
        return [array.left, array.right, array.closed]
    if isinstance(array, arrays.SparseArray):
        return [len(array), array.sp_values, array.sp_index.to_int_index().indices]
    if isinstance(array, (arrays.IntegerArray, arrays.FloatingArray, arrays.BooleanArray)):
        return _without_covered(array)
    if isinstance(array, arrays.ArrowExtensionArray):
        return [encode_arrow(array.__arrow_array__())]
    if isinstance(array, arrays.StringArray):
        return [array.to_numpy(dtype=object)]
    return None


def _without_covered(array: Any) -> list[Any]:
    """Values and mask; what lies under the mask cannot be seen, and is whatever it was before."""
    values, mask = array._data, array._mask
    if mask.any():
        values = values.copy()
        values[mask] = 0
    return [values, mask]


def _reduce_dtype(dtype: Any, _encoder: Encoder) -> Node:
    storage, missing = getattr(dtype, "storage", ""), repr(dtype.na_value)
    inside = [type(dtype)]
    if isinstance(dtype, sys.modules["pandas"].CategoricalDtype):
        inside += [dtype.categories, dtype.ordered]
    return Node(Tag.KIND + field(("pandas dtype", str(dtype), storage, missing, len(inside))), inside)
