"""A run as lines of a log: no glyphs, no carriage returns, a time in front of each line."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from jpipe.model.events import ChunkEnded, Event, Failure, ItemFailed, Notice, RunEnded, StepEnded, StepStarted, Waiting
from jpipe.model.outcomes import Outcome
from jpipe.render.eta import seconds_left
from jpipe.render.failure_text import headline
from jpipe.render.humanize import about, counted, took
from jpipe.render.run_text import Wishes, brief_reasons, chunk_end, noted_items, notice, run_end, to_run
from jpipe.render.source_excerpt import short_path
from jpipe.render.styled_text import Line, dim, line

if TYPE_CHECKING:
    from collections.abc import Callable

    from jpipe.render.run_progress import Standing, StepStanding

__all__ = ["LogTeller"]


class LogTeller:
    """Says what a log file, a batch system or CI keeps of a run.

    Parameters
    ----------
    standing
        Has taken each event before `hear` gets it.
    wishes
        What to tell.
    now
        The time of day.
    """

    def __init__(
        self, standing: Standing, wishes: Wishes, now: Callable[[], time.struct_time] = time.localtime
    ) -> None:
        self._standing = standing
        self._wishes = wishes
        self._now = now
        self._failed: set[tuple[str, str]] = set()
        self._opened = False

    def hear(self, event: Event) -> list[Line]:
        """The lines that this event is worth."""
        match event:
            case StepStarted():
                return [*self._open(), self._stamped(_started(self._standing.step(event.step), self._standing))]
            case StepEnded():
                text = _ended(event)
                noted = noted_items([self._standing.step(event.step)], self._wishes)
                return [self._stamped(text, *((" · ", noted) if noted else ()))] if text else []
            case ItemFailed():
                return self._first_of_its_kind(event.failure)
            case ChunkEnded():
                return chunk_end(event, self._wishes)
            case Waiting():
                return [self._stamped(f"{event.step}: waits, {event.holder} computes it")]
            case Notice():
                return notice(event)
            case RunEnded():
                return self._end(event)
            case _:
                return []

    def beat(self, elapsed: dict[str, float]) -> list[Line]:
        """A sign of life: where each running step stands, given for how many seconds it has run."""
        return [
            self._stamped(_standing(step, elapsed.get(step.name, 0.0), self._standing))
            for step in self._standing.steps.values()
            if step.running
        ]

    def _first_of_its_kind(self, failure: Failure) -> list[Line]:
        """A thousand items that fail alike are told once now, and counted at the end."""
        kind = failure.step, failure.error_type
        if kind in self._failed:
            return []
        self._failed.add(kind)
        return [self._stamped("failed: ", headline(failure))]

    def _stamped(self, *parts: str | Line) -> Line:
        return line(dim(time.strftime("%H:%M:%S ", self._now())), *parts)

    def _open(self) -> list[Line]:
        start = self._standing.start
        if self._opened or start is None:
            return []
        self._opened = True
        may_run = self._standing.items - self._standing.cached - self._standing.stale
        facts = [counted(self._standing.items, "item")]
        if self._standing.cached:
            facts.append(f"{self._standing.cached:,} cached")
        if may_run and self._standing.stale:
            facts += [f"{self._standing.stale:,} to run", f"{may_run:,} may run"]
        facts += [counted(start.jobs, "worker"), f"cache {short_path(start.cache_dir)}"]
        return [self._stamped(f"{start.pipeline}: {', '.join(facts)}")]

    def _end(self, event: RunEnded) -> list[Line]:
        fine = event.outcome in (Outcome.RAN, Outcome.CACHED)
        if fine and not self._opened:
            return run_end(event, self._standing, self._wishes, opened=False)
        pipeline = self._standing.start.pipeline if self._standing.start else "run"
        word = "ok" if fine else event.outcome.value
        counts = f"{event.ran:,} ran, {event.cached:,} cached, {event.failed:,} failed"
        blocked = f", {event.blocked:,} not started" if event.blocked else ""
        last = [] if fine else run_end(event, self._standing, self._wishes, opened=True)
        return [self._stamped(f"{pipeline}: {word} in {took(event.seconds)}, {counts}{blocked}"), *last]


def _started(step: StepStanding, standing: Standing) -> str:
    why = brief_reasons(step)
    return f"{step.name}: {to_run(step, standing)}" + (f" ({why})" if why else "")


def _ended(event: StepEnded) -> str:
    """Cached steps say nothing, unless their being cached is news."""
    if not (event.ran or event.failed or event.interrupted):
        return f"{event.step}: {event.cut_off:,} cached, what it needs came out the same" if event.cut_off else ""
    counts = [
        f"{number:,} {word}"
        for number, word in (
            (event.ran, "ran"),
            (event.failed, "failed"),
            (event.cached, "cached"),
            (event.blocked, "not started"),
            (event.interrupted, "interrupted"),
        )
        if number
    ]
    word = "failed" if event.failed else "stopped" if event.interrupted or event.blocked else "done"
    return f"{event.step}: {word}, {', '.join(counts)} in {took(event.seconds)}"


def _standing(step: StepStanding, elapsed: float, standing: Standing) -> str:
    left = seconds_left(step, elapsed, standing.start.jobs if standing.start else 1)
    until = f", {about(left)} left" if left is not None else f", running for {took(elapsed)}"
    return f"{step.name}: {step.finished:,}/{step.stale:,}{until}"
