"""Whether another process can import a module: if so a function of it is sent by name, else whole."""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["is_importable"]

_known: dict[str, bool] = {}


def is_importable(name: str) -> bool:
    """Whether importing `name` gives the module of that name that this process has.

    Not so for modules that were loaded from a path outside of ``sys.path``: a pipeline file, a test of pytest in
    importlib mode.
    """
    if name not in _known:
        _known[name] = _is_found(name)
    return _known[name]


def _is_found(name: str) -> bool:
    module = sys.modules.get(name)
    if module is None or name in sys.builtin_module_names:
        return True
    path: Any = None
    spec = None
    parts = name.split(".")
    for depth in range(1, len(parts) + 1):
        spec = _find(".".join(parts[:depth]), path)
        if spec is None:
            return False
        path = spec.submodule_search_locations
    origin = getattr(module, "__file__", None)
    return origin is None or spec is None or spec.origin in (origin, None, "frozen", "built-in")


def _find(name: str, path: Any) -> Any:
    for finder in sys.meta_path:
        find = getattr(finder, "find_spec", None)
        spec = None if find is None else find(name, path)
        if spec is not None:
            return spec
    return None
