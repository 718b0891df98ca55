"""Worker processes, and plain maps over them under the names that people know: p_tqdm's, tqdm_batch's, tqdm_joblib's.

``import jpipe.parallel as p_tqdm`` works.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jpipe.parallel.joblib_progress import tqdm_joblib
    from jpipe.parallel.p_tqdm import p_imap, p_map, p_uimap, p_umap, t_imap, t_map
    from jpipe.parallel.tqdm_batch import batch_process

__all__ = ["batch_process", "p_imap", "p_map", "p_uimap", "p_umap", "t_imap", "t_map", "tqdm_joblib"]


def __getattr__(name: str) -> Any:
    """Import what a name needs when it is first asked for: each new worker imports this package for its side only."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = {"batch_process": "tqdm_batch", "tqdm_joblib": "joblib_progress"}.get(name, "p_tqdm")
    value = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
