"""A value in a few words: what a failed item was given, and what a run gave."""

from __future__ import annotations

from typing import Any

__all__ = ["outcome_of", "summary_of"]

WIDTH = 60
_SHORT = 40
_SCALARS = (int, float, complex, bool, str, bytes)
_CONTAINERS = (list, tuple, dict, set, frozenset)


def summary_of(value: Any) -> str:
    """Type, shape and size of arrays and tables, the value itself where it is short."""
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple):
        dtype = getattr(value, "dtype", None)
        size = getattr(value, "nbytes", None)
        text = f"{_kind(value)} {shape}" + (f" {dtype}" if dtype is not None else "")
        return text + (f", {_sized(size)}" if isinstance(size, int) else "")
    try:
        text = repr(value)
    except Exception as error:
        return f"{type(value).__name__} (its repr raises {type(error).__name__})"
    if len(text) <= WIDTH:
        return text
    if isinstance(value, (*_CONTAINERS, str, bytes)):
        return f"{type(value).__name__} of {len(value)}: {text[: WIDTH - 1]}…"
    return f"{type(value).__name__}: {text[: WIDTH - 1]}…"


def outcome_of(value: Any) -> str:
    """What a result is: ``DataFrame 9 × 3``, ``list of 9``, a short scalar itself; "" for None."""
    if value is None:
        return ""
    try:
        shape = getattr(value, "shape", None)
        if shape == () and "ndarray" not in _kind(value):
            value = value.item()  # a scalar of numpy
        elif isinstance(shape, tuple):
            return " ".join([_kind(value), " × ".join(map(str, shape))]).strip()
        if isinstance(value, _SCALARS):
            text = repr(value[:_SHORT] if isinstance(value, (str, bytes)) else value)
            return text if len(text) <= _SHORT else f"{type(value).__name__} of {len(value)}"  # type: ignore[arg-type]
        if isinstance(value, _CONTAINERS):
            return f"{type(value).__name__} of {len(value)}"
    except Exception:  # a user's class may do anything when it is looked at
        pass
    return type(value).__name__


def _kind(value: Any) -> str:
    return type(value).__name__.replace("memmap", "ndarray")


def _sized(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            return f"{size:.0f} {unit}" if unit in ("B", "kB") else f"{size:.1f} {unit}"
        size /= 1000
    return ""
