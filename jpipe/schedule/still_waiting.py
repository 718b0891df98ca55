"""Say what a run waits for where nothing moves: no item ends, and no worker uses a processor."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence

from jpipe.decide.item_labels import label_of
from jpipe.model.events import Notice
from jpipe.parallel.status_board import SlotState
from jpipe.schedule.chunks import Chunk

__all__ = ["StillWaiting"]

QUIET = 60.0
"""Seconds without anything that ended after which it is looked whether anything moves."""
_LONGER = 4.0
"""After it was said, the next time is so many times later."""
_BUSY = 0.01
"""Share of a processor below which a process does nothing."""
_NAMED = 3


class StillWaiting:
    """Watches a run for standing still."""

    def __init__(self) -> None:
        self._ended = 0
        self._moved: float | None = None
        self._asked_at = 0.0
        self._used: float | None = None
        self._patience = QUIET

    def look(self, now: float, ended: int, running: Mapping[int, Chunk], slots: Sequence[SlotState]) -> Notice | None:
        """What to say at this moment, if anything.

        Parameters
        ----------
        now
            Seconds by the monotonic clock.
        ended
            How many items and chunks have ended so far.
        running
            Chunks in flight, by number.
        slots
            What the workers are doing, as far as that is known here.
        """
        if self._moved is None or ended != self._ended:
            self._ended, self._moved, self._used, self._patience = ended, now, None, QUIET
            return None
        if now - self._moved < self._patience / 2 or now - self._asked_at < self._patience / 4:
            return None
        used = _processor_time({slot.pid for slot in slots})
        before, since, self._used, self._asked_at = self._used, self._asked_at, used, now
        if before is not None and used is not None and used - before > _BUSY * (now - since):
            self._moved = now
            return None
        if now - self._moved < self._patience or (before is None and used is not None):
            return None
        self._patience *= _LONGER
        return Notice(_sentence(now - self._moved, running, slots), _HINT)


_HINT = "Ctrl-C ends the run and keeps what finished; @step(timeout=...) ends an item that takes too long"


def _sentence(seconds: float, running: Mapping[int, Chunk], slots: Sequence[SlotState]) -> str:
    begun = {slot.chunk: slot for slot in slots if slot.position is not None}
    words = []
    for number, chunk in list(running.items())[:_NAMED]:
        slot = begun.get(number)
        state, index = chunk.items[slot.position or 0 if slot is not None else 0]
        words.append(f"{label_of(state, index)} ({f'process {slot.pid}' if slot is not None else 'not begun yet'})")
    more = len(running) - len(words)
    what = ", ".join(words) + (f" and {more} more" if more > 0 else "")
    return f"nothing has moved for {seconds:.0f} s: still waiting for {what}"


def _processor_time(processes: set[int]) -> float | None:
    """What these processes and those that they started have used, seconds; None where the system does not say."""
    if not sys.platform.startswith("linux") or not processes:
        return None
    parents: dict[int, int] = {}
    used: dict[int, float] = {}
    tick = os.sysconf("SC_CLK_TCK")
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    fields = file.read().rpartition(b")")[2].split()
            except OSError:
                continue
            parents[int(name)] = int(fields[1])
            used[int(name)] = sum(map(int, fields[11:15])) / tick
    return sum(seconds for pid, seconds in used.items() if _is_below(pid, processes, parents))


def _is_below(pid: int, tops: set[int], parents: Mapping[int, int]) -> bool:
    while pid in parents:
        if pid in tops:
            return True
        pid = parents[pid]
    return False
