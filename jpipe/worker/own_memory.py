"""Arrays that own their memory: what comes from the cache lies in a mapped file or a buffer, and cannot be resized."""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

__all__ = ["with_own_memory"]


def with_own_memory(value: Any) -> Any:
    """A value with copies of the arrays in it that do not own their memory: in lists, tuples, dicts and dataclasses."""
    numpy = sys.modules.get("numpy")
    return value if numpy is None else _owned(value, numpy)


def _owned(value: Any, numpy: Any) -> Any:
    kind = type(value)
    if kind in (numpy.ndarray, numpy.memmap):
        return value if kind is numpy.ndarray and value.flags.owndata else numpy.array(value, copy=True, subok=False)
    if kind in (list, tuple):
        return kind(_owned(item, numpy) for item in value)
    if kind is dict:
        return {key: _owned(item, numpy) for key, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        for name, item in list(getattr(value, "__dict__", {}).items()):
            owned = _owned(item, numpy)
            if owned is not item:
                object.__setattr__(value, name, owned)
    return value
