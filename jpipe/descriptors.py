"""What a worker process writes below Python: C libraries, other programs, the interpreter's last words.

While a chunk runs, both go into a file in the run's folder. So nothing tears the lines of the main process, each item's
share is kept with what it prints, and what a worker said before it died can still be read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Descriptors", "last_words"]

_HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep
LIMIT = 1 << 16
"""Of what an item writes, the last so many bytes are kept."""


class Descriptors:
    """Standard streams of this process, in the run folder `folder`."""

    def __init__(self, folder: str) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
        self._file = os.open(_path(folder, os.getpid()), flags, 0o600)

    @contextmanager
    def redirected(self) -> Iterator[None]:
        """Point the descriptors 1 and 2 to the file."""
        saved = os.dup(1), os.dup(2)
        try:
            os.dup2(self._file, 1)
            os.dup2(self._file, 2)
            yield
        finally:
            for number, before in zip((1, 2), saved, strict=True):
                os.dup2(before, number)
                os.close(before)

    def take(self) -> str:
        """What was written since the last time."""
        size = os.fstat(self._file).st_size
        if not size:
            return ""
        os.lseek(self._file, max(0, size - LIMIT), os.SEEK_SET)
        raw = os.read(self._file, LIMIT)
        os.ftruncate(self._file, 0)
        return raw.decode("utf-8", "replace")

    def close(self) -> None:
        """Give the file back."""
        os.close(self._file)


def last_words(folder: str, pid: int) -> str:
    """What a worker that is gone wrote last."""
    try:
        with open(_path(folder, pid), "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - LIMIT))
            return _without_own_frames(file.read().decode("utf-8", "replace"))
    except OSError:
        return ""


def _without_own_frames(text: str) -> str:
    """A crash report of the interpreter names the innermost frame first: it ends for the user where jpipe's begin."""
    before, fatal, report = text.rpartition("Fatal Python error")
    if not fatal:
        return text
    lines = report.splitlines(keepends=True)
    end = next((number for number, line in enumerate(lines) if f'File "{_HERE}' in line), len(lines))
    return before + fatal + "".join(lines[:end])


def _path(folder: str, pid: int) -> str:
    return os.path.join(folder, f"{pid}.out")
