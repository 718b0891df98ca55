"""Look after workers: which are over their item's time, which died without anybody being told, and what they weigh."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping

from jpipe.parallel.status_board import Board, SlotState
from jpipe.schedule.chunks import Chunk
from jpipe.system.machine import is_alive
from jpipe.worker.timeouts import ended_after

__all__ = ["Watchdog", "end_process"]

_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


class Watchdog:
    """Looks at the slots of a run's workers.

    Parameters
    ----------
    folder
        Where the slots are.

    Attributes
    ----------
    slots : list of SlotState
        What each worker was doing at the last look.
    memory : dict
        By process: the most resident memory that was seen, bytes.
    """

    def __init__(self, folder: Board) -> None:
        self._folder = folder
        self.slots: list[SlotState] = []
        self.memory: dict[int, int] = {}
        self._pauses: list[tuple[float, float]] = []

    def was_stopped(self, until: float, seconds: float) -> None:
        """This process did not run for so long, as after Ctrl-Z: then its workers did not either."""
        self._pauses.append((until, seconds))

    def look(self) -> None:
        """Bring `slots` and `memory` up to date."""
        self.slots = self._folder.states()
        for slot in self.slots:
            if slot.position is not None and slot.pid != os.getpid():
                self.memory[slot.pid] = max(self.memory.get(slot.pid, 0), slot.peak_memory, _resident(slot.pid))

    def overdue(self, running: Mapping[int, Chunk], now: float) -> list[SlotState]:
        """The workers whose item should have been over by its timeout.

        Parameters
        ----------
        running
            Chunks in flight, by number; those of a step with a timeout have one item.
        now
            By the monotonic clock, which all processes of a machine have in common.
        """
        found = []
        for slot in self.slots:
            chunk = running.get(slot.chunk)
            timeout = chunk.queue.options.timeout if chunk is not None else None
            if timeout is None or slot.position is None:
                continue
            stopped = sum(seconds for until, seconds in self._pauses if until > slot.started)
            if now - slot.started - stopped > ended_after(timeout):
                found.append(slot)
        return found

    def vanished(self, running: Mapping[int, Chunk]) -> list[SlotState]:
        """The workers on this machine that are over although their chunk is not."""
        return [slot for slot in self.slots if slot.chunk in running and not is_alive(slot.pid)]


def end_process(pid: int) -> None:
    """Kill a worker process."""
    try:
        os.kill(pid, getattr(signal, "SIGKILL", signal.SIGTERM))
    except OSError:
        return


def _resident(pid: int) -> int:
    """Resident memory of a process in bytes; 0 where the system does not say."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * _PAGE
    except (OSError, ValueError, IndexError):
        return 0
