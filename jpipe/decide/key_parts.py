"""What the key of an item is made of, and in which runs its step ran: for `jpipe explain`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jpipe.decide.explain import texts_of
from jpipe.decide.item_labels import label_of
from jpipe.decide.pipeline_session import PipelineSession
from jpipe.errors import NothingSelectedError
from jpipe.history.journal_reader import RunRow, log_of

__all__ = ["KeyParts", "StepRun", "key_parts", "step_runs"]

_MOST_RUNS = 5


@dataclass(frozen=True, slots=True)
class KeyParts:
    """The key of an item and what goes into it.

    Parameters
    ----------
    label, item
        The item, and its number among all items of the step.
    fingerprint
        The digest of the step's code.
    arguments
        (parameter, digest, text of a short scalar or None), in the order of the signature.
    key
        The digest of all of these; None while a result that the item takes is not known.
    """

    label: str
    item: int
    fingerprint: bytes
    arguments: tuple[tuple[str, bytes, str | None], ...]
    key: bytes | None

    def to_json(self) -> dict[str, Any]:
        """The object that ``explain --json`` prints."""
        return {
            "label": self.label,
            "item": self.item,
            "code": self.fingerprint.hex(),
            "arguments": {name: digest.hex() for name, digest, _ in self.arguments},
            "key": self.key.hex() if self.key is not None else None,
        }


@dataclass(frozen=True, slots=True)
class StepRun:
    """A run in which items of a step ran or failed: how many, and how long all took, in seconds."""

    run: RunRow
    ran: int
    failed: int
    seconds: float


def key_parts(session: PipelineSession, step: str, item: int = 0) -> KeyParts:
    """What the key of an item is made of.

    Raises
    ------
    NothingSelectedError
        When the step has no such item.
    """
    # Forced: what a call gives as a whole would say nothing of its items' arguments.
    pipeline_state = session.state([step], forced=[step])
    pipeline_state.begin()
    for state in pipeline_state.states.values():
        index = item - pipeline_state.numbers.first_of(state)
        if state.call.step.name != step or not 0 <= index < pipeline_state.numbers.count_of(state.call):
            continue
        fingerprint = state.fingerprint.digest
        if state.count is None or state.keys[index] is None:
            return KeyParts(label_of(state, index), item, fingerprint, (), None)
        texts = texts_of(state.call, index)
        arguments = state.arguments_of(index).items()
        parts = tuple((name, digest, texts.get(name)) for name, digest in arguments)
        return KeyParts(label_of(state, index), item, fingerprint, parts, state.keys[index])
    count = pipeline_state.numbers.count_of_step(step)
    raise NothingSelectedError(f"{step} has no item {item}", hint=f"it has {count}, counted from 0")


def step_runs(folder: str, rows: Sequence[RunRow], step: str) -> list[StepRun]:
    """The last runs in which items of a step ran or failed, the newest first.

    Parameters
    ----------
    folder, rows
        Where journals are, and the runs of the pipeline.
    """
    found = []
    for row in reversed(rows):
        told = log_of(folder, row.run).steps.get(step) if row.outcome != "cached" else None
        ran, failed, seconds = ((told or {}).get(name) for name in ("ran", "failed", "seconds"))
        if isinstance(ran, int) and isinstance(failed, int) and isinstance(seconds, (int, float)) and ran + failed:
            found.append(StepRun(row, ran, failed, seconds))
        if len(found) == _MOST_RUNS:
            break
    return found
