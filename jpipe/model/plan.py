"""What a run would do, before it does it."""

from __future__ import annotations

from typing import Any, NamedTuple

from jpipe.model.display import shown
from jpipe.model.reasons import Reason, ReasonKind
from jpipe.model.record_codec import COUNT, NUMBER, TEXT, WHOLE, many, maybe, named, one_of, row

__all__ = ["Plan", "StepPlan"]


class StepPlan(NamedTuple):
    """What a run would do with the calls of one step.

    Parameters
    ----------
    name, file, line
        The step, and where it is defined.
    items, fresh, stale, pending
        How many items it has, as far as known, and how many of them have which verdict.
    reasons
        (reason, number of items that it holds for), in the order of `ReasonKind`.
    seconds
        What the stale and pending items are expected to take, from earlier runs.
    seconds_saved
        What the fresh ones took.
    nbytes
        Size of the results that are there.
    needs
        Names of the steps that it takes results from.
    axes
        Names of the parameters that differ between its items.
    accepted
        How many of the fresh items are so because the user accepted old results despite an edit.
    remote
        How many of the fresh items the remote cache has, and no run has used here yet.
    """

    name: str
    file: str
    line: int
    items: int
    fresh: int
    stale: int
    pending: int
    reasons: tuple[tuple[Reason, int], ...]
    seconds: float
    seconds_saved: float
    nbytes: int
    needs: tuple[str, ...]
    axes: tuple[str, ...]
    accepted: int = 0
    remote: int = 0

    def to_json(self) -> dict[str, Any]:
        """The row as ``plan --json`` prints it."""
        return {
            "step": self.name,
            "file": self.file,
            "line": self.line,
            "items": self.items,
            "fresh": self.fresh,
            "stale": self.stale,
            "pending": self.pending,
            "accepted": self.accepted,
            "remote": self.remote,
            "reasons": [{**reason.to_json(), "items": count} for reason, count in self.reasons],
            "seconds": round(self.seconds, 6),
            "needs": list(self.needs),
        }


class Plan(NamedTuple):
    """What a run of a pipeline would do.

    Parameters
    ----------
    pipeline
        Its name.
    steps
        Upstream first.
    complaints
        What is wrong with the remote cache: messages, each with a hint or None.
    """

    pipeline: str
    steps: tuple[StepPlan, ...]
    complaints: tuple[tuple[str, str | None], ...] = ()

    @property
    def fresh(self) -> int:
        """How many items are in the cache."""
        return sum(step.fresh for step in self.steps)

    @property
    def stale(self) -> int:
        """How many items would run."""
        return sum(step.stale for step in self.steps)

    @property
    def pending(self) -> int:
        """How many items may run."""
        return sum(step.pending for step in self.steps)

    @property
    def remote(self) -> int:
        """How many of the fresh items come from the remote cache."""
        return sum(step.remote for step in self.steps)

    @property
    def up_to_date(self) -> bool:
        """Whether nothing would run."""
        return self.stale == 0 and self.pending == 0

    @property
    def is_settled(self) -> bool:
        """Whether nothing but steps with ``cache=False`` would run, and what takes their results if these differ."""
        kinds = {reason.kind for step in self.steps if step.stale for reason, _ in step.reasons}
        return self.up_to_date or (bool(kinds) and kinds == {ReasonKind.NOT_KEPT})

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return shown(self)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(shown(self)["text/plain"])

    def to_json(self) -> dict[str, Any]:
        """The document that ``plan --json`` prints."""
        return {
            "v": 1,
            "pipeline": self.pipeline,
            "up_to_date": self.up_to_date,
            "fresh": self.fresh,
            "stale": self.stale,
            "pending": self.pending,
            "remote": self.remote,
            "steps": [step.to_json() for step in self.steps],
        }

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON can hold it, for `from_dict`."""
        written: dict[str, Any] = _PLAN.write(self)
        return written

    @classmethod
    def from_dict(cls, raw: dict[str, Any]) -> Plan:
        """The plan of which `to_dict` gave `raw`.

        Raises
        ------
        Malformed
            If it gave nothing like it.
        """
        plan: Plan = _PLAN.read(raw)
        return plan


def _counted(reason: Reason, count: int) -> tuple[Reason, int]:
    return reason, count


_REASON = named(
    Reason,
    kind=one_of(ReasonKind),
    object=TEXT,
    file=maybe(TEXT),
    line=maybe(WHOLE),
    via=maybe(TEXT),
    diff=maybe(TEXT),
    detail=maybe(TEXT),
)
_STEP = named(
    StepPlan,
    name=TEXT,
    file=TEXT,
    line=WHOLE,
    items=COUNT,
    fresh=COUNT,
    stale=COUNT,
    pending=COUNT,
    reasons=many(row(_counted, _REASON, COUNT)),
    seconds=NUMBER,
    seconds_saved=NUMBER,
    nbytes=COUNT,
    needs=many(TEXT),
    axes=many(TEXT),
    accepted=COUNT,
    remote=COUNT,
)
_PLAN = named(Plan, pipeline=TEXT, steps=many(_STEP))
