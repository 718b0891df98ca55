"""What this cache knows of a family at a remote address: which packs are there, and which results are in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from blake3 import blake3

from jpipe.model.record_codec import COUNT, TEXT, Malformed, dump, load, many, row
from jpipe.store.format.pack import Segment
from jpipe.store.notes import NoteKind, read_note, write_note
from jpipe.store.open_folder import Disk

__all__ = ["Known", "marks_of", "read_known", "write_known"]

MARK = 16


@dataclass(slots=True)
class Known:
    """What is known of a family there.

    Attributes
    ----------
    packs
        The packs there that were looked into, and the marks of the results in each.
    settled
        Packs of this cache with nothing in them that is not there too.
    unused
        Packs of this cache that came from there, and that no run has used yet.
    """

    packs: dict[str, bytes] = field(default_factory=dict)
    settled: set[str] = field(default_factory=set)
    unused: set[str] = field(default_factory=set)

    def marks(self) -> set[bytes]:
        """The marks of all results there."""
        return {mark for marks in self.packs.values() for mark in _cut(marks)}

    def without(self, missing: set[bytes]) -> Known:
        """What is known of the packs that have nothing of `missing`."""
        kept = {name: marks for name, marks in self.packs.items() if missing.isdisjoint(_cut(marks))}
        return Known(kept, set(), set(self.unused))


def marks_of(segments: Iterable[Segment]) -> list[bytes]:
    """What stands for each result of a pack: two that differ in value, time or key have different ones."""
    marks = []
    for segment in segments:
        for entry, key in enumerate(segment.keys()):
            created = repr(segment.row(entry).created).encode()
            marks.append(key[:8] + blake3(segment.content(entry) + created).digest(8))
    return marks


def read_known(disk: Disk, url: str, family: bytes) -> Known:
    """What was noted; nothing where the note is not as this version writes it."""
    head, _, marks = (read_note(disk, NoteKind.REMOTE, _name(url, family)) or b"").partition(b"\n")
    try:
        counts, settled, unused = load(_HEAD, head)
        packs = {}
        start = 0
        for name, count in counts:
            packs[name] = marks[start : start + MARK * count]
            start += MARK * count
    except Malformed:
        return Known()
    return Known(packs, set(settled), set(unused)) if start == len(marks) else Known()


def write_known(disk: Disk, url: str, family: bytes, known: Known) -> None:
    """Note it for later runs; on a full disk it is found out again."""
    counts = [(name, len(marks) // MARK) for name, marks in known.packs.items()]
    head = dump(_HEAD, (counts, sorted(known.settled), sorted(known.unused)))
    write_note(disk, NoteKind.REMOTE, _name(url, family), b"\n".join((head, b"".join(known.packs.values()))))


def _cut(marks: bytes) -> Iterator[bytes]:
    return (marks[start : start + MARK] for start in range(0, len(marks), MARK))


def _name(url: str, family: bytes) -> bytes:
    return blake3(b"jpipe remote\0" + family + url.encode("utf-8", "surrogatepass")).digest()


def _fields(*fields: object) -> tuple[object, ...]:
    return fields


_HEAD = row(_fields, many(row(_fields, TEXT, COUNT), list), many(TEXT, list), many(TEXT, list))
