"""Writing results of this cache to a remote address: values first, then the records that name them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from blake3 import blake3

from jpipe.errors import RemoteCacheError
from jpipe.store.disk import system
from jpipe.store.format.memory_map import read_exactly
from jpipe.store.format.pack import PackBuilder, Segment
from jpipe.store.notes import NoteKind, read_note
from jpipe.store.record_index import SUFFIX
from jpipe.store.remote.known import MARK, marks_of
from jpipe.store.remote.remote import Remote, Tell, blob_object, pack_object, quiet
from jpipe.store.remote.transfers import in_parallel

__all__ = ["Sent", "push"]

AT_ONCE = 32 << 20
"""Bytes of small results that go into one object."""


class Sent(NamedTuple):
    """What went: results, bytes, and the results that cannot go because of code that ran unseen."""

    results: int = 0
    nbytes: int = 0
    unseen: int = 0


@dataclass(slots=True)
class _Entry:
    family: bytes
    pack: str
    segment: Segment
    number: int
    mark: bytes


def push(remote: Remote, families: Iterable[bytes], tell: Tell = quiet) -> Sent:
    """Write what is not there yet.

    Parameters
    ----------
    families
        The fingerprints whose results may go.
    tell
        Told of progress.

    Raises
    ------
    RemoteCacheError
        If the address does not answer, or does not let itself be written to. What went before that is there, and the
        next push goes on from it.
    """
    families = list(dict.fromkeys(families))
    remote.bring(families)
    if remote.offline:
        raise RemoteCacheError(remote.offline)
    new: dict[bytes, list[_Entry]] = {}
    unseen = 0
    for family in families:
        entries = list(_new_entries(remote, family))
        if entries and read_note(remote.disk, NoteKind.MORE, family) is not None:
            # The fingerprint does not lead to all code that ran: without this cache's notes the records would lie.
            unseen += len(entries)
        elif entries:
            new[family] = entries
        else:
            _settle(remote, family)
    sent = _Sending(remote, tell).send(new)
    return sent._replace(unseen=unseen)


def _new_entries(remote: Remote, family: bytes) -> Iterator[_Entry]:
    known = remote.known(family)
    here = remote.family(family)
    here.refresh()
    if set(here.packs()) <= known.settled:
        return
    there = known.marks()
    for pack in here.packs():
        for segment in here.segments(pack):
            for number, mark in enumerate(marks_of([segment])):
                if mark not in there and number not in segment.damaged:
                    there.add(mark)
                    yield _Entry(family, pack, segment, number, mark)


def _settle(remote: Remote, family: bytes) -> None:
    """All of a family is there."""
    known = remote.known(family)
    packs = set(remote.family(family).packs())
    if known.settled != packs:
        known.settled = packs
        known.unused &= packs
        remote.note(family, known)


class _Sending:
    """One push."""

    def __init__(self, remote: Remote, tell: Tell) -> None:
        self._remote = remote
        self._tell = tell
        self._done = self._of = self._nbytes = self._results = 0

    def send(self, new: dict[bytes, list[_Entry]]) -> Sent:
        blobs = {e.segment.row(e.number).check for entries in new.values() for e in entries if _is_in_blob(e)}
        here = [blob for blob in blobs if system.exists(self._remote.disk.blobs.path(blob))]
        packs = [(family, list(part)) for family, entries in new.items() for part in _parts(entries)]
        self._of = len(here) + len(packs)
        there = set()
        for blob, size in in_parallel(self._send_blob, here):
            self._ended(size or 0)
            if size is not None:
                there.add(blob)
        for (family, _), name in in_parallel(lambda pack: self._send_pack(*pack, there), packs):
            if isinstance(name, BaseException):
                raise name
            self._noted(family, *name)
        for family in new:
            if not any(True for _ in _new_entries(self._remote, family)):
                _settle(self._remote, family)
        return Sent(self._results, self._nbytes)

    def _send_blob(self, blob: bytes) -> int | None:
        """Bytes that went: 0 where the blob is there, None where it was pruned here meanwhile."""
        remote = self._remote
        path, name = remote.disk.blobs.path(blob), blob_object(blob)
        try:
            size = system.lstat(path).st_size
        except FileNotFoundError:
            return None
        if blob not in remote.damaged and remote.address.size(name) == size:
            return 0
        remote.address.send(path, name)
        return size

    def _send_pack(self, family: bytes, part: list[_Entry], blobs: set[bytes]) -> tuple[str, int, list[_Entry]]:
        builder = PackBuilder(family)
        copied = []
        for entry in part:
            if _is_in_blob(entry):
                if entry.segment.row(entry.number).check not in blobs:
                    continue
                builder.copy(entry.segment, entry.number, None)
            elif (value := self._value(entry)) is not None:
                builder.copy(entry.segment, entry.number, value)
            else:
                continue
            copied.append(entry)
        if not copied:
            return "", 0, []
        data = b"".join(builder.chunks(self._remote.key))
        name = blake3(data).hexdigest(20) + SUFFIX
        self._remote.address.write(pack_object(family, name), data)
        return name, len(data), copied

    def _value(self, entry: _Entry) -> bytes | None:
        row = entry.segment.row(entry.number)
        folder = self._remote.disk.family_folder(entry.family)
        try:
            descriptor = system.open(f"{folder}/{entry.pack}", system.READ)
        except OSError:
            return None
        try:
            value = read_exactly(descriptor, row.length, entry.segment.payload + (row.offset or 0))
        finally:
            system.close_read(descriptor)
        return value if len(value) == row.length and blake3(value).digest() == row.check else None

    def _noted(self, family: bytes, name: str, size: int, copied: list[_Entry]) -> None:
        self._ended(size)
        if not copied:
            return
        known = self._remote.known(family)
        known.packs[name] = b"".join(entry.mark for entry in copied)
        assert len(known.packs[name]) == MARK * len(copied)
        self._remote.note(family, known)
        self._results += len(copied)

    def _ended(self, size: int | BaseException) -> None:
        if isinstance(size, BaseException):
            raise size
        self._done += 1
        self._nbytes += size
        self._tell(self._done, self._of, self._nbytes)


def _is_in_blob(entry: _Entry) -> bool:
    return entry.segment.row(entry.number).offset is None


def _parts(entries: list[_Entry]) -> Iterator[list[_Entry]]:
    part: list[_Entry] = []
    size = 0
    for entry in entries:
        part.append(entry)
        size += entry.segment.row(entry.number).length + 400
        if size >= AT_ONCE:
            yield part
            part, size = [], 0
    if part:
        yield part
