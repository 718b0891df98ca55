"""What is ready to run and has not been given out: a queue for each step, longest remaining path first."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from jpipe.decide.call_state import CallState
from jpipe.define.layout import Call
from jpipe.schedule.chunks import StepQueue
from jpipe.schedule.ready_items import Item

__all__ = ["ReadyQueue"]

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 30.0
"""How long a failed item waits for its second try, and for any other at most, seconds."""


class ReadyQueue:
    """Items that are to run.

    Parameters
    ----------
    calls
        All calls, each after those that it needs.
    seconds
        By step, what one item took in earlier runs.
    failed_before
        The keys of items that failed in the last run.
    deadly
        The keys of items that took the main process of an earlier run with them.
    """

    def __init__(
        self,
        calls: Sequence[Call],
        seconds: Mapping[str, float],
        failed_before: frozenset[bytes],
        deadly: frozenset[bytes] = frozenset(),
    ) -> None:
        self._seconds = seconds
        self._calls = calls
        self._remaining: dict[int, float] | None = None
        self._failed_before = failed_before | deadly
        self._deadly = deadly
        self._queues: dict[int, StepQueue] = {}
        self._attempts: dict[tuple[int, int], int] = {}
        self._delayed: list[tuple[float, StepQueue, Item]] = []

    def add(self, state: CallState, indices: Sequence[int]) -> None:
        """Items of a call became ready."""
        step = state.call.step
        entry = self._queues.get(id(step))
        if entry is None:
            entry = self._queues[id(step)] = StepQueue(step)
            entry.pace.seconds = self._seconds.get(step.name)
            entry.pace.largest_chunk = 1 if entry.pace.seconds is None else 1000
        entry.ready.add(state, indices)
        self._rank(entry, state.call.number)

    def first(self, may_run: Callable[[StepQueue], bool], *, ranked: bool) -> StepQueue | None:
        """The queue to take from now, of those that may run.

        Parameters
        ----------
        may_run
            Whether there is room for an item of a queue.
        ranked
            Whether it matters which of several is the first.
        """
        queues = [entry for entry in self._queues.values() if entry.ready and entry.room() and may_run(entry)]
        if len(queues) < 2:
            return queues[0] if queues else None
        if ranked and self._remaining is None:
            self._remaining = _remaining(self._calls, self._seconds)
            for entry in self._queues.values():
                for number in {state.call.number for state, _ in entry.ready}:
                    self._rank(entry, number)
        return max(queues, key=lambda entry: (entry.priority, -entry.ready.first[0].call.number))

    def put_back(self, entry: StepQueue, items: Iterable[Item]) -> None:
        """Items were given out, and it is not known that they ran."""
        items = list(items)
        entry.returned.update((state.call.number, index) for state, index in items)
        entry.ready.put_back(items)

    def failed(self, entry: StepQueue, item: Item, *, stopping: bool) -> bool:
        """Whether an item that failed is tried again, after a pause: it has tries left, the run is not `stopping`."""
        place = item[0].call.number, item[1]
        tries = self._attempts[place] = self._attempts.get(place, 0) + 1
        if stopping or tries > entry.options.retries:
            return False
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (tries - 1))
        self._delayed.append((time.monotonic() + pause, entry, item))
        return True

    def failures(self, state: CallState, index: int) -> int:
        """How often an item has failed in this run."""
        return self._attempts.get((state.call.number, index), 0)

    def have_failed(self) -> bool:
        """Whether any item has failed in this run."""
        return bool(self._attempts)

    def release(self) -> None:
        """Make those items ready whose pause is over."""
        now = time.monotonic()
        due = [entry for entry in self._delayed if entry[0] <= now]
        self._delayed = [entry for entry in self._delayed if entry[0] > now]
        for _, entry, item in due:
            entry.ready.add(item[0], [item[1]])

    @property
    def pause(self) -> float | None:
        """How long until an item is tried again, seconds; None when none is to be."""
        if not self._delayed:
            return None
        return max(0.0, min(entry[0] for entry in self._delayed) - time.monotonic())

    @property
    def ready(self) -> int:
        """How many items could run now."""
        return sum(len(entry.ready) for entry in self._queues.values())

    def expected(self, unknown: float) -> float:
        """How long all ready items should take one after the other, seconds; `unknown` for a step never timed."""
        return sum(
            unknown if entry.pace.seconds is None else len(entry.ready) * entry.pace.seconds
            for entry in self._queues.values()
            if entry.ready
        )

    def holds_failed(self) -> bool:
        """Whether items are ready that failed in the last run."""
        if not self._failed_before:
            return False
        ready = (item for entry in self._queues.values() for item in entry.ready)
        return any(state.keys[index] in self._failed_before for state, index in ready)

    def is_deadly(self, entry: StepQueue) -> bool:
        """Whether the next item of a queue took a main process with it before."""
        state, index = entry.ready.first
        return bool(self._deadly) and state.keys[index] in self._deadly

    def _rank(self, entry: StepQueue, call: int) -> None:
        if self._remaining is not None:
            entry.priority = max(entry.priority, self._remaining.get(call, 0.0))


def _remaining(calls: Sequence[Call], seconds: Mapping[str, float]) -> dict[int, float]:
    """By call, how long the longest path from it to an end takes; a second for an item of a step never timed."""
    longest: dict[int, float] = {}
    for call in reversed(calls):
        # Whatever needs this call stands after it, and has said how long its own path is.
        longest[call.number] = longest.get(call.number, 0.0) + seconds.get(call.step.name, 1.0)
        for need in call.needs:
            longest[need] = max(longest.get(need, 0.0), longest[call.number])
    return longest
