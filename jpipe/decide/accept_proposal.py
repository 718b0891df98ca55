"""What accepting the old results of a step would mean: which edit, and which items it keeps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from jpipe.decide.call_state import CallState, Status
from jpipe.decide.pipeline_session import PipelineSession
from jpipe.decide.pipeline_state import PipelineState
from jpipe.decide.rebuilder import reasons_of_code
from jpipe.errors import NothingSelectedError
from jpipe.fingerprint.named_changes import code_changes
from jpipe.history.acceptance import Acceptance
from jpipe.model.reasons import Reason

__all__ = ["Proposal", "propose"]


@dataclass(frozen=True, slots=True)
class Proposal:
    """An acceptance before it is confirmed.

    Parameters
    ----------
    acceptance
        What would be noted.
    reasons
        What changed in the code.
    items, kept, stale, pending
        How many items the step has, of how many an old result would count, how many have none and would run, and how
        many wait for a result that is not known yet.
    """

    acceptance: Acceptance
    reasons: tuple[Reason, ...]
    items: int
    kept: int
    stale: int
    pending: int

    def to_json(self) -> dict[str, Any]:
        """The document that ``accept --json`` prints."""
        return {
            "v": 1,
            "step": self.acceptance.step,
            "accept": self.acceptance.to_json(),
            "reasons": [reason.to_json() for reason in self.reasons],
            "items": self.items,
            "kept": self.kept,
            "stale": self.stale,
            "pending": self.pending,
        }


def propose(session: PipelineSession, step: str) -> Proposal:
    """What accepting the old results of a step would mean now.

    Raises
    ------
    UsageError
        When the pipeline has no such step.
    NothingSelectedError
        When its code was not edited, or there are no old results to keep.
    """
    pipeline_state = session.state([step])
    pipeline_state.begin()
    states = [state for state in pipeline_state.states.values() if state.call.step.name == step]
    waiting = [(state, index) for state in states for index in state.items(Status.STALE)]
    undecided = [state for state in states if state.count is None or state.items(Status.WAITING)]
    fingerprint = states[0].fingerprint
    if not waiting and (not undecided or fingerprint.digest in pipeline_state.lookup.accepted):
        raise NothingSelectedError(f"{step} is up to date: there is nothing to accept")
    older, kept = _older(_families(session, states[0]), pipeline_state, waiting)
    if not older and undecided:
        older = [family for family in _families(session, states[0]) if family != fingerprint.digest][:1]
    if not older:
        raise NothingSelectedError(
            f"{step} has no results of older code with the same arguments", hint="run the step: that computes them"
        )
    reasons = _reasons(session, states[0], older[0])
    changed = tuple(str(reason) for reason in reasons)
    acceptance = Acceptance(step, fingerprint.digest, tuple(older), pipeline_state.lookup.now, changed)
    numbers = pipeline_state.numbers
    pending = sum(len(s.items(Status.WAITING)) if s.count is not None else numbers.count_of(s.call) for s in undecided)
    return Proposal(acceptance, reasons, numbers.count_of_step(step), kept, len(waiting) - kept, pending)


def _families(session: PipelineSession, state: CallState) -> list[bytes]:
    return session.history.own_families(state.call.step.name, state.fingerprint.parts, session.last_run)


def _older(
    known: Sequence[bytes], pipeline_state: PipelineState, waiting: Iterable[tuple[CallState, int]]
) -> tuple[list[bytes], int]:
    """The fingerprints that have results for stale items, the newest first, and of how many items."""
    found: set[bytes] = set()
    kept = 0
    for state, index in waiting:
        for family in known:
            is_older = family != state.fingerprint.digest
            key = pipeline_state.keys.of_item(state, index, family)
            if is_older and pipeline_state.lookup.store.family(family).find(key):
                found.add(family)
                kept += 1
                break
    return [family for family in known if family in found], kept


def _reasons(session: PipelineSession, state: CallState, family: bytes) -> tuple[Reason, ...]:
    step = state.call.step
    old = session.history.parts(family)
    changes = () if old is None else code_changes(old, state.fingerprint.parts, step.name, step.address[0])
    return reasons_of_code(step.name, changes)
