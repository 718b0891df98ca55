"""Small values, which stand in packs: where each is after it was published, and its checked bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from blake3 import blake3

from jpipe.store import system
from jpipe.store.disk import Disk
from jpipe.store.family import Family
from jpipe.store.mapping import SCARCE, read_exactly
from jpipe.store.merge import drop_damaged
from jpipe.store.pack import PackBuilder
from jpipe.store.records import CorruptEntry, Inline, MissingEntry, NewRecord, PackPlace, Where

__all__ = ["payload_of", "places_in"]

CARRIED_UP_TO = 256
"""Encoded values of at most this many bytes travel in place of the name of their place."""


def payload_of(disk: Disk, place: PackPlace, family: Callable[[bytes], Family]) -> bytes:
    """The bytes of a small value.

    Parameters
    ----------
    disk
        The cache.
    place
        Where it was when it was found.
    family
        Gives the family that knows where it is when its pack was merged.

    Raises
    ------
    MissingEntry
        If it is not there; `CorruptEntry` if it was damaged: then its pack is written anew without it.
    """
    try:
        payload = _read(disk, place)
    except OSError as error:
        if error.errno in SCARCE:
            raise
        payload = _moved(disk, place, family(place.family))
    if len(payload) != place.length or blake3(payload).digest() != place.check:
        drop_damaged(disk, place.family, place.pack)
        raise CorruptEntry(f"a value in {place.pack} is damaged")
    return payload


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


def _moved(disk: Disk, place: PackPlace, family: Family) -> bytes:
    try:
        return _read(disk, family.locate(place))
    except OSError as error:
        raise MissingEntry(f"{place.pack}: {error.strerror}") from None


def _read(disk: Disk, place: PackPlace) -> bytes:
    descriptor = system.open(f"{disk.family_folder(place.family)}/{place.pack}", system.READ)
    try:
        return read_exactly(descriptor, place.length, place.offset)
    finally:
        system.close_read(descriptor)
