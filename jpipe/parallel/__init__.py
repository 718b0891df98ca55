"""Parallel maps with progress bars under the names that people know: p_tqdm's, tqdm_batch's and tqdm_joblib's.

``import jpipe.parallel as p_tqdm`` works.
"""

from __future__ import annotations

from jpipe.parallel.batches import batch_process
from jpipe.parallel.counting import tqdm_joblib
from jpipe.parallel.maps import p_imap, p_map, p_uimap, p_umap, t_imap, t_map

__all__ = ["batch_process", "p_imap", "p_map", "p_uimap", "p_umap", "t_imap", "t_map", "tqdm_joblib"]
