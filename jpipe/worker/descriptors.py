"""What a process writes below Python while items run: C libraries, other programs, the interpreter's last words.

While a chunk runs in a worker, its standard descriptors point to a file in the run's folder. So nothing tears the
lines of the main process, each item's share is kept with what it prints, and what a worker said before it died can
still be read. The main process does the same with items of its own, once it has another way to the screen.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from typing import NamedTuple, TextIO

from jpipe.system.audit import program_starts
from jpipe.system.ownership import is_jpipe_file

__all__ = ["Descriptors", "LastWords", "keep_screen", "last_words", "main_streams", "screen_given"]

LIMIT = 1 << 16
"""Of what an item writes, the last so many bytes are kept."""
_LARGEST = 4 << 20
"""Bytes that the file may hold before all but the last are removed."""
_LOOKED_AFTER = 0.05
"""Seconds between looks at how large it is."""
_CRASH = re.compile(r"^(?:Fatal Python error: |Timeout \(\d+:\d\d:\d\d)", re.MULTILINE)
_THREAD = re.compile(r"^(?:Current thread|Thread) 0x", re.MULTILINE)
_FRAME = re.compile(r'^  File "(.*)", line (\d+) in (.*)$', re.MULTILINE)


class Descriptors:
    """Standard streams of this process, in the run folder `folder`, or in a file of its own where that is None."""

    def __init__(self, folder: str | None) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
        if folder is not None:
            self._file = os.open(_path(folder, os.getpid()), flags, 0o600)
        else:
            made, path = tempfile.mkstemp()
            self._file = os.open(path, flags)
            os.close(made)
            os.unlink(path)
        self._saved: tuple[int, ...] = ()
        """Copies of the descriptors, made once: a run of short items comes here for each of them."""
        self._is_pointed = False
        self._users = 0
        self._lock = threading.Lock()
        self._left_out = 0
        self._bounds: threading.Thread | None = None
        self._over = threading.Event()

    def __enter__(self) -> None:
        """Point the descriptors 1 and 2 to the file; several threads may do so."""
        with self._lock:
            self._users += 1
            if self._users == 1:
                self._saved = self._saved or (os.dup(1), os.dup(2))
                self._is_pointed = True
                os.dup2(self._file, 1)
                os.dup2(self._file, 2)
                program_starts.append(self._begin_to_bound)

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._users -= 1
            if not self._users:
                program_starts.remove(self._begin_to_bound)
                self.give_back()
        self._end_bounding(if_unused=True)

    def _begin_to_bound(self) -> None:
        """Have a thread look at the size of the file, since a program may write faster than an item ends.

        It is there only where programs are started, and ends before a fork, for which threads are no good.
        """
        with self._lock:
            if self._bounds is None and self._users:
                self._over = threading.Event()
                self._bounds = threading.Thread(target=self._bound, daemon=True, name="jpipe-bounds")
                self._bounds.start()
                _bounding.add(self)

    def _end_bounding(self, *, if_unused: bool = False) -> None:
        with self._lock:
            thread = None if if_unused and self._users else self._bounds
            if thread is None:
                return
            self._bounds = None
            self._over.set()
            _bounding.discard(self)
        thread.join()

    def _bound(self) -> None:
        over = self._over
        while not over.wait(_LOOKED_AFTER):
            with self._lock:
                if os.fstat(self._file).st_size > _LARGEST:
                    os.write(self._file, self._last())

    def _last(self) -> bytes:
        """The end of what the file holds, which is empty then; what comes before it is counted."""
        size = os.fstat(self._file).st_size
        start = max(0, size - LIMIT)
        os.lseek(self._file, start, os.SEEK_SET)
        raw = os.read(self._file, LIMIT)
        os.ftruncate(self._file, 0)
        self._left_out += start
        return raw

    def give_back(self) -> None:
        """Point them to where they pointed before."""
        if self._is_pointed:
            self._is_pointed = False
            for number, before in zip((1, 2), self._saved, strict=True):
                os.dup2(before, number)

    def take(self) -> str:
        """What was written since the last time; of threads that share it, by any of them."""
        with self._lock:
            if not os.lseek(self._file, 0, os.SEEK_END):  # what is written goes to the end in any case
                return ""
            raw = self._last()
            left_out, self._left_out = self._left_out, 0
        text = raw.decode("utf-8", "replace")
        return f"… {left_out} bytes of what programs wrote are left out …\n{text}" if left_out else text

    def close(self) -> None:
        """Give the file back, and the copies."""
        for descriptor in (self._file, *self._saved):
            os.close(descriptor)


_bounding: set[Descriptors] = set()
"""Those that have a thread."""


def _end_threads() -> None:
    for one in list(_bounding):
        one._end_bounding()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_end_threads)

_main: Descriptors | None = None


def keep_screen() -> None:
    """Have `sys.stdout` and `sys.stderr` of this process write to the screen beside the descriptors 1 and 2.

    Only where nobody has replaced them, and not on Windows, whose consoles are not descriptors.
    """
    global _main
    out, err = sys.__stdout__, sys.__stderr__
    if _main is not None or os.name != "posix" or out is None or err is None:
        return
    if sys.stdout is not out or sys.stderr is not err:
        return
    try:
        copies = _copy(out), _copy(err)
        _main = Descriptors(None)
    except (OSError, ValueError):
        return
    sys.stdout, sys.stderr = copies


def main_streams() -> Descriptors | None:
    """Where the main process's streams go while it runs an item, after `keep_screen`."""
    return _main


@contextmanager
def screen_given() -> Iterator[None]:
    """Give the code inside Python's own standard streams, as a debugger wants them for editing its lines."""
    before = sys.stdout, sys.stderr
    if _main is not None and sys.__stdout__ is not None and sys.__stderr__ is not None:
        sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def _copy(stream: TextIOWrapper) -> TextIO:
    stream.flush()
    # Not closed: it is needed to the very end, like the stream that it stands for.
    return open(
        os.dup(stream.fileno()),
        "w",
        buffering=1 if stream.line_buffering else -1,
        encoding=stream.encoding,
        errors=stream.errors,
        closefd=False,
    )


class LastWords(NamedTuple):
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
        if is_jpipe_file(file):
            return tuple(reversed(frames))
        frames.append((file, int(number), name))
    return ()


def _path(folder: str, pid: int) -> str:
    return os.path.join(folder, f"{pid}.out")
