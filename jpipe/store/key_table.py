"""Where the entries of a key are among very many: a dict of few keys, a sorted column of many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

__all__ = ["NONE", "SEVERAL", "KeyTable"]

NONE, SEVERAL = -1, -2
"""What `KeyTable.find` says where a key has no entry, and where it has more than one."""
_SIZE = 32
_SORTED_FROM = 1 << 15
"""So many keys are sorted, at 12 bytes each beside the keys themselves; a dict takes 130 for each."""


_FACTORS = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x27D4EB2F165667C5)
"""Odd numbers: keys that are like each other in places, as a user's own may be, are mixed into different ones."""


class _Sorted(NamedTuple):
    """Eight bytes for each key, in order, and the number of the entry of each."""

    mixed: Any
    numbers: Any

    def like(self, key: bytes) -> list[int]:
        """The entries whose keys are mixed into the same as this one: itself, but for one in a million million."""
        import numpy as np

        mixed = _mixed(_words(key))[0]
        first, last = np.searchsorted(self.mixed, mixed, "left"), np.searchsorted(self.mixed, mixed, "right")
        found: list[int] = self.numbers[first:last].tolist()
        return found


def _words(keys: bytes) -> Any:
    """Joined keys as four numbers each."""
    import numpy as np

    return np.frombuffer(keys, np.uint64).reshape(-1, _SIZE // 8)


def _mixed(words: Any) -> Any:
    import numpy as np

    found = np.zeros(len(words), np.uint64)
    for position, factor in enumerate(_FACTORS):
        found += words[:, position] * np.uint64(factor)
    return found


class KeyTable:
    """The numbers of entries by key, in the order in which they were added. After `add` comes `settle`."""

    def __init__(self) -> None:
        self._keys = b""
        self._added: list[memoryview] = []
        self._sorted: _Sorted | None = None
        self._single: dict[bytes, int] = {}
        self._several: dict[bytes, list[int]] = {}
        self._settled = 0

    def __len__(self) -> int:
        return (len(self._keys) + sum(map(len, self._added))) // _SIZE

    def add(self, keys: memoryview) -> None:
        """Add entries of these keys, joined."""
        self._added.append(keys)

    def settle(self) -> None:
        """Have all entries found that were added."""
        self._keys = b"".join((self._keys, *self._added))
        self._added = []
        count = len(self)
        in_order = 0 if self._sorted is None else len(self._sorted.numbers)
        if count - in_order >= max(_SORTED_FROM, in_order // 4):
            self._sort()
        else:
            for number in range(self._settled, count):
                key = self._key(number)
                first = self._single.setdefault(key, number)
                if first != number:
                    self._several.setdefault(key, [first]).append(number)
        self._settled = count

    def numbers(self, key: bytes) -> list[int]:
        """The entries of a key."""
        found = [] if self._sorted is None else [n for n in self._sorted.like(key) if self._key(n) == key]
        if key in self._several:
            return found + self._several[key]
        number = self._single.get(key)
        return found if number is None else [*found, number]

    def find(self, keys: Sequence[bytes]) -> list[int]:
        """The one entry of each key, `NONE` or `SEVERAL`."""
        if self._sorted is None and not self._several:
            return [self._single.get(key, NONE) for key in keys]
        found = [NONE] * len(keys) if self._sorted is None else self._find_in_order(self._sorted, keys)
        for position, key in enumerate(keys) if self._single else ():
            number = self._single.get(key)
            if number is not None:
                is_only = found[position] == NONE and key not in self._several
                found[position] = number if is_only else SEVERAL
        return found

    def distinct(self) -> set[bytes]:
        """All keys."""
        return set(map(self._key, range(len(self))))

    def _key(self, number: int) -> bytes:
        return self._keys[_SIZE * number : _SIZE * number + _SIZE]

    def _sort(self) -> None:
        import numpy as np

        mixed = _mixed(_words(self._keys))
        numbers = np.argsort(mixed, kind="stable").astype(np.uint32)
        self._sorted = _Sorted(mixed[numbers], numbers)
        self._single, self._several = {}, {}

    def _find_in_order(self, order: _Sorted, keys: Sequence[bytes]) -> list[int]:
        import numpy as np

        asked = _words(b"".join(keys))
        mixed, last = _mixed(asked), len(order.mixed) - 1
        first = np.searchsorted(order.mixed, mixed)
        at, after = np.minimum(first, last), np.minimum(first + 1, last)
        numbers = order.numbers[at].astype(np.int64)
        numbers[(_words(self._keys)[numbers] != asked).any(axis=1)] = NONE
        found: list[int] = numbers.tolist()
        # Two that are mixed into the same are looked at one by one: nearly always they are one key.
        alike = (at != after) & (order.mixed[at] == mixed) & (order.mixed[after] == mixed)
        for position in np.flatnonzero(alike).tolist():
            exact = [n for n in order.like(keys[position]) if self._key(n) == keys[position]]
            found[position] = NONE if not exact else exact[0] if len(exact) == 1 else SEVERAL
        return found
