"""Keep the cache in order after a run: note what it reached, merge small packs, prune once a day."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable
from itertools import chain

from blake3 import blake3

from jpipe.decide.call_state import CallState
from jpipe.model.events import Notice, Observer
from jpipe.store import Store
from jpipe.system import safe_paths as inside

__all__ = ["tidy"]

PRUNED_EVERY = 24 * 3600.0
"""Seconds."""


def tidy(
    store: Store, pipeline: str, run: str, states: Iterable[CallState], tell: Observer, limit: int | None = None
) -> None:
    """Do what is due after a run in which something ran, and tell what was removed.

    Parameters
    ----------
    store
        The cache.
    pipeline, run
        What the pipeline's runs are filed under, and the run's name.
    states
        Of all calls that took part.
    tell
        Takes the events.
    limit
        Size that the cache may have, in bytes, looked at after each run; None for the default, looked at once a day.
    """
    keys: dict[bytes, list[Iterable[bytes | None]]] = {}
    whole: set[bytes] = set()
    for state in states:
        keys.setdefault(state.fingerprint.digest, []).extend([state.keys, (state.whole_key,)])
        if state.call.is_mapped and not state.keys:
            # It was answered as a whole: which items stand behind that was not looked up.
            whole.add(state.fingerprint.digest)
        for family, key in [*state.accepted.values(), *filter(None, [state.accepted_whole])]:
            keys.setdefault(family, []).append((key,))
    reached = {family: None if family in whole else filter(None, chain(*lists)) for family, lists in keys.items()}
    store.mark_reached(
        blake3(pipeline.encode("utf-8", "surrogatepass")).digest(), blake3(run.encode()).digest(), reached
    )
    store.merge(keys)
    with contextlib.suppress(OSError):
        pruned = None
        if limit is not None and store.size().nbytes > limit:
            pruned = store.prune(limit, grace=0.0)
        elif _is_due(store):
            pruned = store.prune()
        if pruned is not None and pruned.freed:
            tell(Notice(f"{_megabytes(pruned.freed)} that were used least recently were removed from the cache"))
        if limit is not None and pruned is not None and pruned.nbytes > limit:
            left = f"the cache has {_megabytes(pruned.nbytes)}, more than cache_size: the last runs use that much"
            tell(Notice(left, "jpipe cache list  says which steps it is"))


def _megabytes(nbytes: int) -> str:
    return f"{nbytes / 1e6:,.1f} MB"


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
