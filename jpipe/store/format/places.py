"""Many places as columns: a hundred thousand of them are pickled and made again several times as fast as one by one."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import Any

from jpipe.store.format.records import PackPlace, Where

__all__ = ["from_columns", "to_columns"]

Columns = tuple[list[tuple[bytes, str]], "array[int]", "array[int]", bytes, bytes, dict[int, Where]]
"""Packs with their families; of each place in a pack: the number of the pack, offset and length; keys; checks; and all
other places by position."""


def to_columns(places: Sequence[Where]) -> Columns:
    """What `from_columns` makes the places of again."""
    others = {position: place for position, place in enumerate(places) if type(place) is not PackPlace}
    packed: Any = [place for place in places if type(place) is PackPlace] if others else places
    numbers: dict[tuple[bytes, str], int] = {}
    for place in packed:
        numbers.setdefault((place.family, place.pack), len(numbers))
    return (
        list(numbers),
        array("L", [numbers[place.family, place.pack] for place in packed]),
        array("Q", [number for place in packed for number in (place.offset, place.length)]),
        b"".join([place.key for place in packed]),
        b"".join([place.check for place in packed]),
        others,
    )


def from_columns(columns: Columns) -> list[Where]:
    """The places, in their order."""
    packs, numbers, extents, keys, checks, others = columns
    families, names = [family for family, _ in packs], [name for _, name in packs]
    found = map(
        PackPlace,
        [families[number] for number in numbers],
        _pieces(keys),
        [names[number] for number in numbers],
        extents[::2],
        extents[1::2],
        _pieces(checks),
    )
    if not others:
        return list(found)
    rest = iter(found)
    return [others[position] if position in others else next(rest) for position in range(len(numbers) + len(others))]


def _pieces(together: bytes) -> Iterable[bytes]:
    return [together[start : start + 32] for start in range(0, len(together), 32)]
