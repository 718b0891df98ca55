"""Draw the items of a map, no more of them than asked for.

An item is the tuple of the arguments at one position of the iterables; the shortest iterable ends the map.
"""

from __future__ import annotations

import collections
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from itertools import islice
from typing import Any, Protocol

__all__ = ["Columns", "Drawn", "Fed", "InTurns", "Items", "Source", "is_empty", "length_of", "source_of"]

Snapshot = Callable[[tuple[Any, ...]], Any]
"""Applied to each item when it is drawn."""

_STABLE_MODULES = {"builtins", "collections", "array", "numpy", "pandas"}


class Columns:
    """Some consecutive items, as a slice of each iterable: smaller than the items one by one.

    Parameters
    ----------
    slices
        Sequences of equal length.
    """

    __slots__ = ("slices",)

    def __init__(self, slices: tuple[Any, ...]) -> None:
        self.slices = slices

    def __reduce__(self) -> tuple[Any, ...]:
        return Columns, (self.slices,)

    def __len__(self) -> int:
        return min(map(len, self.slices), default=0)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return zip(*self.slices, strict=False)


Items = list[Any] | Columns


class Source(Protocol):
    """Where a map gets its items."""

    error: BaseException | None
    """What the iterables raised instead of an item."""

    @property
    def ended(self) -> bool:
        """Whether there are no more."""

    @property
    def in_hand(self) -> int:
        """How many items were drawn and not taken."""

    def available(self, size: int) -> int:
        """How many of the next `size` items can be had without waiting; the others are being drawn."""

    def take(self, size: int) -> tuple[int, Items]:
        """Index of the first, and as many as are available of the next `size` items."""

    def remaining(self) -> int | None:
        """How many are left, or None if nobody knows."""

    def close(self) -> None:
        """No more items are needed."""


def source_of(
    iterables: Sequence[Iterable[Any]], total: int | None, snapshot: Snapshot | None, fed: Callable[[], None]
) -> Source:
    """The right source for some iterables.

    Parameters
    ----------
    iterables
        One for each positional argument of the function.
    total
        How many items there will be, if the caller knows.
    snapshot
        For items of iterables that might change an item after it was drawn.
    fed
        See `Fed`.
    """
    for iterable in iterables:
        if not hasattr(iterable, "__iter__") and not hasattr(iterable, "__getitem__"):
            raise TypeError(
                f"{type(iterable).__name__!r} object is not iterable; an argument that is the same for all items "
                "is given by name, or with functools.partial"
            )
    if not all(isinstance(iterable, Sized) for iterable in iterables):
        return Fed(iterables, total, snapshot, fed)
    length = length_of(iterables)
    if all(map(_is_sliceable, iterables)):
        return Sliced(iterables, length or 0)
    # Of anything else the length is for the bar: that of a table is its rows, and it gives its columns.
    return Drawn(iterables, length, None if all(map(_is_stable, iterables)) else snapshot)


def length_of(iterables: Sequence[Iterable[Any]]) -> int | None:
    """The length of the shortest iterable among those that have one."""
    return min((len(iterable) for iterable in iterables if isinstance(iterable, Sized)), default=None)


def is_empty(iterables: Sequence[Iterable[Any]]) -> bool:
    """Whether there is no item for sure."""
    return any(_is_sliceable(iterable) and len(iterable) == 0 for iterable in iterables)  # type: ignore[arg-type]


def _is_stable(iterable: Iterable[Any]) -> bool:
    """Whether going on with the iteration leaves earlier elements as they are."""
    return type(iterable).__module__.partition(".")[0] in _STABLE_MODULES


def _is_sliceable(iterable: Any) -> bool:
    """Whether a slice has the same elements as the iteration."""
    numpy = sys.modules.get("numpy")
    return type(iterable) in (list, tuple, range) or (numpy is not None and type(iterable) is numpy.ndarray)


class Sliced:
    """Items of sequences, taken as slices."""

    error: BaseException | None = None
    in_hand = 0

    def __init__(self, sequences: Sequence[Any], length: int) -> None:
        self._sequences = sequences
        self._length = length
        self._taken = 0

    @property
    def ended(self) -> bool:
        return self._taken >= self._length

    def available(self, size: int) -> int:
        return size

    def take(self, size: int) -> tuple[int, Items]:
        first = self._taken
        self._taken = min(first + size, self._length)
        return first, Columns(tuple(sequence[first : self._taken] for sequence in self._sequences))

    def remaining(self) -> int | None:
        return self._length - self._taken

    def close(self) -> None:
        self._taken = self._length


class Drawn:
    """Items of iterables that have a length, drawn when they are taken."""

    in_hand = 0

    def __init__(self, iterables: Sequence[Iterable[Any]], length: int | None, snapshot: Snapshot | None) -> None:
        items = zip(*iterables, strict=False)
        self._items = items if snapshot is None else map(snapshot, items)
        self._length = length
        self._taken = 0
        self.ended = False
        self.error: BaseException | None = None

    def available(self, size: int) -> int:
        return size

    def take(self, size: int) -> tuple[int, Items]:
        first, items = self._taken, list[Any]()
        try:
            items.extend(islice(self._items, size))
        except Exception as error:
            self.error = error
        self._taken += len(items)
        self.ended = len(items) < size
        return first, items

    def remaining(self) -> int | None:
        return _left(self._length, self._taken)

    def close(self) -> None:
        self.ended = True


class InTurns:
    """Items of one list in consecutive parts, a few of each part in turn.

    Parameters
    ----------
    items
        All the arguments of the function that vary.
    parts
        The ranges of their indices.
    """

    in_hand = 0

    def __init__(self, items: Sequence[Any], parts: Sequence[range]) -> None:
        self._items = items
        self._parts = collections.deque(part for part in parts if part)
        self._left = sum(map(len, self._parts))
        self.ended = not self._parts
        self.error: BaseException | None = None

    def available(self, size: int) -> int:
        return size

    def take(self, size: int) -> tuple[int, Items]:
        part = self._parts.popleft()
        taken, rest = part[:size], part[size:]
        if rest:
            self._parts.append(rest)
        self._left -= len(taken)
        self.ended = not self._parts
        return taken.start, Columns((self._items[taken.start : taken.stop],))

    def remaining(self) -> int | None:
        return self._left

    def in_order(self) -> Iterator[tuple[Any, ...]]:
        """All items, one part after the other."""
        return ((item,) for item in self._items)

    def close(self) -> None:
        self.ended = True


class Fed:
    """Items of iterators that may make one wait, such as generators: drawn in a thread of their own.

    So results can be had while a generator waits, even for something that depends on them.

    Parameters
    ----------
    iterables, total, snapshot
        See `source_of`.
    fed
        Called from the thread when `available` would give more than it gave before: any item where there was none,
        or all that were asked for.
    """

    def __init__(
        self, iterables: Sequence[Iterable[Any]], total: int | None, snapshot: Snapshot | None, fed: Callable[[], None]
    ) -> None:
        self._iterables = iterables
        self._total = total
        self._snapshot = snapshot
        self._fed = fed
        self._items: collections.deque[Any] = collections.deque()
        self._changed = threading.Condition()
        self._wanted = 0
        self._drawn = 0
        self._call_at = 0
        self._finished = False
        self._closed = False
        self._thread: threading.Thread | None = None
        self.error: BaseException | None = None

    @property
    def ended(self) -> bool:
        with self._changed:
            return self._closed or (self._finished and not self._items)

    @property
    def in_hand(self) -> int:
        return len(self._items)

    def available(self, size: int) -> int:
        if self._thread is None:
            self._thread = threading.Thread(target=self._draw, name="jpipe-map-items", daemon=True)
            self._thread.start()
        with self._changed:
            here = len(self._items)
            self._wanted = max(self._wanted, self._drawn - here + size)
            self._call_at = 1 if here == 0 else size
            self._changed.notify()
            return size if self._finished else min(here, size)

    def take(self, size: int) -> tuple[int, Items]:
        with self._changed:
            first = self._drawn - len(self._items)
            return first, [self._items.popleft() for _ in range(min(size, len(self._items)))]

    def remaining(self) -> int | None:
        return _left(self._total, self._drawn - len(self._items))

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()

    def _draw(self) -> None:
        try:
            items = zip(*self._iterables, strict=False)
            for item in items if self._snapshot is None else map(self._snapshot, items):
                if not self._add(item):
                    return
        except BaseException as error:
            self.error = error
        with self._changed:
            self._finished = True
        self._fed()

    def _add(self, item: Any) -> bool:
        """Hand over an item, and wait until the next one is wanted."""
        with self._changed:
            self._items.append(item)
            self._drawn += 1
            call = len(self._items) == self._call_at
        if call:
            self._fed()
        with self._changed:
            while self._drawn >= self._wanted and not self._closed:
                self._changed.wait()
            return not self._closed


def _left(total: int | None, taken: int) -> int | None:
    # A total that turned out too small is no help.
    return total - taken if total is not None and total > taken else None
