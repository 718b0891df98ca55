"""The temporary folder of a run: the status board of its workers, and what they write below Python."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from pathlib import Path

from jpipe.files import RUN_FOLDER
from jpipe.parallel.status_board import Board
from jpipe.system.machine import is_alive

__all__ = ["RunFolder"]

LEFTOVER_AFTER = 60.0
"""Folders of dead runs are removed when they were not touched for so long, seconds."""


class RunFolder(Board):
    """A board in a temporary folder of its own."""

    def __init__(self) -> None:
        _remove_leftovers()
        super().__init__(tempfile.mkdtemp(prefix=f"{RUN_FOLDER}{os.getpid()}-"))
        self._numbers: dict[int, int] = {}

    def number_of(self, pid: int) -> int:
        """A small number for a worker, from 1, in the order in which they were first heard of; 0 for this process."""
        if pid == os.getpid():
            return 0
        return self._numbers.setdefault(pid, len(self._numbers) + 1)

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.path, ignore_errors=True)


def _remove_leftovers() -> None:
    """Remove the folders of runs that were killed."""
    with contextlib.suppress(OSError):
        for path in Path(tempfile.gettempdir()).glob(f"{RUN_FOLDER}*-*"):
            pid = path.name.removeprefix(RUN_FOLDER).partition("-")[0]
            old = time.time() - path.stat().st_mtime > LEFTOVER_AFTER
            if old and pid.isdigit() and not is_alive(int(pid)):
                shutil.rmtree(path, ignore_errors=True)
