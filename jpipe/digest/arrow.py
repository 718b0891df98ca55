"""Apache Arrow: by type and values, without the chunks, the offsets and the bytes under nulls that memory has."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from jpipe.digest.buffers import buffer
from jpipe.digest.canonical import Node, Refused, Tag, field

if TYPE_CHECKING:
    from jpipe.digest.engine import Encoder

__all__ = ["arrow_rule", "encode_arrow"]

Rule = Callable[[Any, "Encoder"], "bytes | Node"]


def arrow_rule(kind: type, _base: type) -> Rule | None:
    """The rule for one of pyarrow's classes, or None if it has no rule of its own."""
    arrow = sys.modules.get("pyarrow.lib")
    if arrow is None:
        return None
    rules: tuple[tuple[tuple[str, ...], Rule], ...] = (
        (("Table", "RecordBatch"), _reduce_table),
        (("ChunkedArray", "Array"), lambda value, _encoder: encode_arrow(value)),
        (("Scalar",), _reduce_scalar),
        (("Schema",), lambda value, _encoder: _reduce_schema(value)),
        (("Field",), lambda value, _encoder: Tag.KIND + field("arrow field") + _field(value)),
        (("DataType",), lambda value, _encoder: Tag.KIND + field(("arrow type", str(value)))),
        (("Buffer",), lambda value, _encoder: Tag.KIND + field("arrow buffer") + buffer(memoryview(value).cast("B"))),
    )
    for names, rule in rules:
        if issubclass(kind, tuple(getattr(arrow, name) for name in names)):
            return rule
    return _refuse_reader if "dataset" in kind.__module__ or "_flight" in kind.__module__ else None


def _refuse_reader(value: Any, _encoder: Encoder) -> bytes:
    raise Refused(value, "reads its content only when it is used", "pass the table, or the path as a jpipe.File")


def _reduce_table(table: Any, _encoder: Encoder) -> Node:
    columns = [encode_arrow(table.column(i)) for i in range(table.num_columns)]
    head = Tag.KIND + field(("arrow", type(table).__name__, table.num_rows, len(columns)))
    return Node(head, [_reduce_schema(table.schema), *columns])


def _reduce_schema(schema: Any) -> Node:
    head = Tag.KIND + field(("arrow schema", _metadata(schema.metadata), len(schema)))
    return Node(head + b"".join(_field(schema.field(i)) for i in range(len(schema))), ())


def _field(entry: Any) -> bytes:
    return field((entry.name, str(entry.type), entry.nullable, _metadata(entry.metadata)))


def _metadata(metadata: Any) -> tuple[Any, ...]:
    return tuple(metadata.items()) if metadata else ()


def _reduce_scalar(scalar: Any, _encoder: Encoder) -> Node:
    array = sys.modules["pyarrow"].array([scalar.as_py()], scalar.type)
    return Node(Tag.KIND + field("arrow scalar"), [encode_arrow(array)])


def encode_arrow(values: Any) -> Node:
    """An array or chunked array as a node: its type, which values are null, and the others."""
    kind = values.type
    head = Tag.KIND + field(("arrow array", str(kind), len(values)))
    whole = _in_one_piece(values)
    if not whole.null_count:
        return Node(head + b"\0", _values(whole))
    valid = whole.is_valid().to_numpy(zero_copy_only=False)
    return Node(head + b"\1", [valid, *_values(whole.drop_null())])


def _in_one_piece(values: Any) -> Any:
    arrow: Any = sys.modules["pyarrow"]
    types = arrow.types
    kind = values.type
    if types.is_string(kind) or types.is_string_view(kind):  # their offsets or pieces depend on the chunks
        values = values.cast(arrow.large_string())
    elif types.is_binary(kind) or types.is_binary_view(kind):
        values = values.cast(arrow.large_binary())
    if not isinstance(values, arrow.ChunkedArray):
        return values
    if types.is_dictionary(kind):
        values = values.unify_dictionaries()
    if values.num_chunks == 1:
        return values.chunk(0)
    return values.combine_chunks() if values.num_chunks else arrow.array([], values.type)


def _values(array: Any) -> list[Any]:
    """What an array without nulls holds, as NumPy arrays and nodes."""
    arrow: Any = sys.modules["pyarrow"]
    types = arrow.types
    kind = array.type
    if types.is_null(kind):
        return []
    if types.is_boolean(kind):
        return [array.to_numpy(zero_copy_only=False)]
    if types.is_large_string(kind) or types.is_large_binary(kind):
        return _strings(array)
    if types.is_dictionary(kind):
        return [encode_arrow(array.indices), encode_arrow(array.dictionary)]
    if types.is_struct(kind):
        return [encode_arrow(part) for part in array.flatten()]
    if types.is_list(kind) or types.is_large_list(kind):
        lengths = sys.modules["numpy"].diff(array.offsets.to_numpy())
        return [lengths, encode_arrow(array.flatten())]
    if types.is_fixed_size_list(kind):
        return [encode_arrow(array.flatten())]
    if isinstance(kind, arrow.BaseExtensionType):
        return [encode_arrow(array.storage)]
    if types.is_primitive(kind) or types.is_decimal(kind) or types.is_fixed_size_binary(kind):
        return [_fixed_width(array)]
    return [array.to_pylist()]


def _fixed_width(array: Any) -> Any:
    numpy: Any = sys.modules["numpy"]
    width = array.type.bit_width // 8
    data = array.buffers()[1]
    if data is None or not len(array):
        return numpy.empty(0, "u1")
    return numpy.frombuffer(data, "u1", len(array) * width, array.offset * width)


def _strings(array: Any) -> list[Any]:
    numpy: Any = sys.modules["numpy"]
    if not len(array):
        return [numpy.empty(0, "i8"), numpy.empty(0, "u1")]
    _, where, data = array.buffers()
    offsets = numpy.frombuffer(where, "i8", len(array) + 1, array.offset * 8)
    first, last = int(offsets[0]), int(offsets[-1])
    text = numpy.frombuffer(data, "u1", last - first, first) if last > first else numpy.empty(0, "u1")
    return [numpy.diff(offsets), text]
