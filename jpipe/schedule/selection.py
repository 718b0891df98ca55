"""Which of the stale items of a run may run: all of them, or those that the user selected."""

from __future__ import annotations

from collections.abc import Sequence

from jpipe.decide.call_state import CallState, Status
from jpipe.decide.explain import Explainer
from jpipe.decide.pipeline_session import PipelineSession
from jpipe.decide.pipeline_state import PipelineState
from jpipe.define.selection import steps_meant
from jpipe.errors import NothingSelectedError, UsageError
from jpipe.model.reasons import Reason
from jpipe.schedule.ready_queue import ReadyQueue
from jpipe.schedule.run_request import RunRequest
from jpipe.schedule.step_counts import RunCounts

__all__ = ["Selection"]


class Selection:
    """Puts the stale items that may run into the queue: all of them, or those that the user selected.

    Parameters
    ----------
    session
        The pipeline, made ready.
    request
        What is asked.
    given_up
        The keys of items that failed in this run before it was planned anew.

    Raises
    ------
    UsageError, NothingSelectedError
        When the selection cannot mean anything.
    """

    pipeline_state: PipelineState

    def __init__(self, session: PipelineSession, request: RunRequest, given_up: frozenset[bytes]) -> None:
        self._session = session
        self._given_up = given_up
        self._failed = session.last_run.failed if request.failed else None
        self._items = None if request.items is None else frozenset(request.items)
        self._targets = steps_meant(request.targets, session.layout.calls)
        self._explained: set[str] = set()
        if request.items is not None and not self._targets:
            raise UsageError("items are selected of a step", hint="name the step: jpipe run STEP --item 3")
        if request.failed and not session.last_run.failed:
            raise NothingSelectedError("nothing failed in the last run", hint="run without --failed")

    def attach(self, pipeline_state: PipelineState, counts: RunCounts, ready_queue: ReadyQueue) -> None:
        """Select items of this state: what may run goes into the queue, and every decision is counted."""
        self.pipeline_state = pipeline_state
        self._counts = counts
        self._ready_queue = ready_queue
        self._explainer = Explainer(pipeline_state, self._session.history, self._session.last_run)

    def stale(self, state: CallState, indices: Sequence[int]) -> None:
        """Put stale items into the queue, as far as they may run."""
        for index in indices if self._given_up else ():
            if state.keys[index] in self._given_up:
                state.item_failed(index)
        if self._given_up:
            indices = [index for index in indices if state.status[index] != Status.FAILED]
        chosen = [index for index in indices if self._may_run(state, index)] if self._selects(state) else indices
        if len(chosen) < len(indices):
            for index in set(indices).difference(chosen):
                state.item_unasked(index)
        if not chosen:
            return
        self._ready_queue.add(state, chosen)
        step = state.call.step.name
        reasons: tuple[Reason, ...] = ()
        if step not in self._explained:
            self._explained.add(step)
            reasons = self._explainer.reasons(state, chosen[0])
        self._counts.known(state, stale=len(chosen), reasons=reasons)

    def cached(self, state: CallState, count: int, seconds: float) -> None:
        """Count items that are fresh."""
        self._counts.known(state, cached=count, saved=seconds)

    def refuse_if_nothing(self) -> None:
        """Raise `NothingSelectedError` when the target has no item of the numbers that were given."""
        if self._items is None:
            return
        states = [state for state in self.pipeline_state.states.values() if state.call.step.name in self._targets]
        if any(state.count is None for state in states):
            return
        count = sum(state.count or 0 for state in states)
        if not any(item < count for item in self._items):
            step = ", ".join(sorted(self._targets))
            raise NothingSelectedError(f"{step} has {count} items, from 0 to {count - 1}", hint="choose one of these")

    def _selects(self, state: CallState) -> bool:
        """Whether some items of a call may run and others not."""
        return self._failed is not None or (self._items is not None and state.call.step.name in self._targets)

    def _may_run(self, state: CallState, index: int) -> bool:
        if self._failed is not None:
            return state.keys[index] in self._failed
        if self._items is not None and state.call.step.name in self._targets:
            return self.pipeline_state.numbers.first_of(state) + index in self._items
        return True
