"""What a run leaves behind: what later runs compare with, an orderly cache, and an instant answer."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import NamedTuple

from jpipe.decide.argument_digests import is_plain
from jpipe.decide.call_state import CallState, Status
from jpipe.decide.explain import texts_of
from jpipe.decide.instant.answer import Asked
from jpipe.decide.instant.leave_answer import leave_answer
from jpipe.decide.item_labels import label_of
from jpipe.decide.make_plan import plan_of
from jpipe.decide.pipeline_session import PipelineSession
from jpipe.decide.pipeline_state import PipelineState
from jpipe.digest import combine_joined
from jpipe.history.journal_writer import FiledCall, StepResult, digest_of
from jpipe.history.last_run import MOST_CALLS, EarlierCall, LastRun, with_earlier
from jpipe.history.outputs import note_shared_outputs
from jpipe.model.events import Observer
from jpipe.model.outcomes import Outcome
from jpipe.schedule.handover import handover
from jpipe.schedule.item_results import ItemResults
from jpipe.schedule.remote_write_back import write_back
from jpipe.schedule.run_request import RunRequest
from jpipe.schedule.step_counts import RunCounts
from jpipe.schedule.tidy_cache import tidy
from jpipe.store import MissingEntry, Store

__all__ = ["FinishedRun", "is_last_run", "leave_behind", "results_in_short", "results_of"]


class FinishedRun(NamedTuple):
    """A run that is over.

    Parameters
    ----------
    name, outcome
        Its name, and what became of it.
    pipeline_state
        What is known of every call.
    counts
        How many items of each step became what.
    item_results
        What failed, and how long items took.
    """

    name: str
    outcome: Outcome
    pipeline_state: PipelineState
    counts: RunCounts
    item_results: ItemResults


def leave_behind(session: PipelineSession, request: RunRequest, done: FinishedRun, tell: Observer) -> bool:
    """Do what is due when a run is over; return whether its results differ from those of the run before."""
    done.item_results.executed.note(session.store, done.pipeline_state.states.values(), session.settings.code)
    is_other = _remember(session, done.pipeline_state, done.item_results, done.name, done.outcome)
    if done.outcome is not Outcome.CACHED:
        states = done.pipeline_state.states.values()
        tidy(session.store, session.identity, done.name, states, tell, session.settings.cache_size)
    write_back(session, done.pipeline_state, done.outcome, tell)
    if request.asked is not None and done.outcome in (Outcome.CACHED, Outcome.RAN):
        _leave_answer(request.asked, session, request.targets, done)
    return is_other


def is_last_run(session: PipelineSession, pipeline_state: PipelineState) -> bool:
    """Whether the last run of the pipeline gave the same results: its parameters may have been others."""
    return _keys(_noted_calls(session, pipeline_state)) == _keys(session.last_run.calls)


def results_of(pipeline_state: PipelineState, *, with_places: bool) -> list[StepResult]:
    """By step, the digests of what its calls gave, and where that is."""
    by_step: dict[str, list[CallState]] = {}
    for state in pipeline_state.states.values():
        by_step.setdefault(state.call.step.name, []).append(state)
    return [
        StepResult(
            step,
            states[0].fingerprint.digest,
            tuple(state.whole for state in states),
            _places_of(states) if with_places else (),
        )
        for step, states in by_step.items()
    ]


def results_in_short(pipeline_state: PipelineState) -> str:
    """What the index of runs notes of the results of a run."""
    return digest_of(results_of(pipeline_state, with_places=False))


def _places_of(states: Sequence[CallState]) -> tuple[FiledCall, ...]:
    """Where the results of a step's calls are; of a step with very many items without their names and digests."""
    items = sum(state.count or 0 for state in states)
    return tuple(_place_of(state, is_detailed=items <= MOST_CALLS) for state in states[:MOST_CALLS])


def _place_of(state: CallState, *, is_detailed: bool) -> FiledCall:
    labels = tuple(label_of(state, index) for index in range(state.count or 0)) if is_detailed else ()
    contents = tuple(state.contents) if is_detailed else ()
    if state.is_done and state.call.is_mapped and state.is_complete and not (state.accepted or state.held):
        filed = _filed(state)
        if filed:
            return FiledCall((filed[0],), True, contents, labels)
    own = state.fingerprint.digest
    places = tuple(
        state.accepted.get(index, (own, key)) if key is not None and status in (Status.RAN, Status.CACHED) else None
        for index, (key, status) in enumerate(zip(state.keys, state.status, strict=False))
    )
    return FiledCall(places if is_detailed else (), False, contents, labels)


def _remember(
    session: PipelineSession, pipeline_state: PipelineState, item_results: ItemResults, name: str, outcome: Outcome
) -> bool:
    """Leave behind what later runs compare with, and what its results are; False when that is as it was."""
    session.fingerprinter.save()
    note_shared_outputs(session.store, pipeline_state.traffic.shared)
    calls = _noted_calls(session, pipeline_state)
    if handover.is_asked:
        return False  # the run that it makes room for is the last one
    if outcome is Outcome.CACHED and session.last_run.run:
        if _keys(calls) == _keys(session.last_run.calls):
            return False
        name = session.last_run.run
    seconds = {**session.last_run.seconds, **item_results.pace}
    session.history.note_run(
        session.identity, LastRun(name, time.time(), calls, _failed(session, pipeline_state, item_results), seconds)
    )
    return True


def _keys(calls: Mapping[str, Sequence[EarlierCall]]) -> dict[str, set[tuple[bytes, bytes]]]:
    """By step, the keys of its calls that have results."""
    return {
        step: {(call.key, call.content) for call in entries if call.has_result}
        for step, entries in calls.items()
        if entries
    }


def _content(state: CallState) -> bytes:
    """The digest of what a call gave; of a mapped call, of all its items."""
    if not state.call.is_mapped:
        return next(iter(state.contents), None) or b""
    if state.record is not None and not state.contents:
        return state.record.content
    return combine_joined("list", state.contents.joined()) if state.is_done else b""


def _failed(session: PipelineSession, pipeline_state: PipelineState, item_results: ItemResults) -> frozenset[bytes]:
    """The keys of the items that failed, now or before and were not done since."""
    before = session.last_run.failed
    still = {
        key
        for state in pipeline_state.states.values()
        for key, status in (zip(state.keys, state.status, strict=False) if before else ())
        if key in before and status not in (Status.RAN, Status.CACHED)
    }
    return frozenset(still | item_results.failed_keys)


def _noted_calls(session: PipelineSession, pipeline_state: PipelineState) -> dict[str, list[EarlierCall]]:
    """By step, what there is to compare with: the calls of this run, and where it did not finish them those before."""
    calls: dict[str, list[EarlierCall]] = {call.step.name: [] for call in session.layout.calls}
    for state in pipeline_state.states.values():
        session.history.note_family(state.call.step.name, state.fingerprint)
        entries = calls[state.call.step.name]
        for family, key in _filed(state):
            if len(entries) < MOST_CALLS:
                entries.append(
                    EarlierCall(family, key, dict(state.fixed), texts_of(state.call), state.is_done, _content(state))
                )
    before = session.last_run.calls
    return {step: with_earlier(entries, before.get(step, ())) for step, entries in calls.items()}


def _filed(state: CallState) -> list[tuple[bytes, bytes]]:
    """The fingerprint and the key under which the result of a call is; of some mapped calls those of each item."""
    own = state.fingerprint.digest
    if state.accepted_whole is not None:
        return [state.accepted_whole]
    if state.accepted:
        filed = [state.accepted.get(index, (own, key)) for index, key in enumerate(state.keys)]
        return [(family, key) for family, key in filed if key is not None]
    key = state.whole_key if state.call.is_mapped else state.keys[0] if state.keys else None
    return [(own, key)] if key is not None else []


def _leave_answer(asked: Asked, session: PipelineSession, targets: Sequence[str], done: FinishedRun) -> None:
    """Leave an instant answer; after items ran, first decide anew about calls that may not be up to date even so."""
    pipeline_state = done.pipeline_state
    try:
        if done.outcome is not Outcome.CACHED:
            pipeline_state = session.state(targets, known=_up_to_date(session.store, pipeline_state.states))
            pipeline_state.begin()
        leave_answer(asked, session, pipeline_state, plan_of(session, pipeline_state), results_in_short(pipeline_state))
    except MissingEntry:
        return


def _up_to_date(store: Store, states: Mapping[int, CallState]) -> dict[int, CallState]:
    """The calls that the next run finds fresh for sure: their records are on the disk, and nothing else decides."""
    filed = {number: _filed(state) for number, state in states.items() if _hangs_on_its_record(state)}
    keys: dict[bytes, list[bytes]] = {state.fingerprint.digest: [] for state in states.values()}
    for family, key in chain.from_iterable(filed.values()):
        keys[family].append(key)
    recorded = set()
    for family, own in keys.items():
        store.family(family).refresh()  # other processes may have removed what this one wrote
        recorded |= {(family, key) for key in store.family(family).present(own)}
    return {number: states[number] for number, places in filed.items() if places and recorded.issuperset(places)}


def _hangs_on_its_record(state: CallState) -> bool:
    """Whether a call is fresh wherever its record is: it looked at no file, and no code digests what it takes."""
    is_kept = state.is_done and state.is_complete and not (state.held or state.accepted or state.accepted_whole)
    looked_at = state.reads or (state.record is not None and state.record.reads)
    return is_kept and not looked_at and is_plain(state.call)
