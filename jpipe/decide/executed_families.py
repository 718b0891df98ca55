"""Older code of a step whose results still hold, because nothing was edited that ran when they were made."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from jpipe.define.step import Step
from jpipe.fingerprint import BlindSpot, Executed, Fingerprint, PartKind, Unseen
from jpipe.fingerprint.changes_that_ran import functions_that_did_not_run
from jpipe.history.executed_code import Execution, executions, has_more, why_untold
from jpipe.store import Store
from jpipe.system.code_tracer import TOO_OLD

__all__ = ["CountedFunctions", "ExecutedFamilies", "counted_functions", "counts_what_ran", "is_same", "unseen_of"]

_HELD = frozenset({BlindSpot.COMPUTED_ATTRIBUTE.value, BlindSpot.COMPUTED_IMPORT.value})
"""What need not be told of where it is known what ran: what is found under a computed name counts then."""


def counts_what_ran(step: Step[..., Any], code: str) -> bool:
    """Whether of the code that a step reaches only what ran counts; `code` is what the settings say."""
    declared = step.declared
    return (declared.code or code) == "ran" and declared.version is None and declared.cache


class CountedFunctions(NamedTuple):
    """Which of the functions that a step reaches count, where only those do that ran.

    Parameters
    ----------
    is_known
        Whether it is known which ran.
    ran, idle
        The names of those that ran, and of those that did not.
    why
        Why it is not known, of all items or of some.
    """

    is_known: bool
    ran: tuple[str, ...] = ()
    idle: tuple[str, ...] = ()
    why: str | None = None

    def to_json(self) -> dict[str, Any]:
        """As ``explain --json`` prints it."""
        return {"is_known": self.is_known, "ran": list(self.ran), "idle": list(self.idle), "why": self.why}

    def unseen(self, spots: Iterable[Unseen]) -> tuple[Unseen, ...]:
        """Those of the places that a fingerprint cannot see behind that are not seen by what ran either."""
        return tuple(spot for spot in spots if self.why is not None or spot.what not in _HELD)


def counted_functions(store: Store, step: Step[..., Any], now: Fingerprint, code: str) -> CountedFunctions | None:
    """Which functions count of those that a step reaches; None where all do."""
    if not counts_what_ran(step, code):
        return None
    known = executions(store, step.name)
    last = next((entry for entry in known if entry.family == now.digest or is_same(now, entry)), None)
    why = why_untold(store, step.name, now.digest)
    if last is None:
        why = TOO_OLD if sys.version_info < (3, 12) else why
        return CountedFunctions(False, why=why)
    idle = {part.name: None for part in functions_that_did_not_run(now.parts, last.executed)}
    helpers = {part.name: None for part in now.parts if part.kind is PartKind.HELPER}
    return CountedFunctions(True, tuple(name for name in helpers if name not in idle), tuple(idle), why)


def unseen_of(store: Store, step: Step[..., Any], now: Fingerprint, code: str) -> tuple[Unseen, ...]:
    """What of a step cannot be seen."""
    functions = counted_functions(store, step, now, code) if now.unseen else None
    return now.unseen if functions is None else functions.unseen(now.unseen)


class ExecutedFamilies:
    """Finds out which earlier executions of a step would be repeated by its code as it is now.

    Parameters
    ----------
    store
        The cache.
    code
        What the settings say of which code counts.
    """

    def __init__(self, store: Store, code: str) -> None:
        self._store = store
        self._code = code
        self._since: dict[tuple[str, bytes], float] = {}
        self._known: dict[tuple[str, bytes], list[Execution]] = {}

    def with_code(self, step: Step[..., Any], family: bytes) -> Executed | None:
        """What ran with the code of a fingerprint, where it is known and counts."""
        if not counts_what_ran(step, self._code):
            return None
        found = (entry.executed for entry in executions(self._store, step.name) if entry.family == family)
        return next(found, None)

    def of(self, step: Step[..., Any], now: Fingerprint) -> list[Execution]:
        """Those executions, the newest first."""
        key = step.name, now.digest
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = list(self._find(step.name, now)) if counts_what_ran(step, self._code) else []
        return found

    def _find(self, step: str, now: Fingerprint) -> Iterator[Execution]:
        for execution in executions(self._store, step):
            if execution.family != now.digest and is_same(now, execution):
                yield execution

    def since(self, step: Step[..., Any], now: Fingerprint, family: bytes) -> float:
        """Which records of a fingerprint can count: those made since then, seconds since 1970.

        Code may have run that the fingerprint does not lead to. Where that was edited no record counts.
        """
        known = self._since.get((step.name, family))
        if known is None:
            known = self._since[step.name, family] = self._find_since(step, now, family)
        return known

    def _find_since(self, step: Step[..., Any], now: Fingerprint, family: bytes) -> float:
        if not counts_what_ran(step, self._code) or not has_more(self._store, family):
            return 0.0
        for execution in executions(self._store, step.name):
            if execution.family == family:
                return execution.since if is_same(now, execution) else math.inf
        return 0.0


def is_same(now: Fingerprint, execution: Execution) -> bool:
    """Whether an execution would be repeated by the code as it is now."""
    found = now.pruned(execution.executed)
    return found is not None and found.digest == execution.pruned
