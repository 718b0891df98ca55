"""Caching pipelines on joblib: mark functions with `step`, call them from a `pipeline`, run only what an edit needs."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from jpipe.pipeline import pipeline
from jpipe.registration import register_backend
from jpipe.step import step

if TYPE_CHECKING:
    from jpipe import errors, parallel
    from jpipe.api import run
    from jpipe.files import File
    from jpipe.front import cached, load
    from jpipe.layout import Output
    from jpipe.maps import map
    from jpipe.seeds import seed

__version__ = "0.1.0"

__all__ = ["File", "Output", "cached", "errors", "load", "map", "parallel", "pipeline", "run", "seed", "step"]

_LAZY = {
    "File": "jpipe.files",
    "Output": "jpipe.layout",
    "cached": "jpipe.front",
    "load": "jpipe.front",
    "map": "jpipe.maps",
    "run": "jpipe.api",
    "seed": "jpipe.seeds",
}


register_backend()


def __getattr__(name: str) -> Any:
    """Import what a name needs when it is first asked for (P9: ``import jpipe`` is light)."""
    if name in ("errors", "parallel", "api"):
        return importlib.import_module(f"jpipe.{name}")
    if name not in _LAZY:
        raise AttributeError(f"module 'jpipe' has no attribute {name!r}")
    value = getattr(importlib.import_module(_LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
