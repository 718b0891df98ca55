"""Caching pipelines on joblib: mark functions with `step`, call them from a `pipeline`, run only what an edit needs."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from jpipe.store.joblib_registration import register_backend

if TYPE_CHECKING:
    from jpipe import errors, parallel
    from jpipe.api import run
    from jpipe.decide.stored_results import load
    from jpipe.define.layout import Output
    from jpipe.define.map import map
    from jpipe.define.pipeline import pipeline
    from jpipe.define.step import step
    from jpipe.files import File
    from jpipe.schedule.direct_calls import cached
    from jpipe.worker.seeds import seed

__version__ = "0.1.0"

__all__ = ["File", "Output", "cached", "errors", "load", "map", "parallel", "pipeline", "run", "seed", "step"]

_LAZY = {
    "File": "jpipe.files",
    "Output": "jpipe.define.layout",
    "cached": "jpipe.schedule.direct_calls",
    "load_ipython_extension": "jpipe.schedule.cell_magic",
    "load": "jpipe.decide.stored_results",
    "map": "jpipe.define.map",
    "pipeline": "jpipe.define.pipeline",
    "run": "jpipe.api",
    "seed": "jpipe.worker.seeds",
    "step": "jpipe.define.step",
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
