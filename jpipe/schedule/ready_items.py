"""Items that are ready to run, first in first out; a call's items stand together, so that a million are light."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from jpipe.decide.call_state import CallState

__all__ = ["Item", "Ready"]

Item = tuple[CallState, int]


@dataclass(slots=True, eq=False, repr=False)
class _Batch:
    """Items of one call; those before `taken` are gone."""

    state: CallState
    indices: Sequence[int]
    taken: int = 0


class Ready:
    """The items of one step that are ready."""

    def __init__(self) -> None:
        self._batches: deque[_Batch] = deque()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Item]:
        for batch in self._batches:
            for position in range(batch.taken, len(batch.indices)):
                yield batch.state, batch.indices[position]

    @property
    def first(self) -> Item:
        """The item whose turn it is; there has to be one."""
        batch = self._batches[0]
        return batch.state, batch.indices[batch.taken]

    def add(self, state: CallState, indices: Sequence[int]) -> None:
        """Items of a call, to come after all others."""
        if indices:
            self._batches.append(_Batch(state, indices))
            self._count += len(indices)

    def put_back(self, items: Sequence[Item]) -> None:
        """Items that come before all others."""
        self._batches.extendleft(_Batch(state, (index,)) for state, index in reversed(items))
        self._count += len(items)

    def take(self, count: int) -> list[Item]:
        """The next `count` items, or all if there are fewer."""
        items: list[Item] = []
        while self._batches and len(items) < count:
            batch = self._batches[0]
            indices = batch.indices[batch.taken : batch.taken + count - len(items)]
            items += [(batch.state, index) for index in indices]
            batch.taken += len(indices)
            if batch.taken == len(batch.indices):
                self._batches.popleft()
        self._count -= len(items)
        return items
