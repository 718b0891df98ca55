"""How fast a step goes and when it will be over, from what it did so far and from earlier runs.

Only items that run count: cached ones cost nothing and would make every estimate too hopeful.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jpipe.render.run_progress import Standing, StepStanding

__all__ = ["rate", "run_seconds_left", "seconds_left"]

_WEIGHT = 4.0
"""An estimate from earlier runs weighs as much as this many items of this run."""


def rate(step: StepStanding, elapsed: float, jobs: int) -> float | None:
    """Items a second, or None where nothing is known yet.

    Parameters
    ----------
    step
        Where it stands.
    elapsed
        Seconds since its first item was given to a worker.
    jobs
        Number of workers.
    """
    expected = _expected_rate(step, jobs)
    if expected is None:
        return step.finished / elapsed if step.finished and elapsed > 0 else None
    return (step.finished + _WEIGHT) / (max(elapsed, 0.0) + _WEIGHT / expected)


def seconds_left(step: StepStanding, elapsed: float, jobs: int) -> float | None:
    """Seconds until a running step is over, or None where nothing is known yet."""
    speed = rate(step, elapsed, jobs)
    return None if not speed else max(0, step.stale - step.finished) / speed


def run_seconds_left(standing: Standing, elapsed: dict[str, float]) -> float | None:
    """Seconds until the run is over, or None while a step of which nothing is known is still to come."""
    if standing.start is None:
        return None
    jobs = standing.start.jobs
    total = 0.0
    for name in dict.fromkeys([*standing.start.steps, *standing.steps]):
        step = standing.steps.get(name)
        if step is not None and step.started:
            left = 0.0 if step.ended else seconds_left(step, elapsed.get(name, 0.0), jobs)
        else:
            left = _seconds_to_come(standing, name, jobs)
        if left is None:
            return None
        total += left
    return total


def _seconds_to_come(standing: Standing, name: str, jobs: int) -> float | None:
    """What a step takes that has not started: all its items that are not cached, as far as they are known."""
    assert standing.start is not None
    step = standing.steps.get(name)
    known = standing.start.steps.get(name, 1)
    items = 0 if step is not None and step.ended else known - step.cached if step is not None else known
    seconds = standing.start.expected_seconds.get(name)
    if items <= 0:
        return 0.0
    return None if seconds is None else seconds * items / min(jobs, items)


def _expected_rate(step: StepStanding, jobs: int) -> float | None:
    if not step.seconds_an_item or not step.stale:
        return None
    return min(jobs, step.stale) / step.seconds_an_item
