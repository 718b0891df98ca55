"""Find out which item killed its worker: suspects are tried again alone before one is blamed."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from jpipe.parallel.status_board import SlotState
from jpipe.schedule.chunks import Chunk
from jpipe.schedule.ready_items import Item
from jpipe.system.error_record import WorkersLost

__all__ = ["Blame", "LossReport", "Losses"]

PATIENCE = 5
"""So many losses in a row without any trace of a culprit are taken to be the first lost chunk's fault."""


class Blame(NamedTuple):
    """An item that ended its worker.

    Parameters
    ----------
    chunk, position
        The chunk, and the item's position in it.
    kind
        ``"killed"``, or ``"timeout"`` when the worker was ended because of it.
    detail
        How the process ended.
    slot
        What the worker was last seen doing.
    """

    chunk: Chunk
    position: int
    kind: str
    detail: str = ""
    slot: SlotState | None = None


@dataclass(slots=True, eq=False, repr=False)
class LossReport:
    """What to do with the items of lost chunks.

    Attributes
    ----------
    again
        (chunk, items) that were not at fault, or are not known to be.
    blamed
        The culprits.
    """

    again: list[tuple[Chunk, list[Item]]] = field(default_factory=list)
    blamed: list[Blame] = field(default_factory=list)


class Losses:
    """Remembers what was lost with dead workers.

    Attributes
    ----------
    happened
        Whether a worker died in this run.
    suspects
        (chunk, position) of items to be tried with nothing else in flight.
    """

    def __init__(self) -> None:
        self.happened = False
        self.suspects: deque[tuple[Chunk, int]] = deque()
        self._lost: list[Chunk] = []
        self._dead: frozenset[int] = frozenset()
        self._message = ""
        self._alone: set[int] = set()
        self._overdue: set[int] = set()
        self._traceless = 0
        self._told: list[SlotState] = []

    @property
    def pools(self) -> list[object]:
        """The pools of the chunks that wait for a judgement."""
        return [chunk.pool for chunk in self._lost]

    @property
    def is_trying(self) -> bool:
        """Whether a suspect is in flight or has still to be tried: nothing else may be given out."""
        return bool(self.suspects or self._alone)

    def add(self, chunk: Chunk, error: WorkersLost) -> None:
        """A chunk was lost."""
        self.happened = True
        self._lost.append(chunk)
        self._message = str(error)
        self._dead |= error.pids
        if error.position is not None:
            pid = next(iter(error.pids), 0)
            self._told.append(SlotState(pid, chunk.work.number, error.position, 0, time.monotonic(), 0))

    def overdue(self, number: int) -> None:
        """The worker of this chunk, of one item, is being ended because the item ignores its timeout."""
        self._overdue.add(number)

    def try_alone(self, chunk: Chunk) -> None:
        """This chunk of one item runs alone now: if it is lost, it is to blame."""
        self._alone.add(chunk.work.number)

    def cleared(self, chunk: Chunk) -> None:
        """A chunk came back."""
        self._alone.discard(chunk.work.number)
        self._overdue.discard(chunk.work.number)
        self._traceless = 0

    def judge(self, slots: Iterable[SlotState]) -> LossReport:
        """Sort the items of all lost chunks, by what the workers were last doing; fills `suspects`."""
        lost, self._lost = self._lost, []
        dead, self._dead = self._dead, frozenset()
        told, self._told = self._told, []
        on = {slot.chunk: slot for slot in [*slots, *told] if slot.position is not None}
        some_overdue = any(chunk.work.number in self._overdue for chunk in lost)
        report = LossReport()
        for chunk in lost:
            number = chunk.work.number
            slot = on.get(number)
            if number in self._overdue:
                report.blamed.append(Blame(chunk, 0, "timeout", slot=slot))
            elif slot is None or slot.position is None or some_overdue or (dead and slot.pid not in dead):
                report.again.append((chunk, chunk.items))
            elif number in self._alone:
                report.blamed.append(Blame(chunk, 0, "killed", self._how(), slot))
            else:
                self.suspects.append((chunk, slot.position))
                report.again.append((chunk, chunk.items[: slot.position] + chunk.items[slot.position + 1 :]))
            self._alone.discard(number)
            self._overdue.discard(number)
        if not self.suspects and not report.blamed:
            self._without_trace(report)
        return report

    def _without_trace(self, report: LossReport) -> None:
        """Nobody is known to be at fault: some worker was killed between items, or dies of what it is sent."""
        self._traceless += 1
        if self._traceless >= PATIENCE and report.again:
            chunk, items = report.again.pop(0)
            report.blamed.append(Blame(chunk, 0, "killed", self._how()))
            report.again.append((chunk, items[1:]))
            self._traceless = 0

    def _how(self) -> str:
        found = re.findall(r"(SIG\w+|EXIT)\((-?\d+)\)", self._message)
        # The pool ends the other workers with SIGTERM when it finds one dead.
        telling = [(name, code) for name, code in found if name != "SIGTERM" and code != "0"] or found
        if not telling:
            return ""
        name, code = telling[0]
        return f"exit code {code}" if name == "EXIT" else name
