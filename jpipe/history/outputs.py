"""Files that several items of a run wrote: none of them can expect to find what it wrote itself."""

from __future__ import annotations

import json
from collections.abc import Iterable

from jpipe.store import NoteKind, Store

__all__ = ["note_shared_outputs", "shared_outputs"]

_NAME = b"files that several items wrote".ljust(32, b"\0")
MOST = 10_000


def shared_outputs(store: Store) -> frozenset[str]:
    """What runs have seen so far: paths as records have them."""
    raw = store.read_note(NoteKind.OUTPUTS, _NAME)
    try:
        return frozenset() if raw is None else frozenset(json.loads(raw))
    except ValueError:
        return frozenset()


def note_shared_outputs(store: Store, paths: Iterable[str]) -> None:
    """Add what a run has seen."""
    known = shared_outputs(store)
    new = known.union(paths)
    if new != known:
        store.write_note(NoteKind.OUTPUTS, _NAME, json.dumps(sorted(new)[:MOST]).encode())
