"""The store: results and records on disk."""

from __future__ import annotations

from jpipe.store.claims import Claim, Holder
from jpipe.store.family import Family, Matches
from jpipe.store.notes import NoteKind
from jpipe.store.records import (
    BlobPlace,
    CacheWarning,
    CorruptEntry,
    Held,
    Inline,
    MissingEntry,
    NewRecord,
    PackPlace,
    Published,
    PutOptions,
    Read,
    Record,
    Stored,
    UnreadableEntry,
    Where,
)
from jpipe.store.signing import SigningKey
from jpipe.store.store import Store

__all__ = [
    "BlobPlace",
    "CacheWarning",
    "Claim",
    "CorruptEntry",
    "Family",
    "Held",
    "Holder",
    "Inline",
    "Matches",
    "MissingEntry",
    "NewRecord",
    "NoteKind",
    "PackPlace",
    "Published",
    "PutOptions",
    "Read",
    "Record",
    "SigningKey",
    "Store",
    "Stored",
    "UnreadableEntry",
    "Where",
]
