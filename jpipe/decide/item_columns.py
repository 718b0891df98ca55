"""What is known of each item of a call: of few in a list, of many packed, a digest in 32 bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import overload

from jpipe.store import Inline, Where

__all__ = [
    "BLOCK", "Digests", "Places", "as_range", "blocks", "chosen", "digests_of", "unknown_digests", "unknown_places",
]  # fmt: skip

BLOCK = 1 << 14
"""Of very many items so many are looked at together: what is made of each meanwhile stays small."""
_FEW = 256
"""Most calls have one item, of which is asked often: so many are held as lists hold them."""
_SIZE = 32
_UNKNOWN = bytes(_SIZE)
"""No digest is this."""


def blocks(indices: Sequence[int]) -> Iterator[Sequence[int]]:
    """Pieces of a long sequence, in order."""
    if len(indices) <= BLOCK:
        yield indices
        return
    for start in range(0, len(indices), BLOCK):
        yield indices[start : start + BLOCK]


def chosen(indices: Sequence[int], positions: Sequence[int]) -> Sequence[int]:
    """Those at some positions, in order; a range stays one where that is all of it."""
    return indices if len(positions) == len(indices) else [indices[position] for position in positions]


def as_range(indices: Sequence[int]) -> Sequence[int]:
    """The same indices, as a range where each follows the one before: of these columns give a piece at once."""
    if isinstance(indices, range) or not indices or indices[-1] - indices[0] != len(indices) - 1:
        return indices
    row = range(indices[0], indices[-1] + 1)
    return row if indices == [*row] else indices


def unknown_digests(count: int) -> Digests:
    """A digest for each of `count` items, of which none is known."""
    return _DigestList([None] * count) if count <= _FEW else _DigestColumn(bytearray(_SIZE * count))


def digests_of(known: Iterable[bytes | None]) -> Digests:
    """These digests; None for one that is not known."""
    found = [*known]
    if len(found) <= _FEW:
        return _DigestList(found)
    return _DigestColumn(bytearray(b"".join([_UNKNOWN if digest is None else digest for digest in found])))


def unknown_places(count: int) -> Places:
    """Where the result of each of `count` items is, of which none is known."""
    return _PlaceList([None] * count) if count <= _FEW else _PlaceColumn(count)


class _DigestList(list["bytes | None"]):
    """A digest for each of few items, or None; what the methods do is said of `_DigestColumn`."""

    __slots__ = ()

    def fill(self, indices: Sequence[int], digests: bytes) -> None:
        """Set the digests of many items, given joined."""
        for position, index in enumerate(indices):
            self[index] = digests[_SIZE * position : _SIZE * position + _SIZE]

    def take(self, indices: Sequence[int]) -> list[bytes]:
        """The digests of many items, all of which are known."""
        return [digest for index in indices if (digest := self[index]) is not None]

    def joined(self) -> bytes | bytearray:
        """The digests that are known, one after the other; not to be changed."""
        return b"".join([digest for digest in self if digest is not None])

    def are_distinct(self) -> bool:
        """Whether no two items have the same; False where it is not known of all."""
        return None not in self and len({*self}) == len(self)


class _DigestColumn(Sequence["bytes | None"]):
    """A digest for each of many items, or None where it is not known.

    Parameters
    ----------
    digests
        The digests, joined.
    """

    __slots__ = ("_digests",)

    def __init__(self, digests: bytearray) -> None:
        self._digests = digests

    def __len__(self) -> int:
        return len(self._digests) // _SIZE

    @overload
    def __getitem__(self, index: int) -> bytes | None: ...
    @overload
    def __getitem__(self, index: slice) -> list[bytes | None]: ...
    def __getitem__(self, index: int | slice) -> bytes | list[bytes | None] | None:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if index < 0:
            index += len(self)
        found = bytes(self._digests[_SIZE * index : _SIZE * index + _SIZE])
        if not found:
            raise IndexError(index)
        return found if found != _UNKNOWN else None

    def __setitem__(self, index: int, digest: bytes | None) -> None:
        self._digests[_SIZE * index : _SIZE * index + _SIZE] = digest or _UNKNOWN

    def __iter__(self) -> Iterator[bytes | None]:
        for start in range(0, len(self._digests), _SIZE * BLOCK):
            piece = bytes(self._digests[start : start + _SIZE * BLOCK])
            found = [piece[at : at + _SIZE] for at in range(0, len(piece), _SIZE)]
            yield from found if _UNKNOWN not in piece else [None if one == _UNKNOWN else one for one in found]

    def __contains__(self, digest: object) -> bool:
        if digest is None:
            digest = _UNKNOWN
        if not isinstance(digest, bytes):
            return False
        at = self._digests.find(digest)
        while at >= 0 and at % _SIZE:
            at = self._digests.find(digest, at + 1)
        return at >= 0

    def fill(self, indices: Sequence[int], digests: bytes) -> None:
        """Set the digests of many items, given joined."""
        if isinstance(indices, range) and indices.step == 1:
            self._digests[_SIZE * indices.start : _SIZE * indices.stop] = digests
            return
        for position, index in enumerate(indices):
            self._digests[_SIZE * index : _SIZE * index + _SIZE] = digests[_SIZE * position : _SIZE * position + _SIZE]

    def take(self, indices: Sequence[int]) -> list[bytes]:
        """The digests of many items, all of which are known."""
        if isinstance(indices, range) and indices.step == 1:
            piece = bytes(self._digests[_SIZE * indices.start : _SIZE * indices.stop])
            return [piece[at : at + _SIZE] for at in range(0, len(piece), _SIZE)]
        return [digest for index in indices if (digest := self[index]) is not None]

    def joined(self) -> bytes | bytearray:
        """The digests that are known, one after the other; not to be changed."""
        if None not in self:
            return self._digests
        return b"".join([digest for digest in self if digest is not None])

    def are_distinct(self) -> bool:
        """Whether no two items have the same; False where it is not known of all."""
        if None in self:
            return False
        if len(self) <= 2 * BLOCK:  # numpy takes longer to import
            return len({*self}) == len(self)
        import numpy as np

        # Of two digests that differ the first eight bytes do, but for one in a million million pairs.
        starts = np.sort(np.frombuffer(self._digests, np.uint64)[:: _SIZE // 8])
        return bool((starts[1:] != starts[:-1]).all())


class _PlaceList(list["Where | None"]):
    """Where the result of each of few items is, or None."""

    __slots__ = ()

    def fill(self, indices: Sequence[int], payloads: Sequence[bytes]) -> None:
        """Set the places of many small results."""
        for index, payload in zip(indices, payloads, strict=True):
            self[index] = Inline(payload)


class _PlaceColumn(Sequence["Where | None"]):
    """Where the result of each item is, or None; of a small one only its bytes are held."""

    __slots__ = ("_places",)

    def __init__(self, count: int) -> None:
        self._places: list[Where | bytes | None] = [None] * count

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> Where | None: ...
    @overload
    def __getitem__(self, index: slice) -> list[Where | None]: ...
    def __getitem__(self, index: int | slice) -> Where | list[Where | None] | None:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        place = self._places[index]
        return Inline(place) if type(place) is bytes else place  # type: ignore[return-value]

    def __iter__(self) -> Iterator[Where | None]:
        return (Inline(place) if type(place) is bytes else place for place in self._places)  # type: ignore[misc]

    def __contains__(self, place: object) -> bool:
        return (place.payload if type(place) is Inline else place) in self._places

    def __setitem__(self, index: int, place: Where | None) -> None:
        self._places[index] = place.payload if type(place) is Inline else place

    def fill(self, indices: Sequence[int], payloads: Sequence[bytes]) -> None:
        """Set the places of many small results."""
        if isinstance(indices, range) and indices.step == 1:
            self._places[indices.start : indices.stop] = payloads
            return
        for index, payload in zip(indices, payloads, strict=True):
            self._places[index] = payload


Digests = _DigestList | _DigestColumn
Places = _PlaceList | _PlaceColumn
