"""Arrays as they were when they were passed to a step, whatever the pipeline function does with them afterwards."""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["Snapshots", "is_array"]

MOST = 1 << 28
"""Copies of one layout take no more than this, bytes; larger arrays are passed as they are."""


def is_array(kind: type) -> bool:
    """Whether values of this type are plain NumPy arrays."""
    numpy = sys.modules.get("numpy")
    return numpy is not None and kind is getattr(numpy, "ndarray", None)


class Snapshots:
    """Copies of arrays; one that is passed again unchanged is not copied again."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Any, Any]] = {}
        self._nbytes = 0

    def of(self, array: Any) -> Any:
        """What to pass in the place of an array: a copy, or the array itself where it cannot be or need not be one."""
        if not array.flags.writeable or array.dtype.hasobject or self._nbytes + array.nbytes > MOST:
            return array
        _, before = self._known.get(id(array), (None, None))
        if before is not None and _is_equal(before, array):
            return before
        copied = array.copy(order="K")
        # The array is kept too: another one must not get its identity.
        self._known[id(array)] = array, copied
        self._nbytes += array.nbytes
        return copied


def _is_equal(one: Any, other: Any) -> bool:
    """Whether two arrays are equal bit by bit: 0.0 and -0.0 are not."""
    if (one.dtype, one.shape, one.strides) != (other.dtype, other.shape, other.strides):
        return False
    return bool(one.tobytes("A") == other.tobytes("A"))
