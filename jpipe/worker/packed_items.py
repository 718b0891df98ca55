"""Very many items of one mapped call on their way to a worker: what each has of its own stands in columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import repeat
from typing import Any, overload

from jpipe.worker.messages import ItemWork
from jpipe.worker.seeds import seeds_of
from jpipe.worker.value_references import Given

__all__ = ["PackedItems", "keys_of"]

_SIZE = 32
_NUMBERS = frozenset({int, float, bool, type(None)})
_TEXTS = frozenset({str, bytes})
_LONGEST = 1024
"""Longer texts travel as other values do."""


class PackedItems(Sequence[ItemWork]):
    """Items of one mapped call whose own arguments are plain values, which nobody can change.

    Parameters
    ----------
    keys
        Their keys, joined.
    fixed
        (parameter, digest) of what they have in common.
    digests
        By mapped parameter that counts, the digests of its elements, joined.
    values
        By mapped parameter, its elements.
    shared
        As in `ItemWork`.
    """

    __slots__ = ("digests", "fixed", "keys", "shared", "values")

    def __init__(
        self,
        keys: bytes,
        fixed: tuple[tuple[str, bytes], ...],
        digests: dict[str, bytes],
        values: dict[str, list[Any]],
        shared: int,
    ) -> None:
        self.keys = keys
        self.fixed = fixed
        self.digests = digests
        self.values = values
        self.shared = shared

    def __reduce__(self) -> tuple[Any, ...]:
        return PackedItems, (self.keys, self.fixed, self.digests, self.values, self.shared)

    @staticmethod
    def can_hold(values: Sequence[Any]) -> bool:
        """Whether these are all plain values, and short."""
        kinds = set(map(type, values))
        return kinds <= _NUMBERS or (kinds <= _TEXTS and max(map(len, values), default=0) <= _LONGEST)

    def __len__(self) -> int:
        return len(self.keys) // _SIZE

    @overload
    def __getitem__(self, position: int) -> ItemWork: ...
    @overload
    def __getitem__(self, position: slice) -> list[ItemWork]: ...
    def __getitem__(self, position: int | slice) -> ItemWork | list[ItemWork]:
        if isinstance(position, slice):
            return [self[one] for one in range(*position.indices(len(self)))]
        at = range(len(self))[position] * _SIZE
        own = tuple([(name, column[at : at + _SIZE]) for name, column in self.digests.items()])
        arguments = {name: column[position] for name, column in self.values.items()}
        return ItemWork(self.keys[at : at + _SIZE], Given(arguments), self.shared, self.fixed + own)

    def __iter__(self) -> Iterator[ItemWork]:
        names, columns = tuple(self.values), zip(*self.values.values(), strict=True)
        counting = tuple(self.digests)
        digests = zip(*map(_split, self.digests.values()), strict=True) if counting else repeat((), len(self))
        for key, own, values in zip(_split(self.keys), digests, columns, strict=True):
            arguments = Given(dict(zip(names, values, strict=True)))
            yield ItemWork(key, arguments, self.shared, (*self.fixed, *zip(counting, own, strict=True)))

    def seeds(self) -> list[int]:
        """The `seed` of each item."""
        return seeds_of(self.fixed, self.digests, len(self))

    def columns(self, positions: Sequence[int]) -> tuple[bytes, tuple[tuple[str, bytes], ...]]:
        """Of the items at some positions, in order: the keys, and by parameter the digests of arguments, joined."""

        def chosen(column: bytes) -> bytes:
            if len(positions) == len(self):
                return column
            return b"".join([column[at : at + _SIZE] for at in [_SIZE * position for position in positions]])

        fixed = [(name, digest * len(positions)) for name, digest in self.fixed]
        return chosen(self.keys), (*fixed, *((name, chosen(column)) for name, column in self.digests.items()))


def _split(joined: bytes) -> list[bytes]:
    return [joined[at : at + _SIZE] for at in range(0, len(joined), _SIZE)]


def keys_of(items: Sequence[ItemWork]) -> bytes:
    """The keys of items, joined."""
    return items.keys if isinstance(items, PackedItems) else b"".join([item.key for item in items])
