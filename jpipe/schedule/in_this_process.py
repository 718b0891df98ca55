"""Which items the main process does itself: where there is no parallelism, no worker is started."""

from __future__ import annotations

from collections.abc import Iterable

from jpipe.decide.call_state import CallState
from jpipe.schedule.chunks import StepQueue
from jpipe.schedule.in_flight import InFlight
from jpipe.schedule.isolation import needs_process
from jpipe.schedule.ready_queue import ReadyQueue

__all__ = ["needs_workers", "runs_here"]

SHORT_RUN = 0.25
"""Work that is expected to take less than this is done before workers would have started, seconds."""


def needs_workers(states: Iterable[CallState]) -> bool:
    """Whether calls that are done would be given to workers if all of their items were to run again."""
    states = list(states)
    return sum(state.seconds for state in states) >= SHORT_RUN or any(needs_process(s.call.step) for s in states)


def runs_here(entry: StepQueue, ready_queue: ReadyQueue, in_flight: InFlight) -> bool:
    """Whether this process does the next item of a step itself."""
    if in_flight.running and in_flight.n_jobs > 1:
        return False
    if needs_process(entry.step) or ready_queue.is_deadly(entry):
        return False
    if in_flight.n_jobs == 1:
        return True
    # One that killed its process before is not to kill this one.
    if in_flight.losses.happened or ready_queue.holds_failed():
        return False
    if ready_queue.ready == 1 and ready_queue.pause is None:
        return True
    return not in_flight.has_pools and ready_queue.expected(SHORT_RUN) < SHORT_RUN
