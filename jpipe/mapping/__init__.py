"""A plain parallel map over joblib's backends, with nothing cached: chunks, order, large arguments, errors."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jpipe.mapping.bar import Bar, default_bar, map_with_bar
    from jpipe.mapping.front import parallel_map

__all__ = ["Bar", "default_bar", "map_with_bar", "parallel_map"]

_HOMES = {"Bar": "bar", "default_bar": "bar", "map_with_bar": "bar", "parallel_map": "front"}


def __getattr__(name: str) -> Any:
    # On demand, because each new worker imports this package for its own side only.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
