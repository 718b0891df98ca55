"""Find out which item killed its worker: suspects are tried again alone before one is blamed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from jpipe.chunks import Chunk, Item
from jpipe.slots import SlotState

__all__ = ["Losses", "Verdicts"]

PATIENCE = 5
"""So many losses in a row without any trace of a culprit are taken to be the first lost chunk's fault."""


@dataclass(slots=True)
class Verdicts:
    """What to do with the items of lost chunks.

    Attributes
    ----------
    again
        (chunk, items) that were not at fault.
    alone
        (chunk, position) to try with nothing else in flight.
    blamed
        (chunk, position, how the process ended, its peak memory in bytes).
    """

    again: list[tuple[Chunk, list[Item]]] = field(default_factory=list)
    alone: list[tuple[Chunk, int]] = field(default_factory=list)
    blamed: list[tuple[Chunk, int, str, int]] = field(default_factory=list)


class Losses:
    """Remembers what was lost with dead workers."""

    def __init__(self) -> None:
        self._lost: list[Chunk] = []
        self._message = ""
        self._watched: set[int] = set()
        self._traceless = 0
        self.happened = False

    def add(self, chunk: Chunk, message: str) -> None:
        """A chunk was lost."""
        self.happened = True
        self._lost.append(chunk)
        self._message = message

    def watch(self, chunk: Chunk) -> None:
        """This chunk of one item runs alone now: if it is lost, it is to blame."""
        self._watched.add(chunk.work.number)

    def cleared(self, chunk: Chunk) -> None:
        """A chunk came back."""
        self._watched.discard(chunk.work.number)
        self._traceless = 0

    def judge(self, slots: Iterable[SlotState]) -> Verdicts:
        """Sort the items of all lost chunks, by what the workers were last doing."""
        lost, self._lost = self._lost, []
        on = {slot.chunk: slot for slot in slots if slot.position is not None}
        peak = max((slot.peak_memory for slot in on.values()), default=0)
        verdicts = Verdicts()
        for chunk in lost:
            slot = on.get(chunk.work.number)
            if chunk.work.number in self._watched:
                verdicts.blamed.append((chunk, 0, self._how(), slot.peak_memory if slot else peak))
            elif slot is not None and slot.position is not None and slot.position < len(chunk.items):
                verdicts.alone.append((chunk, slot.position))
                rest = chunk.items[: slot.position] + chunk.items[slot.position + 1 :]
                verdicts.again.append((chunk, rest))
            else:
                verdicts.again.append((chunk, chunk.items))
        if not verdicts.alone and not verdicts.blamed:
            self._without_trace(verdicts)
        return verdicts

    def _without_trace(self, verdicts: Verdicts) -> None:
        self._traceless += 1
        if self._traceless >= PATIENCE and verdicts.again:
            chunk, items = verdicts.again.pop(0)
            verdicts.blamed.append((chunk, 0, self._how(), 0))
            verdicts.again.append((chunk, items[1:]))
            self._traceless = 0

    def _how(self) -> str:
        found = re.findall(r"(SIG\w+|EXIT)\((-?\d+)\)", self._message)
        # The pool ends the other workers with SIGTERM when it finds one dead.
        telling = [(name, code) for name, code in found if name != "SIGTERM" and code != "0"] or found
        if not telling:
            return ""
        name, code = telling[0]
        return f"exit code {code}" if name == "EXIT" else name
