"""The bytes of plain data: scalars, nested lists, tuples and dicts of them, and arrays."""

from __future__ import annotations

import marshal
import struct
import sys
from typing import Any

from jpipe.fingerprint.hashing import combine
from jpipe.system.ownership import is_kind

LEAVES = frozenset((int, float, complex, str, bytes, bool, type(None), type(...), type(NotImplemented)))
_SCALARS = frozenset((int, float, complex, str, bytes, bool, type(None)))
_CONTAINERS = frozenset((list, tuple, dict))


def leaf_bytes(value: Any) -> bytes:
    """The bytes of a scalar: type and exact value (`-0.0` differs from `0.0`, `1` from `True`)."""
    kind = type(value)
    if kind is str:
        return b"str" + value.encode("utf-8", "surrogatepass")  # type: ignore[no-any-return]
    if kind is int:
        return b"int%s" % hex(value).encode()
    if kind is float:
        return b"float" + struct.pack("<d", value)
    if kind is complex:
        return b"complex" + struct.pack("<dd", value.real, value.imag)
    if kind is bytes:
        return b"bytes" + value  # type: ignore[no-any-return]
    return (kind.__name__ + repr(value)).encode()


def plain_bytes(value: list[Any] | tuple[Any, ...] | dict[Any, Any]) -> bytes | None:
    """The bytes of nested plain data at the speed of C, or None when anything else is inside.

    Shared and cyclic containers are left to the careful way. `marshal` version 2 has no back references, so
    equal data gives equal bytes; it never sees a buffer, whose type it would drop.
    """
    seen: set[int] = set()
    stack: list[Any] = [value]
    while stack:
        container = stack.pop()
        if id(container) in seen:
            return None
        seen.add(id(container))
        groups = (container.keys(), container.values()) if type(container) is dict else (container,)
        for group in groups:
            kinds = set(map(type, group)) - _SCALARS
            if not kinds <= _CONTAINERS:
                return None
            if kinds:
                stack.extend(item for item in group if type(item) in _CONTAINERS)
    try:
        return marshal.dumps(value, 2)
    except ValueError:
        return None  # nested too deeply


def numpy_label(obj: Any) -> bytes | None:
    """The digest of a numpy array (without objects in it), scalar or dtype by content; None for anything else."""
    numpy = sys.modules.get("numpy")
    if numpy is None or not hasattr(numpy, "ndarray"):
        return None
    if is_kind(obj, numpy.ndarray):
        exact = type(obj) in (numpy.ndarray, numpy.matrix, numpy.recarray, numpy.memmap)
        if obj.dtype.hasobject or not exact:
            return None  # a masked array is more than its data
        flat = numpy.ascontiguousarray(obj).reshape(-1)
        raw = memoryview(flat.view(numpy.uint8)) if flat.size and flat.dtype.itemsize else b""
        return combine("array", type(obj).__name__, _dtype(obj.dtype), str(obj.shape), raw)
    if is_kind(obj, numpy.generic) and not obj.dtype.hasobject:
        return combine("numpy scalar", _dtype(obj.dtype), obj.tobytes())
    if is_kind(obj, numpy.dtype):
        return combine("dtype", _dtype(obj))
    return None


def _dtype(dtype: Any) -> str:
    return repr(dtype) if dtype.names else str(dtype.str)
