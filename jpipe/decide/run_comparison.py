"""What differs between two runs: parameters, code, results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jpipe.decide.rebuilder import reasons_of_code
from jpipe.decide.run_results import log_with_results
from jpipe.fingerprint.named_changes import code_changes
from jpipe.history.journal_reader import RunLog, RunRow
from jpipe.history.last_run import History
from jpipe.model.reasons import Reason

__all__ = ["Comparison", "StepComparison", "compare"]


@dataclass(frozen=True, slots=True)
class StepComparison:
    """What differs between two runs in one step.

    Parameters
    ----------
    step
        Its name.
    code
        What changed in its code; None where the older code is not known any more.
    calls, different
        How many calls it had in the second run, and how many of the results of both are different. None where one of
        the runs did not have the step, or its results were not noted.
    """

    step: str
    code: tuple[Reason, ...] | None
    calls: int | None
    different: int | None

    def to_json(self) -> dict[str, Any]:
        """The row as ``history --diff --json`` prints it."""
        code = None if self.code is None else [reason.to_json() for reason in self.code]
        return {"step": self.step, "code": code, "calls": self.calls, "different": self.different}


@dataclass(frozen=True, slots=True)
class Comparison:
    """What differs between two runs.

    Parameters
    ----------
    one, other
        The runs.
    parameters
        (name, text in the one, text in the other) of those that differ; None where a run lacks it.
    steps
        Of all steps of both runs; empty where too little is kept.
    """

    one: RunRow
    other: RunRow
    parameters: tuple[tuple[str, str | None, str | None], ...]
    steps: tuple[StepComparison, ...]

    def to_json(self) -> dict[str, Any]:
        """The document that ``history --diff --json`` prints."""
        return {
            "v": 1,
            "runs": [self.one.to_json(), self.other.to_json()],
            "parameters": [{"name": name, "old": old, "new": new} for name, old, new in self.parameters],
            "steps": [step.to_json() for step in self.steps],
        }


def compare(folder: str, rows: Sequence[RunRow], one: RunRow, other: RunRow, history: History) -> Comparison:
    """What differs between two runs.

    Parameters
    ----------
    folder
        Where journals are.
    rows
        All runs: one that had nothing to do gave what an earlier one had given.
    history
        Knows the code of earlier fingerprints.
    """
    names = dict.fromkeys([*one.parameters, *other.parameters])
    parameters = [(name, one.parameters.get(name), other.parameters.get(name)) for name in names]
    before, after = (log_with_results(folder, rows, row) for row in (one, other))
    steps = dict.fromkeys([*before.fingerprints, *after.fingerprints])
    return Comparison(
        one,
        other,
        tuple((name, old, new) for name, old, new in parameters if old != new),
        tuple(_compared(step, before, after, history) for step in steps),
    )


def _compared(step: str, before: RunLog, after: RunLog, history: History) -> StepComparison:
    old, new = before.calls.get(step), after.calls.get(step)
    different = None
    if old is not None and new is not None:
        different = sum(a != b for a, b in zip(old, new, strict=False)) + abs(len(old) - len(new))
    return StepComparison(step, _code(step, before, after, history), len(new) if new is not None else None, different)


def _code(step: str, before: RunLog, after: RunLog, history: History) -> tuple[Reason, ...] | None:
    old, new = before.fingerprints.get(step), after.fingerprints.get(step)
    if old == new or old is None or new is None:
        return ()
    old_parts, new_parts = history.parts(old), history.parts(new)
    if old_parts is None or new_parts is None:
        return None
    return reasons_of_code(step, code_changes(old_parts, new_parts, step))
