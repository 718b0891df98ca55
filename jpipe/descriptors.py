"""What a worker process writes below Python: C libraries, other programs, the interpreter's last words.

While a chunk runs, both go into a file in the run's folder. So nothing tears the lines of the main process, each item's
share is kept with what it prints, and what a worker said before it died can still be read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

__all__ = ["Descriptors", "LastWords", "last_words"]

_HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep
LIMIT = 1 << 16
"""Of what an item writes, the last so many bytes are kept."""
_CRASH = re.compile(r"^(?:Fatal Python error: |Timeout \(\d+:\d\d:\d\d)", re.MULTILINE)
_THREAD = re.compile(r"^(?:Current thread|Thread) 0x", re.MULTILINE)
_FRAME = re.compile(r'^  File "(.*)", line (\d+) in (.*)$', re.MULTILINE)


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


@dataclass(frozen=True, slots=True)
class LastWords:
    """What a worker that is gone wrote last.

    Parameters
    ----------
    text
        What the item printed.
    crash
        The first line of what the interpreter said of its end, or "".
    frames
        Where it was then, outermost first: (file, line, function), without jpipe's own.
    """

    text: str = ""
    crash: str = ""
    frames: tuple[tuple[str, int, str], ...] = ()


def last_words(folder: str, pid: int) -> LastWords:
    """What a worker that is gone wrote last."""
    try:
        with open(_path(folder, pid), "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - LIMIT))
            return _understood(file.read().decode("utf-8", "replace"))
    except OSError:
        return LastWords()


def _understood(text: str) -> LastWords:
    """Tell what the interpreter said of a crash, or of a timeout, from what the item printed."""
    starts = list(_CRASH.finditer(text))
    if not starts:
        return LastWords(text)
    report = text[starts[-1].start() :]
    threads = [_frames(thread) for thread in _THREAD.split(report)[1:]]
    return LastWords(text[: starts[-1].start()], report.partition("\n")[0], next(filter(None, reversed(threads)), ()))


def _frames(thread: str) -> tuple[tuple[str, int, str], ...]:
    """The frames of one thread, which names the innermost first; it ends for the user where jpipe's begin."""
    frames: list[tuple[str, int, str]] = []
    for file, number, name in _FRAME.findall(thread):
        if file.startswith(_HERE):
            return tuple(reversed(frames))
        frames.append((file, int(number), name))
    return ()


def _path(folder: str, pid: int) -> str:
    return os.path.join(folder, f"{pid}.out")
