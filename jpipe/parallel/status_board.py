"""What each worker is doing right now, readable by the main process even after the worker was killed.

A run or a map has a folder. Each worker maps one small file in it, named by its process and thread, and writes there
which chunk and which item of it it is on. A flag in it asks the worker to stop after its current item; a file named
``stop`` says the same to workers that have yet to come.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
import threading
from pathlib import Path
from typing import Any, NamedTuple

from jpipe.system.machine import is_alive

__all__ = ["CHUNK", "POSITION", "STOP", "Board", "Slot", "SlotState", "ask_to_stop", "own_slot"]

STOP, CHUNK, POSITION, DONE, STARTED, PEAK = range(6)
"""What the integers of a slot are."""
_LAYOUT = struct.Struct("=8q")
_IDLE = -1


class SlotState(NamedTuple):
    """One worker at one moment.

    Parameters
    ----------
    pid
        Its process.
    chunk
        Number of the chunk that it is on.
    position
        Position in the chunk of the item that it is on, or None between items.
    done
        How many items it finished in this run.
    started
        When the item began, by the monotonic clock, which all processes of a machine have in common.
    peak_memory
        Its peak resident memory when it last said something, bytes.
    """

    pid: int
    chunk: int
    position: int | None
    done: int
    started: float
    peak_memory: int


class Slot:
    """The worker's side: say what this thread is doing.

    Attributes
    ----------
    numbers : memoryview
        The integers themselves, for who counts microseconds.
    """

    def __init__(self, folder: str) -> None:
        path = os.path.join(folder, f"{os.getpid()}-{threading.get_ident()}")
        self.numbers: Any = _mapped(path, os.O_CREAT).cast("q")
        # A worker that comes after the flags were set sees the file.
        self.numbers[STOP] = os.path.exists(os.path.join(folder, "stop"))

    def begin(self, chunk: int, position: int, now: float, peak_memory: int) -> None:
        """An item begins."""
        numbers = self.numbers
        numbers[STARTED], numbers[PEAK] = int(now * 1e9), peak_memory
        numbers[CHUNK], numbers[POSITION] = chunk, position

    def end(self, peak_memory: int) -> None:
        """The item ended."""
        numbers = self.numbers
        numbers[POSITION], numbers[PEAK] = _IDLE, peak_memory
        numbers[DONE] += 1

    def should_stop(self) -> bool:
        """Whether workers were asked to stop."""
        return bool(self.numbers[STOP])


class Board:
    """The main process's side.

    Parameters
    ----------
    path
        The folder of the slots.
    """

    def __init__(self, path: str) -> None:
        self.path = path

    def states(self) -> list[SlotState]:
        """What every worker was last doing."""
        found = []
        for pid, path in _slots(self.path):
            with contextlib.suppress(FileNotFoundError):
                raw = Path(path).read_bytes()
                if len(raw) == _LAYOUT.size:
                    _, chunk, position, done, started, peak, *_ = _LAYOUT.unpack(raw)
                    where = None if position == _IDLE else position
                    found.append(SlotState(pid, chunk, where, done, started / 1e9, peak))
        return found

    def ask_to_stop(self) -> None:
        """Ask all workers to stop after their current item."""
        ask_to_stop(self.path)

    def forget_workers(self) -> None:
        """Drop the slots of worker processes that are gone."""
        for pid, path in _slots(self.path):
            if not is_alive(pid):
                with contextlib.suppress(OSError):  # on Windows, what is left of a worker may still have it open
                    os.unlink(path)


def ask_to_stop(folder: str) -> None:
    """Ask all workers of a board to stop after their current item."""
    with contextlib.suppress(OSError):
        Path(folder, "stop").touch()
        for _, path in _slots(folder):
            with contextlib.suppress(OSError):
                _mapped(path).cast("q")[STOP] = 1


_known: dict[tuple[str, int], Slot] = {}


def own_slot(folder: str | None) -> Slot | None:
    """This thread's slot on a board; None where that is on another machine."""
    if folder is None:
        return None
    place = folder, threading.get_ident()
    slot = _known.get(place)
    if slot is None:
        for other in [known for known in _known if not os.path.exists(known[0])]:
            _known.pop(other, None)
        try:
            slot = _known[place] = Slot(folder)
        except OSError:
            return None
    return slot


def _slots(folder: str) -> list[tuple[int, str]]:
    """Process and path of each slot."""
    named = [(name.partition("-"), name) for name in os.listdir(folder)]
    return [(int(pid), os.path.join(folder, name)) for (pid, dash, _), name in named if dash and pid.isdigit()]


def _mapped(path: str, create: int = 0) -> memoryview:
    descriptor = os.open(path, os.O_RDWR | create | getattr(os, "O_BINARY", 0), 0o600)
    try:
        if create:
            # A hole would have no room on a full disk, and to write into its mapping kills the process.
            os.write(descriptor, _LAYOUT.pack(0, 0, _IDLE, 0, 0, 0, 0, 0))
        return memoryview(mmap.mmap(descriptor, _LAYOUT.size))
    finally:
        os.close(descriptor)
