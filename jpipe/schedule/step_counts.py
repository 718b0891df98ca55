"""Count what becomes of the items of each step, and say so as events."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from jpipe.decide.call_state import CallState, Status
from jpipe.define.layout import expected_items
from jpipe.model.events import ItemsKnown, Observer, RunEnded, StepEnded, StepStarted
from jpipe.model.outcomes import Outcome
from jpipe.model.reasons import Reason
from jpipe.schedule.item_results import ItemResults

__all__ = ["RunCounts", "StepCounts"]


@dataclass(slots=True, eq=False, repr=False)
class StepCounts:
    """The items of one step, by what became of them; times in seconds.

    The first `done` calls are known to be done. `unsynced` parts of its results are on their way to the disk. `ran` are
    items by the number of their call that this run has computed already, before it was planned anew.
    """

    name: str
    states: list[CallState]
    ran: Mapping[int, set[int]]
    started: float | None = None
    ended: float | None = None
    unsynced: int = 0
    done: int = 0
    reported: bool = False
    seconds_saved: float = 0.0
    counts: dict[Status, int] = field(default_factory=dict)

    def count(self) -> None:
        """Count the items as they are now."""
        together = b"".join(state.status for state in self.states)
        counts = {status: together.count(status) for status in Status}
        counts[Status.WAITING] += sum(expected_items(state.call) for state in self.states if state.count is None)
        again = sum(map(self._ran_before, self.states)) if self.ran else 0
        counts[Status.CACHED] -= again
        counts[Status.RAN] += again
        self.counts = counts

    def _ran_before(self, state: CallState) -> int:
        """How many items are cached because this run computed them."""
        return len(self.ran.get(state.call.number, set()).intersection(state.items(Status.CACHED)))

    @property
    def is_settled(self) -> bool:
        """Whether the result of every item is known."""
        while self.done < len(self.states) and self.states[self.done].is_done:
            self.done += 1
        return self.done == len(self.states)


class RunCounts:
    """Counts for a whole run.

    Parameters
    ----------
    states
        Of all calls that take part.
    emit
        Takes the events.
    ran
        By the number of their call: items that this run has computed already, before it was planned anew.
    """

    def __init__(self, states: Iterable[CallState], emit: Observer, ran: Mapping[int, set[int]]) -> None:
        self._emit = emit
        self._decided: dict[str, list[Any]] = {}
        self.steps: dict[str, StepCounts] = {}
        for state in states:
            name = state.call.step.name
            self.steps.setdefault(name, StepCounts(name, [], ran)).states.append(state)

    @property
    def any_started(self) -> bool:
        """Whether an item was given to a worker."""
        return any(step.started is not None for step in self.steps.values())

    def known(
        self, state: CallState, *, cached: int = 0, stale: int = 0, saved: float = 0.0, reasons: tuple[Reason, ...] = ()
    ) -> None:
        """It was decided about some items."""
        step = self.steps[state.call.step.name]
        step.seconds_saved += saved
        before = self._decided.get(step.name)
        if before is None:
            self._decided[step.name] = [cached, stale, reasons, saved]
        else:
            before[0] += cached
            before[1] += stale
            before[2] = before[2] or reasons
            before[3] += saved

    def tell_known(self) -> None:
        """Say what was decided since the last time."""
        decided, self._decided = self._decided, {}
        for name, (cached, stale, reasons, saved) in decided.items():
            self._emit(ItemsKnown(name, cached, stale, reasons, saved))

    def started(self, name: str) -> None:
        """An item of the step was given to a worker."""
        self.tell_known()
        step = self.steps[name]
        if step.started is None:
            step.started = time.perf_counter()
            self._emit(StepStarted(name))

    def report(self, *, final: bool, names: Iterable[str] | None = None) -> None:
        """Report the steps of which nothing is left to do; when `final`, all that were not reported."""
        self.tell_known()
        waits = False
        for name in list(names) if names is not None else list(self.steps):
            step = self.steps[name]
            # What turned out the same is told after what it came from, whose results may still be on their way.
            early = waits and step.started is None
            if not step.reported and step.unsynced == 0 and (final or (step.is_settled and not early)):
                self._report(step)
            waits = waits or (step.started is not None and not step.reported)

    def settle(self, *, interrupted: bool, failed: bool) -> None:
        """Name what became of the items that were not done, and report the steps that are left."""
        states = [state for step in self.steps.values() for state in step.states]
        partial = not failed and any(Status.UNASKED in state.status for state in states)
        left = Status.INTERRUPTED if interrupted else Status.UNASKED if partial else Status.BLOCKED
        for state in states:
            state.settle(left, expected_items(state.call))
        self.report(final=True)

    def _report(self, step: StepCounts) -> None:
        step.reported = True
        ended = self._ended(step)
        if ended.items or not step.counts[Status.UNASKED]:
            self._emit(ended)

    def run_ended(
        self,
        outcome: Outcome,
        seconds: float,
        item_results: ItemResults,
    ) -> RunEnded:
        """The last event of a run."""
        for step in self.steps.values():
            step.count()
        total = {status: sum(step.counts[status] for step in self.steps.values()) for status in Status}
        return RunEnded(
            outcome=outcome,
            ran=total[Status.RAN],
            cached=total[Status.CACHED],
            failed=total[Status.FAILED],
            blocked=total[Status.BLOCKED],
            interrupted=total[Status.INTERRUPTED],
            seconds=seconds,
            seconds_saved=sum(step.seconds_saved for step in self.steps.values()),
            slowest=item_results.slowest,
            largest=item_results.largest,
            results=tuple(item_results.final_results.items()),
        )

    def _ended(self, step: StepCounts) -> StepEnded:
        step.count()
        step.ended = time.perf_counter()
        counts = step.counts
        return StepEnded(
            step=step.name,
            outcome=_outcome(counts),
            items=sum(counts.values()) - counts[Status.UNASKED],
            ran=counts[Status.RAN],
            cached=counts[Status.CACHED],
            failed=counts[Status.FAILED],
            blocked=counts[Status.BLOCKED],
            interrupted=counts[Status.INTERRUPTED],
            seconds=step.ended - step.started if step.started is not None else 0.0,
            cut_off=sum(state.status.count(Status.CACHED) for state in step.states if state.was_pending),
            nbytes=sum(state.nbytes for state in step.states),
            seconds_saved=step.seconds_saved,
        )


def _outcome(counts: Mapping[Status, int]) -> Outcome:
    for status, outcome in (
        (Status.FAILED, Outcome.FAILED),
        (Status.INTERRUPTED, Outcome.INTERRUPTED),
        (Status.BLOCKED, Outcome.BLOCKED),
        (Status.RAN, Outcome.RAN),
    ):
        if counts[status]:
            return outcome
    return Outcome.CACHED
