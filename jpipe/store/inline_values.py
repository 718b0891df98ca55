"""Small values, which stand in packs: where each is after it was published, and its checked bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Self

from blake3 import blake3

from jpipe.store.care.merge_packs import drop_damaged
from jpipe.store.disk import system
from jpipe.store.format.memory_map import SCARCE, read_exactly
from jpipe.store.format.pack import PackBuilder
from jpipe.store.format.records import CorruptEntry, Inline, MissingEntry, NewRecord, PackPlace, Where
from jpipe.store.open_folder import Disk
from jpipe.store.record_index import Family

__all__ = ["PayloadReader", "places_in"]

CARRIED_UP_TO = 256
"""Encoded values of at most this many bytes travel in place of the name of their place."""
_NEAR = 4096
_MOST_AHEAD = 1 << 18


class PayloadReader:
    """Reads the bytes of small values within a ``with`` block.

    The pack that was read last stays open, and of values that are wanted one behind the other ever more are read at
    once.

    Parameters
    ----------
    disk
        The cache.
    family
        Gives the family that knows where a value is when its pack was merged.
    """

    def __init__(self, disk: Disk, family: Callable[[bytes], Family]) -> None:
        self._disk = disk
        self._family = family
        self._pack = ""
        self._descriptor = -1
        self._start = 0
        self._block = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def payload(self, place: PackPlace) -> bytes:
        """The bytes of a value.

        Parameters
        ----------
        place
            Where it was when it was found.

        Raises
        ------
        MissingEntry
            If it is not there; `CorruptEntry` if it was damaged: then its pack is written anew without it.
        """
        try:
            payload = self._read(place)
        except OSError as error:
            if error.errno in SCARCE:
                raise
            payload = self._moved(place)
        if len(payload) != place.length or blake3(payload).digest() != place.check:
            drop_damaged(self._disk, place.family, place.pack)
            raise CorruptEntry(f"a value in {place.pack} is damaged")
        return payload

    def _read(self, place: PackPlace) -> bytes:
        if place.pack != self._pack:
            self._open(place)
        start = place.offset - self._start
        if not 0 <= start <= len(self._block) - place.length:
            is_near = 0 <= start - len(self._block) <= _NEAR and self._block
            ahead = min(2 * len(self._block), _MOST_AHEAD) if is_near else 0
            self._block = read_exactly(self._descriptor, max(place.length, ahead), place.offset)
            self._start, start = place.offset, 0
        return self._block[start : start + place.length]

    def _moved(self, place: PackPlace) -> bytes:
        try:
            return self._read(self._family(place.family).locate(place))
        except OSError as error:
            raise MissingEntry(f"{place.pack}: {error.strerror}") from None

    def _open(self, place: PackPlace) -> None:
        self._close()
        self._descriptor = system.open(f"{self._disk.family_folder(place.family)}/{place.pack}", system.READ)
        self._pack = place.pack

    def _close(self) -> None:
        if self._pack:
            system.close_read(self._descriptor)
        self._pack, self._start, self._block = "", 0, b""


def places_in(entries: Sequence[NewRecord], pack: str, builder: PackBuilder) -> list[Where]:
    """The places of published values: small ones in the pack, unless they are smaller than what names them there."""
    places: list[Where] = []
    offset = builder.payload_at
    for entry in entries:
        where = entry.stored.where
        if isinstance(where, Inline):
            length = len(where.payload)
            if length > CARRIED_UP_TO:
                check = blake3(where.payload).digest()
                places.append(PackPlace(builder.family, entry.key, pack, offset, length, check))
                offset += length
                continue
            offset += length
        elif isinstance(where, PackPlace):
            offset += where.length
        places.append(where)
    return places
