"""A value as text: tables, arrays and text as they print themselves, containers and dataclasses laid out."""

from __future__ import annotations

from typing import Any

__all__ = ["value_text"]


def value_text(value: Any, width: int, *, most: int = 1000, longest: int = 10_000, deepest: int | None = None) -> str:
    """A value as text.

    Parameters
    ----------
    width
        Columns that there are.
    most, longest, deepest
        So many elements of a container, characters of a text and levels are shown.
    """
    if isinstance(value, str):
        return value
    if type(value).__module__.split(".")[0] in ("pandas", "polars", "numpy", "pyarrow", "xarray"):
        return str(value)
    from rich.pretty import pretty_repr

    return pretty_repr(value, max_width=width, max_length=most, max_string=longest, max_depth=deepest)
