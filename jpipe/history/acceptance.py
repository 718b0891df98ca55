"""Old results that the user keeps despite an edit: which code answers for which, as it is noted in the cache.

One note for each step, with one entry for each version of its code that was accepted::

    {"step": "score", "entries": [{"family": ..., "older": [...], "when": ..., "changed": [...]}]}

`older` are the fingerprints whose records count for `family` too, the newest first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from blake3 import blake3

from jpipe.model.record_codec import DIGEST, NUMBER, TEXT, Malformed, dump, load, many, named
from jpipe.store import NoteKind, Store

__all__ = ["Acceptance", "accept", "acceptances", "accepted_families", "take_back"]


class Acceptance(NamedTuple):
    """One version of the code of a step, for which results of older versions count.

    Parameters
    ----------
    step
        The step's name when it was accepted.
    family
        The fingerprint of the code that was accepted.
    older
        The fingerprints whose results count, the newest first.
    when
        Seconds since 1970.
    changed
        What had changed, in a line each.
    """

    step: str
    family: bytes
    older: tuple[bytes, ...]
    when: float
    changed: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The entry as it is written down and as ``accept --list --json`` prints it."""
        written: dict[str, Any] = _ENTRY.write(self)
        return written


def acceptances(store: Store) -> list[Acceptance]:
    """Everything that was accepted and not taken back, the oldest first."""
    found = [entry for name in store.notes(NoteKind.ACCEPTED) for entry in _read(store, name)]
    return sorted(found, key=lambda entry: entry.when)


def accepted_families(store: Store) -> Mapping[bytes, Sequence[bytes]]:
    """By fingerprint, the older ones whose results count for it too."""
    return {entry.family: entry.older for entry in acceptances(store)}


def accept(store: Store, acceptance: Acceptance) -> None:
    """Write down that old results count."""
    entries = [entry for entry in _read(store, _name(acceptance.step)) if entry.family != acceptance.family]
    _write(store, acceptance.step, [*entries, acceptance])


def take_back(store: Store, step: str, family: bytes | None = None) -> list[Acceptance]:
    """Forget what was accepted of a step, and return it.

    Parameters
    ----------
    family
        Only for this version of its code; default for all.
    """
    entries = _read(store, _name(step))
    doomed = [entry for entry in entries if family in (None, entry.family)]
    left = [entry for entry in entries if entry not in doomed]
    if left:
        _write(store, step, left)
    elif doomed:
        store.forget_note(NoteKind.ACCEPTED, _name(step))
    return doomed


def _read(store: Store, name: bytes) -> list[Acceptance]:
    """The entries of a note; none where it says something else than this version writes."""
    raw = store.read_note(NoteKind.ACCEPTED, name)
    try:
        note = load(_NOTE, raw or b"")
    except Malformed:
        return []
    return [entry._replace(step=note.step) for entry in note.entries]


def _write(store: Store, step: str, entries: Sequence[Acceptance]) -> None:
    store.write_note(NoteKind.ACCEPTED, _name(step), dump(_NOTE, _Note(step, entries)))


class _Note(NamedTuple):
    step: str
    entries: Sequence[Acceptance]


_ENTRY = named(partial(Acceptance, ""), family=DIGEST, older=many(DIGEST), when=NUMBER, changed=many(TEXT))
_NOTE = named(_Note, step=TEXT, entries=many(_ENTRY))


def _name(step: str) -> bytes:
    return blake3(f"jpipe accepted\0{step}".encode("utf-8", "surrogatepass")).digest()
