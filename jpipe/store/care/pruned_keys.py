"""Which results were removed to make room: so that a plan can tell them from those that never were."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from blake3 import blake3

from jpipe.store.notes import NoteKind, read_note, write_note
from jpipe.store.open_folder import Disk

__all__ = ["note_pruned", "pruned_mark", "pruned_marks"]

_NAME = bytes(32)
_SIZE = 8
_MOST = 50_000
"""Of so many results it is known that they were removed, the last ones."""


def pruned_mark(family: bytes, key: bytes) -> bytes:
    """A few bytes that stand for a record: a message may be wrong once in a very long time."""
    return blake3(family + key).digest(_SIZE)


def note_pruned(disk: Disk, gone: Iterable[tuple[bytes, bytes]]) -> None:
    """Note that the records of these families and keys were removed; on a full disk nothing is noted."""
    marks = dict.fromkeys(pruned_mark(family, key) for family, key in gone)
    if not marks:
        return
    with contextlib.suppress(OSError):
        before = read_note(disk, NoteKind.PRUNED, _NAME) or b""
        known = dict.fromkeys(before[at : at + _SIZE] for at in range(0, len(before), _SIZE))
        write_note(disk, NoteKind.PRUNED, _NAME, b"".join([*(known | marks)][-_MOST:]))


def pruned_marks(disk: Disk) -> frozenset[bytes]:
    """The marks of the records that were removed."""
    data = read_note(disk, NoteKind.PRUNED, _NAME) or b""
    return frozenset(data[at : at + _SIZE] for at in range(0, len(data), _SIZE))
