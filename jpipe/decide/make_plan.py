"""Make a plan from the state of a pipeline before anything runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jpipe.decide.call_state import CallState, Status
from jpipe.decide.explain import Explainer, place_of
from jpipe.decide.pipeline_session import PipelineSession
from jpipe.decide.pipeline_state import PipelineState
from jpipe.decide.record_lookup import RecordLookup
from jpipe.decide.remote_cache import complaints, from_remote
from jpipe.define.layout import Call, Output, expected_items, needs_of
from jpipe.model.outcomes import Verdict
from jpipe.model.plan import Plan, StepPlan
from jpipe.model.reasons import Reason, together

__all__ = ["plan_of"]

EXPLAINED = 100
"""Of so many stale items of a step the reasons are looked for one by one; the others are taken to be like the first."""


def plan_of(session: PipelineSession, pipeline_state: PipelineState) -> Plan:
    """The plan: what the state of a pipeline says before anything ran."""
    explainer = Explainer(pipeline_state, session.history, session.last_run)
    seconds = session.last_run.seconds
    by_step: dict[str, list[CallState]] = {}
    for state in pipeline_state.states.values():
        by_step.setdefault(state.call.step.name, []).append(state)
    steps = [
        _step_plan(name, states, explainer, seconds.get(name, 0.0), pipeline_state.lookup)
        for name, states in by_step.items()
    ]
    return Plan(session.pipeline.name, tuple(steps), tuple(complaints(session.store.remote)))


def _step_plan(
    name: str,
    states: list[CallState],
    explainer: Explainer,
    seconds: float,
    lookup: RecordLookup,
) -> StepPlan:
    verdicts: Counter[Verdict] = Counter()
    reasons: Counter[Reason] = Counter()
    for state in states:
        _count(state, explainer, verdicts, reasons)
    file, line = place_of(states[0].call.step.function)
    waiting = verdicts[Verdict.STALE] + verdicts[Verdict.PENDING]
    return StepPlan(
        name=name,
        file=file or states[0].call.location.file,
        line=line or states[0].call.location.line,
        items=sum(verdicts.values()),
        fresh=verdicts[Verdict.FRESH],
        stale=verdicts[Verdict.STALE],
        pending=verdicts[Verdict.PENDING],
        reasons=together(reasons),
        seconds=seconds * waiting,
        seconds_saved=sum(state.seconds for state in states),
        nbytes=sum(state.nbytes for state in states),
        needs=_needs(states),
        axes=_axes([state.call for state in states]),
        accepted=sum(_accepted(s, lookup.accepted) for s in states),
        remote=sum(from_remote(lookup, state) for state in states),
    )


def _accepted(state: CallState, accepted: Mapping[bytes, Sequence[bytes]]) -> int:
    """Of how many items an old result counts because the user accepted it."""
    families = accepted.get(state.fingerprint.digest, ())
    if state.accepted_whole is not None:
        return (state.count or 0) if state.accepted_whole[0] in families else 0
    return sum(family in families for family, _ in state.accepted.values())


def _count(state: CallState, explainer: Explainer, verdicts: Counter[Verdict], reasons: Counter[Reason]) -> None:
    if state.count is None or not state.status:
        verdict, why = explainer.verdict_while_pending(state)
        count = expected_items(state.call)
        verdicts[verdict] += count
        reasons.update(dict.fromkeys(why, count))
        return
    last: tuple[Reason, ...] = ()
    if fresh := state.status.count(Status.CACHED) + state.status.count(Status.RAN):
        verdicts[Verdict.FRESH] += fresh
    for position, index in enumerate(state.items(Status.STALE)):
        verdicts[Verdict.STALE] += 1
        if position < EXPLAINED and sum(reasons.values()) < 10 * EXPLAINED:
            last = explainer.reasons(state, index)
        reasons.update(last)
    waiting = state.items(Status.WAITING)
    if waiting:
        verdict, why = explainer.verdict_while_pending(state)
        verdicts[verdict] += len(waiting)
        for reason in why:
            reasons[reason] += len(waiting)


def _needs(states: Iterable[CallState]) -> tuple[str, ...]:
    names: dict[str, None] = {}
    for state in states:
        for value in state.call.arguments.values():
            for output in needs_of(value):
                if output.call.step.name != state.call.step.name:
                    names[output.call.step.name] = None
    return tuple(names)


def _axes(calls: list[Call]) -> tuple[str, ...]:
    """The parameters in which the items differ."""
    if len(calls) == 1:
        return calls[0].over
    axes = []
    for name in calls[0].arguments:
        values = [call.arguments.get(name) for call in calls]
        if name in calls[0].over or any(_differ(values[0], value) for value in values[1:]):
            axes.append(name)
    return tuple(axes)


def _differ(one: Any, other: Any) -> bool:
    if type(one) is Output and type(other) is Output:
        return one.call is not other.call or one.path != other.path
    if one is other:
        return False
    if type(one) is type(other) and isinstance(one, (int, float, str, bool)):
        return bool(one != other)
    return True
