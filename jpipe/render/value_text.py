"""A value as text or as JSON: tables, arrays and text as they print themselves, containers and dataclasses laid out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jpipe.errors import UsageError

__all__ = ["plain_value", "value_text"]


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


def plain_value(value: Any) -> Any:
    """A value as JSON has it; what it does not have (tables, arrays, dates) in the nearest form.

    Raises
    ------
    UsageError
        For a value that has no such form.
    """
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain_value(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain_value(item) for item in value]
    for method, arguments in (("to_dicts", ()), ("to_dict", ("records",)), ("tolist", ()), ("isoformat", ())):
        convert = getattr(value, method, None)
        if callable(convert):
            return plain_value(_converted(convert, arguments))
    fields = getattr(value, "__dataclass_fields__", None)
    if fields is not None:
        return {name: plain_value(getattr(value, name)) for name in fields}
    if isinstance(value, Path):
        return str(value)
    hint = "show it without --json, or use jpipe.load"
    raise UsageError(f"{type(value).__name__} cannot be written as JSON", hint=hint)


def _converted(convert: Any, arguments: tuple[Any, ...]) -> Any:
    try:
        return convert(*arguments)
    except TypeError:
        return convert()
