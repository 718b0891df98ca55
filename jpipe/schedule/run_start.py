"""The events with which a run begins; a run that is planned anew emits them once."""

from __future__ import annotations

from jpipe.decide.call_state import Status
from jpipe.decide.item_labels import label_of
from jpipe.decide.pipeline_session import PipelineSession
from jpipe.decide.pipeline_state import PipelineState
from jpipe.define.layout import call_sites, expected_items
from jpipe.define.step_advice import advice_of
from jpipe.model.events import Event, Notice, Observer, RunStarted, StepEnded
from jpipe.schedule.run_request import RunRequest

__all__ = ["Once", "run_started", "tell_advice", "tell_deadly"]


def run_started(
    session: PipelineSession, request: RunRequest, pipeline_state: PipelineState, name: str, n_jobs: int
) -> RunStarted:
    """The first event of a run, which has `n_jobs` workers."""
    calls = [state.call for state in pipeline_state.states.values()]
    steps: dict[str, int] = {}
    needs: dict[str, dict[str, None]] = {}
    for call in calls:
        steps[call.step.name] = steps.get(call.step.name, 0) + expected_items(call)
        taken = (pipeline_state.states[number].call.step.name for number in sorted(call.needs))
        needs.setdefault(call.step.name, {}).update(dict.fromkeys(taken))
    return RunStarted(
        pipeline=session.pipeline.name,
        run=name,
        calls=call_sites(calls),
        items=sum(steps.values()),
        jobs=n_jobs,
        cache_dir=str(session.store.root),
        new_cache=session.is_new,
        expected_seconds=dict(session.last_run.seconds),
        steps=steps,
        partial=request.is_partial,
        needs={step: tuple(taken) for step, taken in needs.items()},
    )


def tell_deadly(pipeline_state: PipelineState, deadly: frozenset[bytes], emit: Observer) -> None:
    """Say which items ended the main process of an earlier run."""
    for state in pipeline_state.states.values() if deadly else ():
        for index, key in enumerate(state.keys):
            if key in deadly and state.status[index] == Status.STALE:
                label = label_of(state, index)
                message = f"a run was ended while it ran {label} itself: now a worker of its own does"
                emit(Notice(message, None, state.call.step.name))


def tell_advice(session: PipelineSession, pipeline_state: PipelineState, emit: Observer) -> None:
    """Say what there is to know of the steps that run: of what costs each time always, else when they run first."""
    waiting = {state.call.step.name: state.call.step for state in pipeline_state.states.values() if not state.is_done}
    for name, step in waiting.items():
        for advice in advice_of(step):
            if advice.costs_each_run or name not in session.last_run.seconds:
                emit(Notice(advice.text, advice.remedy, name))


class Once:
    """Passes events on, each `RunStarted` and `StepEnded` at most once although a run may be planned anew."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._started = False
        self._ended: dict[str, StepEnded] = {}

    @property
    def steps(self) -> list[StepEnded]:
        """The last `StepEnded` of each step."""
        return list(self._ended.values())

    def __call__(self, event: Event) -> None:
        if isinstance(event, RunStarted):
            if self._started:
                return
            self._started = True
        if isinstance(event, StepEnded):
            was_told = event.step in self._ended
            self._ended[event.step] = event
            if was_told:
                return
        self._observer(event)
