"""Keep the cache in order after a run: note what it reached, merge small packs, prune once a day."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable

from blake3 import blake3

from jpipe.decide.call_state import CallState
from jpipe.store import Store
from jpipe.system import inside

__all__ = ["tidy"]

PRUNED_EVERY = 24 * 3600.0
"""Seconds."""


def tidy(store: Store, pipeline: str, run: str, states: Iterable[CallState], limit: int | None = None) -> None:
    """Do what is due after a run in which something ran.

    Parameters
    ----------
    store
        The cache.
    pipeline, run
        What the pipeline's runs are filed under, and the run's name.
    states
        Of all calls that took part.
    limit
        Size that the cache may have, in bytes; None for the default.
    """
    reached: dict[bytes, list[bytes] | None] = {}
    for state in states:
        keys = reached.setdefault(state.fingerprint.digest, [])
        if keys is not None:
            keys += [key for key in (*state.keys, state.whole_key) if key is not None]
        if state.call.is_mapped and not state.keys:
            # It was answered as a whole: which items stand behind that was not looked up.
            reached[state.fingerprint.digest] = None
        for family, key in [*state.accepted.values(), *filter(None, [state.accepted_whole])]:
            others = reached.setdefault(family, [])
            if others is not None:
                others.append(key)
    store.mark_reached(blake3(pipeline.encode()).digest(), blake3(run.encode()).digest(), reached)
    store.merge(reached)
    if _is_due(store):
        with contextlib.suppress(OSError):
            store.prune(limit)


def _is_due(store: Store) -> bool:
    """Whether the last prune was more than a day ago; then it counts as done."""
    mark = inside.inside(store.root, "v1", "pruned")
    with contextlib.suppress(OSError):
        if abs(time.time() - inside.lstat(mark).st_mtime) < PRUNED_EVERY:
            return False
    try:
        os.close(inside.open(mark, os.O_WRONLY | os.O_CREAT, 0o600))
        inside.utime(mark)
    except OSError:
        return False
    return True
