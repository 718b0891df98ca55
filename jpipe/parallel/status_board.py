"""What each worker process is doing right now, readable by the main process even after the worker was killed.

A run has a folder of its own below the system's temporary folder. Each worker maps one small file in it, named by its
process and thread, and writes there which chunk and which item of it it is on. A file named ``stop`` asks all workers
to stop after their current item.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import shutil
import struct
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

from jpipe.files import RUN_FOLDER

__all__ = ["RunFolder", "Slot", "SlotState", "is_alive"]

_LAYOUT = struct.Struct("<QIIdQ")
_SIZE = 64
IDLE = 0xFFFFFFFF
LEFTOVER_AFTER = 60.0
"""Folders of dead runs are removed when they were not touched for so long, seconds."""


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
        When the item began, seconds since 1970.
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
    """The worker's side: say what this process is doing."""

    def __init__(self, folder: str) -> None:
        self._stop = os.path.join(folder, "stop")
        path = os.path.join(folder, f"{os.getpid()}-{threading.get_ident()}")
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
        try:
            # A hole would have no room on a full disk, and to write into its mapping kills the process.
            os.write(descriptor, bytes(_SIZE))
            self._map = mmap.mmap(descriptor, _SIZE)
        finally:
            os.close(descriptor)
        self._done = 0

    def begin(self, chunk: int, position: int, now: float, peak_memory: int) -> None:
        """An item begins."""
        _LAYOUT.pack_into(self._map, 0, chunk, position, self._done, now, peak_memory)

    def end(self, chunk: int, now: float, peak_memory: int) -> None:
        """The item ended."""
        self._done += 1
        _LAYOUT.pack_into(self._map, 0, chunk, IDLE, self._done, now, peak_memory)

    def should_stop(self) -> bool:
        """Whether the run was asked to stop."""
        return os.path.exists(self._stop)


class RunFolder:
    """The main process's side: a temporary folder with one slot a worker."""

    def __init__(self) -> None:
        _remove_leftovers()
        self.path = Path(tempfile.mkdtemp(prefix=f"{RUN_FOLDER}{os.getpid()}-"))
        self._numbers: dict[int, int] = {}

    def states(self) -> list[SlotState]:
        """What every worker of this run was last doing."""
        found = []
        for pid, path in self._slots():
            raw = path.read_bytes()
            if len(raw) == _SIZE:
                chunk, position, done, started, peak = _LAYOUT.unpack_from(raw)
                found.append(SlotState(pid, chunk, None if position == IDLE else position, done, started, peak))
        return found

    def number_of(self, pid: int) -> int:
        """A small number for a worker, from 1, in the order in which they were first heard of; 0 for this process."""
        if pid == os.getpid():
            return 0
        return self._numbers.setdefault(pid, len(self._numbers) + 1)

    def ask_to_stop(self) -> None:
        """Ask all workers to stop after their current item."""
        (self.path / "stop").touch()

    def forget_workers(self) -> None:
        """Drop the slots of worker processes, which are all gone; threads of this process live on."""
        for pid, path in self._slots():
            if pid != os.getpid():
                with contextlib.suppress(OSError):  # on Windows, what is left of a worker may still have it open
                    path.unlink()

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.path, ignore_errors=True)

    def _slots(self) -> list[tuple[int, Path]]:
        """Process and path of each slot."""
        named = [(path.name.partition("-"), path) for path in self.path.iterdir()]
        return [(int(pid), path) for (pid, dash, _), path in named if dash and pid.isdigit()]


def _remove_leftovers() -> None:
    """Remove the folders of runs that were killed."""
    with contextlib.suppress(OSError):
        for path in Path(tempfile.gettempdir()).glob(f"{RUN_FOLDER}*-*"):
            pid = path.name.removeprefix(RUN_FOLDER).partition("-")[0]
            old = time.time() - path.stat().st_mtime > LEFTOVER_AFTER
            if old and pid.isdigit() and not is_alive(int(pid)):
                shutil.rmtree(path, ignore_errors=True)


def is_alive(pid: int) -> bool:
    """Whether there is such a process on this machine; True where that cannot be asked."""
    if os.name == "nt":
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
