"""Parallel maps with progress bars under the names that people know: p_tqdm's, tqdm_batch's and tqdm_joblib's.

``import jpipe.parallel as p_tqdm`` works.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jpipe.parallel.batches import batch_process
from jpipe.parallel.maps import p_imap, p_map, p_uimap, p_umap, t_imap, t_map

if TYPE_CHECKING:
    from jpipe.parallel.counting import tqdm_joblib

__all__ = ["batch_process", "p_imap", "p_map", "p_uimap", "p_umap", "t_imap", "t_map", "tqdm_joblib"]


def __getattr__(name: str) -> Any:
    # Loaded on demand: it needs joblib, which the maps may do without.
    if name == "tqdm_joblib":
        from jpipe.parallel.counting import tqdm_joblib

        return tqdm_joblib
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
