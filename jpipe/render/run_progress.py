"""Where a run stands, added up from its events."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jpipe.model.events import (
    ChunkEnded,
    Event,
    Failure,
    ItemFailed,
    ItemsKnown,
    RunEnded,
    RunStarted,
    StepEnded,
    StepStarted,
)
from jpipe.model.warned import is_warning

if TYPE_CHECKING:
    from jpipe.model.reasons import Reason

__all__ = ["Standing", "StepStanding"]


@dataclass(slots=True, eq=False, repr=False)
class StepStanding:
    """Where one step stands; the numbers count items, `seconds_an_item` is what one took in earlier runs.

    `warned` counts those whose output holds a warning, `retried` those that failed before, `printed` those that printed
    anything.
    """

    name: str
    cached: int = 0
    stale: int = 0
    ran: int = 0
    failed: int = 0
    reasons: dict[Reason, None] = field(default_factory=dict)
    seconds_an_item: float | None = None
    started: bool = False
    label: str = ""
    warned: int = 0
    retried: int = 0
    printed: int = 0
    ended: StepEnded | None = None

    @property
    def finished(self) -> int:
        """Items that ran, well or not."""
        return self.ran + self.failed

    @property
    def running(self) -> bool:
        """Whether some of its items were given to workers and the step is not over."""
        return self.started and self.ended is None

    @property
    def known(self) -> int:
        """Items of which it is decided whether they run."""
        return self.cached + self.stale


class Standing:
    """Where a run stands.

    Attributes
    ----------
    start, end : RunStarted or None, RunEnded or None
    steps : dict[str, StepStanding]
        By name, in the order in which they were first heard of.
    failures : list[Failure]
    workers : dict[int, int]
        Items finished by each worker.
    """

    def __init__(self) -> None:
        self.start: RunStarted | None = None
        self.end: RunEnded | None = None
        self.steps: dict[str, StepStanding] = {}
        self.failures: list[Failure] = []
        self.workers: dict[int, int] = {}

    def take(self, event: Event) -> None:
        """Add an event."""
        match event:
            case RunStarted():
                self.start = event
            case ItemsKnown():
                step = self.step(event.step)
                step.cached += event.cached
                step.stale += event.stale
                step.reasons |= dict.fromkeys(event.reasons)
            case StepStarted():
                self.step(event.step).started = True
            case ChunkEnded():
                self._add_chunk(event)
            case ItemFailed():
                self.failures.append(event.failure)
            case StepEnded():
                self.step(event.step).ended = event
            case RunEnded():
                self.end = event
            case _:
                pass

    def _add_chunk(self, event: ChunkEnded) -> None:
        step = self.step(event.step)
        step.ran += event.ran
        step.failed += event.failed
        step.warned += sum(is_warning(output) for _, output in event.output)
        step.retried += event.retried
        step.printed += len(event.output)
        self.workers[event.worker] = self.workers.get(event.worker, 0) + event.ran + event.failed
        if event.items:
            step.label = event.items[-1].label

    def step(self, name: str) -> StepStanding:
        """The standing of one step."""
        found = self.steps.get(name)
        if found is None:
            seconds = self.start.expected_seconds.get(name) if self.start else None
            found = self.steps[name] = StepStanding(name, seconds_an_item=seconds)
        return found

    @property
    def items(self) -> int:
        """Items of the run, as far as they are known."""
        return max(self.start.items if self.start else 0, sum(step.known for step in self.steps.values()))

    @property
    def cached(self) -> int:
        """Items whose result came from the cache."""
        return sum(step.cached for step in self.steps.values())

    @property
    def stale(self) -> int:
        """Items that have run or will."""
        return sum(step.stale for step in self.steps.values())

    @property
    def finished(self) -> int:
        """Items that ran, well or not."""
        return sum(step.finished for step in self.steps.values())
