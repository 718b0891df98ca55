"""Notes: small signed files under a name, which may be replaced, for what the core wants to find again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from enum import StrEnum

from jpipe.store.disk import system
from jpipe.store.format.blob import blob_id
from jpipe.store.format.memory_map import read_small
from jpipe.store.open_folder import Disk

__all__ = ["NoteKind", "forget_note", "note_names", "note_place", "read_note", "write_note"]

_PURPOSE = b"jpipe note 1"
_MAGIC = b"jpipent1"
_SIGNED_AT = len(_MAGIC)
_DATA_AT = _SIGNED_AT + 32


class NoteKind(StrEnum):
    """What a note is about; each kind has a folder of its own."""

    MANIFEST = "manifests"
    """The parts of a fingerprint; named by the fingerprint."""
    STEP = "steps"
    """The families of a step; named by the digest of the step's name."""
    ACCEPTED = "accepted"
    """Old results that the user accepted despite an edit; named by the step."""
    EXECUTED = "executed"
    """Which code the results of a step depended on when it ran; named by the step."""
    MORE = "more"
    """That code ran which a fingerprint does not lead to; named by the fingerprint."""
    OUTPUTS = "outputs"
    """Files that several items wrote."""
    REMOTE = "remote"
    """What of a family is at a remote address; named by both."""
    PRUNED = "pruned"
    """Which records were removed to make room; there is one."""
    PIPELINE = "pipelines"
    """What is known of a pipeline between its runs; named by the pipeline."""


def write_note(disk: Disk, kind: NoteKind, name: bytes, data: bytes) -> str:
    """Write a note, in place of an older one; returns its path."""
    folder, file = _place(disk, kind, name)
    signature = disk.key.sign(_PURPOSE, *_subject(kind, name), data)
    disk.writer.replace(folder, file, [_MAGIC, signature, data])
    return f"{folder}/{file}"


def read_note(disk: Disk, kind: NoteKind, name: bytes) -> bytes | None:
    """The content of a note; None if there is none, or none that this user's key has signed."""
    folder, file = _place(disk, kind, name)
    try:
        data = read_small(f"{folder}/{file}")
    except OSError:
        return None
    if data[:_SIGNED_AT] != _MAGIC or len(data) < _DATA_AT:
        return None
    signature, content = data[_SIGNED_AT:_DATA_AT], data[_DATA_AT:]
    return content if disk.key.signed(signature, _PURPOSE, *_subject(kind, name), content) else None


def note_place(disk: Disk, kind: NoteKind, name: bytes) -> str:
    """The path of a note, whether or not it is there."""
    return "/".join(_place(disk, kind, name))


def forget_note(disk: Disk, kind: NoteKind, name: bytes) -> None:
    """Remove a note, if it is there."""
    folder, file = _place(disk, kind, name)
    with contextlib.suppress(FileNotFoundError):
        system.unlink(f"{folder}/{file}")


def note_names(disk: Disk, kind: NoteKind) -> Iterator[bytes]:
    """The names of all notes of a kind."""
    for outer in system.scan(disk.folder.path("notes", kind.value)):
        for inner in system.scan(outer.path) if outer.is_folder else ():
            name = blob_id(outer.name, inner.name)
            if name is not None and inner.is_file:
                yield name


def _place(disk: Disk, kind: NoteKind, name: bytes) -> tuple[str, str]:
    if len(name) != 32:
        raise ValueError(f"a note is named by a digest of 32 bytes, not {len(name)}")
    text = name.hex()
    return disk.folder.path("notes", kind.value, text[:2]), text[2:]


def _subject(kind: NoteKind, name: bytes) -> tuple[bytes, bytes]:
    return kind.value.encode().ljust(32, b"\0"), name
