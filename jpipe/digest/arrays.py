"""NumPy's arrays, scalars and dtypes: by dtype, shape and elements in C order, however they lie in memory."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from jpipe.digest.buffers import buffer, hashed, known
from jpipe.digest.canonical import Name, Node, Tag, field, new_hash
from jpipe.digest.instances import reduce_state
from jpipe.digest.references import refer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jpipe.digest.engine import Encoder

__all__ = ["encode_dtype", "numpy_rule", "reduce_array"]

_SMALL = 1 << 20
_BLOCK = 1 << 22

_dtypes: dict[Any, bytes] = {}


def numpy_rule(kind: type, _base: type) -> Callable[[Any, Encoder], bytes | Node] | None:
    """The rule for a class that is or comes from one of NumPy's, or None if it has no rule of its own."""
    numpy = sys.modules["numpy"]
    if kind is numpy.ndarray or kind is numpy.memmap:
        return reduce_array
    if issubclass(kind, numpy.ma.MaskedArray):
        return _reduce_masked
    if issubclass(kind, numpy.ndarray):
        return _reduce_derived
    if issubclass(kind, numpy.generic):
        return _reduce_scalar if kind.__module__ == "numpy" else _reduce_derived
    if issubclass(kind, numpy.dtype):
        return _reduce_dtype
    return None


def reduce_array(array: Any, encoder: Encoder, name: Name | None = None) -> bytes | Node:
    """An array: its bytes if all of them mean something, else its elements or fields."""
    head = Tag.KIND + field(("ndarray", array.shape)) + encode_dtype(array.dtype)
    return _content(array, head, encoder, name)


def _content(array: Any, head: bytes, encoder: Encoder, name: Name | None = None) -> bytes | Node:
    dtype = array.dtype
    if _is_solid(dtype):
        return head + _bytes(array, encoder)
    if dtype.names is not None:
        names = dtype.names
        return Node(head, [array[name] for name in names], name=lambda i: f"[{names[i]!r}]")
    if dtype.hasobject or dtype.kind == "T":
        elements = array.ravel(order="C").tolist()
        return Node(head, elements, name=name or (lambda i: _place(array.shape, i)))
    return head + buffer(memoryview(_without_padding(array).tobytes()))


def _is_solid(dtype: Any) -> bool:
    """Whether every byte of an element belongs to its value: no pointers, no padding."""
    if dtype.subdtype is not None:
        return _is_solid(dtype.subdtype[0])
    if dtype.names is not None:
        inner = [dtype.fields[name][0] for name in dtype.names]
        return sum(each.itemsize for each in inner) == dtype.itemsize and all(map(_is_solid, inner))
    return not dtype.hasobject and dtype.kind != "T" and dtype.char not in "gG"


def _bytes(array: Any, encoder: Encoder) -> bytes:
    if not array.nbytes:
        return buffer(b"")
    if array.flags.c_contiguous:
        found = None
        if encoder.buffers:
            found = known(encoder.buffers, array.__array_interface__["data"][0], array.nbytes)
        return found or buffer(array.reshape(-1).view("u1").data)
    if array.nbytes <= _SMALL:
        return buffer(memoryview(array.tobytes()))
    hasher = new_hash()
    for block in _blocks(array):
        hasher.update(block.tobytes())
    return hashed(array.nbytes, hasher.digest())


def _blocks(array: Any) -> Iterator[Any]:
    """The array in C order, piece by piece, so that no second copy of it is needed."""
    row = array.nbytes // len(array)
    if row > _BLOCK and array.ndim > 1:
        for part in array:
            yield from _blocks(part)
        return
    step = max(1, _BLOCK // max(row, 1))
    for start in range(0, len(array), step):
        yield array[start : start + step]


def _without_padding(array: Any) -> Any:
    """The bytes of long doubles that count: x86 keeps ten in sixteen, and leaves the others as they were."""
    numpy = sys.modules["numpy"]
    single = array.dtype.itemsize // (2 if array.dtype.kind == "c" else 1)
    plain = numpy.ascontiguousarray(array).reshape(-1).view("u1").reshape(-1, single)
    return plain[:, :10] if numpy.finfo(numpy.longdouble).nmant == 63 else plain


def _place(shape: tuple[int, ...], i: int) -> str:
    if len(shape) == 1:
        return f"[{i}]"
    return f"[{', '.join(str(int(j)) for j in sys.modules['numpy'].unravel_index(i, shape))}]"


def encode_dtype(dtype: Any) -> bytes:
    """The encoding of a dtype; byte order counts."""
    if dtype.metadata or dtype.names is not None:
        return field(_describe(dtype))
    found = _dtypes.get(dtype)
    if found is None:
        found = _dtypes[dtype] = field(_describe(dtype))
    return found


def _describe(dtype: Any) -> tuple[Any, ...]:
    extra = (repr(dict(dtype.metadata)),) if dtype.metadata else ()
    if dtype.subdtype is not None:
        return ("array", _describe(dtype.subdtype[0]), dtype.shape, *extra)
    if dtype.names is None:
        text = dtype.str if dtype.kind in "biufcmMOSUV" else repr(dtype)
        return (text, *extra)
    fields = tuple(
        (name, _describe(dtype.fields[name][0]), dtype.fields[name][1], repr(dtype.fields[name][2:]))
        for name in dtype.names
    )
    return ("struct", dtype.type.__name__, dtype.itemsize, dtype.isalignedstruct, fields, *extra)


def _reduce_dtype(dtype: Any, _encoder: Encoder) -> bytes:
    return Tag.KIND + field("dtype") + encode_dtype(dtype)


def _reduce_scalar(scalar: Any, encoder: Encoder) -> bytes | Node:
    head = Tag.KIND + field("npscalar") + encode_dtype(scalar.dtype)
    if scalar.dtype.char in "gGV":
        return _content(sys.modules["numpy"].asarray(scalar), head, encoder)
    return head + buffer(scalar.tobytes())


def _reduce_derived(value: Any, encoder: Encoder) -> Node:
    return reduce_state(value, "array", sys.modules["numpy"].asarray(value), encoder)


def _reduce_masked(array: Any, _encoder: Encoder) -> Node:
    """A masked array: what lies under the mask counts too, for it can be uncovered."""
    numpy = sys.modules["numpy"]
    if array is numpy.ma.masked:
        return Node(refer("numpy.ma", "masked"), ())
    own = {"_mask", "_fill_value", "_hardmask", "_sharedmask", "_isfield", "_baseclass", "_basedict"}
    others = {name: value for name, value in vars(array).items() if name not in own and (name != "_optinfo" or value)}
    mask = None if array.mask is numpy.ma.nomask else numpy.asarray(array.mask)
    children = [type(array), numpy.asarray(array.data), mask, array.fill_value, array.hardmask, others]
    return Node(Tag.KIND + field("masked"), children, name=lambda i: ("", ".data", ".mask", ".fill_value", "", "")[i])
