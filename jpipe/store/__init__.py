"""Results and records on disk."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jpipe.store.disk.signing import SigningKey
    from jpipe.store.format.encode import inline_scalars
    from jpipe.store.format.records import (
        BlobPlace,
        CacheWarning,
        CorruptEntry,
        Held,
        Inline,
        MissingEntry,
        NewRecord,
        PackPlace,
        PlainRecords,
        Published,
        PutOptions,
        Read,
        Record,
        Stored,
        UnreadableEntry,
        Where,
    )
    from jpipe.store.notes import NoteKind
    from jpipe.store.record_index import Family
    from jpipe.store.store import Store

__all__ = [
    "BlobPlace",
    "CacheWarning",
    "CorruptEntry",
    "Family",
    "Held",
    "Inline",
    "MissingEntry",
    "NewRecord",
    "NoteKind",
    "PackPlace",
    "PlainRecords",
    "Published",
    "PutOptions",
    "Read",
    "Record",
    "SigningKey",
    "Store",
    "Stored",
    "UnreadableEntry",
    "Where",
    "inline_scalars",
]

_HOME = {
    "BlobPlace": "jpipe.store.format.records",
    "CacheWarning": "jpipe.store.format.records",
    "CorruptEntry": "jpipe.store.format.records",
    "Family": "jpipe.store.record_index",
    "Held": "jpipe.store.format.records",
    "Inline": "jpipe.store.format.records",
    "MissingEntry": "jpipe.store.format.records",
    "NewRecord": "jpipe.store.format.records",
    "NoteKind": "jpipe.store.notes",
    "PackPlace": "jpipe.store.format.records",
    "PlainRecords": "jpipe.store.format.records",
    "Published": "jpipe.store.format.records",
    "PutOptions": "jpipe.store.format.records",
    "Read": "jpipe.store.format.records",
    "Record": "jpipe.store.format.records",
    "SigningKey": "jpipe.store.disk.signing",
    "Store": "jpipe.store.store",
    "Stored": "jpipe.store.format.records",
    "UnreadableEntry": "jpipe.store.format.records",
    "Where": "jpipe.store.format.records",
    "inline_scalars": "jpipe.store.format.encode",
}


def __getattr__(name: str) -> Any:
    """Import what a name needs when it is first asked for: an instant answer needs the signing key and nothing else."""
    if name not in _HOME:
        raise AttributeError(f"module 'jpipe.store' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value
