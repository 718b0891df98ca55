"""Keep what an item prints: stdout, stderr, logging and warnings that go there.

While items run, streams of jpipe's stand in for ``sys.stdout`` and ``sys.stderr``. They give what a thread writes
to the `Capture` of that thread; what a thread writes that has none goes to the only one there is, or is passed on,
except by a thread that an item left running. Log handlers that were made for the real streams are pointed at them too,
and one that was made in an item stays right, because the streams outlive the item.
"""

from __future__ import annotations

import io
import os
import sys
import threading
import warnings
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from jpipe.parallel.process_lifetime import is_worker

__all__ = ["Capture", "captured", "forget_warnings", "put_back_streams", "standing_in"]

LIMIT = 1 << 20


class Capture:
    """The first and the last of what is written, up to a mebibyte of characters."""

    def __init__(self, give_back: Callable[[], None] | None = None) -> None:
        self.give_back = give_back
        self._clear()

    def write(self, text: str) -> None:
        """Keep some text."""
        room = LIMIT // 2 - self._size
        self._size += len(text)
        if room > 0:
            self._head.append(text[:room])
            text = text[room:]
        self._tail.append(text)
        self._tail_size += len(text)
        while self._tail_size - len(self._tail[0]) >= LIMIT // 2:
            self._tail_size -= len(self._tail.popleft())

    def take(self) -> str:
        """What was written since the last time."""
        if not self._size:
            return ""
        head, tail = "".join(self._head), "".join(self._tail)[-LIMIT // 2 :]
        left_out = self._size - len(head) - len(tail)
        self._clear()
        return f"{head}\n… {left_out} characters left out …\n{tail}" if left_out > 0 else head + tail

    def _clear(self) -> None:
        self._head: list[str] = []
        self._tail: deque[str] = deque()
        self._size = self._tail_size = 0


class _Bytes(io.RawIOBase):
    """Takes the bytes that are written to the buffer of a `_Stream`."""

    mode = "wb"

    def __init__(self, name: str) -> None:
        self.name = f"<{name}>"
        self.stream: _Stream | None = None

    def writable(self) -> bool:
        """True."""
        return True

    def write(self, data: Any) -> int:
        """Keep some bytes as text."""
        raw = bytes(data)
        if self.stream is not None:
            self.stream.write(raw.decode("utf-8", "replace"))
        return len(raw)

    def fileno(self) -> int:
        """Of the real stream."""
        if self.stream is None:
            raise io.UnsupportedOperation("fileno")
        return self.stream.fileno()


class _Stream(io.TextIOWrapper):
    """Stands for stdout or stderr in a process where items run; whatever an item does to it, it goes on."""

    mode = "w"

    def __init__(self, name: str) -> None:
        raw = _Bytes(name)
        super().__init__(_Unbuffered(raw), encoding="utf-8", errors="replace", line_buffering=True, write_through=True)
        raw.stream = self
        self._name = name
        self._number = 2 if name == "stderr" else 1
        self.real: TextIO | None = None
        self.outside: TextIO | None = None
        """What it stood for while something was imported."""

    def write(self, text: str) -> int:
        """Keep some text for the item that runs in this thread, or pass it on."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        capture = _capture()
        if capture is not None:
            capture.write(text)
            return len(text)
        if _forked.now:
            _forked.write(self._number, text)
            return len(text)
        thread = threading.current_thread()
        if thread in _strays or (_captures and thread not in _before):
            return len(text)
        stream = self._passed_to()
        return stream.write(text) if stream is not None else len(text)

    def flush(self) -> None:
        """Have what was passed on written."""
        if _forked.now:
            _forked.flush(self._number)
            return
        stream = self._passed_to()
        if stream is not None and _capture() is None:
            stream.flush()

    def fileno(self) -> int:
        """Of the real stream: for what a step starts in another process."""
        stream = self._passed_to()
        if stream is None:
            raise io.UnsupportedOperation("fileno")
        return stream.fileno()

    def isatty(self) -> bool:
        """False: it is kept."""
        return False

    def close(self) -> None:
        """Nothing: other items write here too."""

    def detach(self) -> Any:
        """The buffer; this stream goes on."""
        return self.buffer

    def _passed_to(self) -> TextIO | None:
        stream = self.real or getattr(sys, self._name)
        if getattr(stream, "buffer", None) is self.buffer:  # the user's file wrapped this one, as for an encoding
            return self.outside
        return None if stream is self else stream


class _Unbuffered(io.BufferedWriter):
    """A buffer that keeps nothing back, so that bytes and text stay in order."""

    def write(self, data: Any) -> int:
        """Hand the bytes on at once."""
        return self.raw.write(data) or 0

    def close(self) -> None:
        """Nothing, see `_Stream.close`."""


class _Forked:
    """What a process writes that an item forked: by line to the descriptors, which are kept with what the item prints.

    Attributes
    ----------
    now
        Whether this is such a process.
    """

    def __init__(self) -> None:
        self.now = False
        self._begun = {1: "", 2: ""}

    def write(self, number: int, text: str) -> None:
        """Write whole lines, so that those of several processes are not torn."""
        lines, end, rest = (self._begun[number] + text).rpartition("\n")
        self._begun[number] = rest
        self._put(number, lines + end)

    def flush(self, number: int) -> None:
        """Write what has no end of line yet."""
        rest, self._begun[number] = self._begun[number], ""
        self._put(number, rest)

    @staticmethod
    def _put(number: int, text: str) -> None:
        raw = text.encode("utf-8", "replace")
        try:
            while raw:
                raw = raw[os.write(number, raw) :]
        except OSError:  # it is closed: nobody wants it
            return

    def begin(self) -> None:
        """This process was forked: what it captures would stay in its memory."""
        global _lock
        if _captures:
            _lock = threading.Lock()
            _current.capture = None
            _captures.clear()
            self.now = True


_current = threading.local()
_lock = threading.Lock()
_forked = _Forked()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked.begin)
_streams = _Stream("stdout"), _Stream("stderr")
_captures: list[Capture] = []
_hook: Any = None
_before: set[threading.Thread] = set()
"""The threads that there were before items ran."""
_strays: weakref.WeakSet[threading.Thread] = weakref.WeakSet()
"""Threads that items left running: what they write when no item runs would tear what is on the screen."""


class captured:
    """Keep what this thread writes to stdout and stderr where `active`; ``breakpoint()`` gets the real streams.

    `give_back` is what it calls besides, for that.
    """

    __slots__ = ("_active", "_before", "_capture")

    def __init__(self, active: bool, give_back: Callable[[], None] | None = None) -> None:
        self._active = active
        self._capture = Capture(give_back)

    def __enter__(self) -> Capture:
        if self._active:
            self._before = getattr(_current, "capture", None)
            _enter(self._capture)
            _current.capture = self._capture
        return self._capture

    def __exit__(self, *error: object) -> None:
        if self._active:
            _current.capture = self._before
            _leave(self._capture)


@contextmanager
def standing_in() -> Iterator[None]:
    """Let what is imported take hold of the streams that stand for the real ones, so that its logs are kept."""
    before = sys.stdout, sys.stderr
    if _captures or _streams[0].real is not None or before[0] is None or before[1] is None:
        yield
        return
    _streams[0].real, _streams[1].real = _streams[0].outside, _streams[1].outside = before
    sys.stdout, sys.stderr = _streams
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before  # also where the file put wrappers of its own there, for an encoding
        _streams[0].real = _streams[1].real = None


def put_back_streams() -> None:
    """Have `sys.stdout` and `sys.stderr` be those that are kept, after an item that left others there."""
    if _captures and (sys.stdout is not _streams[0] or sys.stderr is not _streams[1]):
        sys.stdout, sys.stderr = _streams
    for stream in _streams:
        if stream.encoding != "utf-8":
            stream.reconfigure(encoding="utf-8", errors="replace", line_buffering=True)


def forget_warnings() -> None:
    """Let every warning be shown again: else what an item prints would depend on what ran before it in its process."""
    # To enter and leave this is how Python says that warnings which were shown once may be shown again.
    with warnings.catch_warnings():
        pass


def _capture() -> Capture | None:
    """Of this thread's item; a thread that an item started belongs to it, where only one runs."""
    own = getattr(_current, "capture", None)
    if own is None and len(_captures) == 1 and threading.current_thread() not in _before:
        return _captures[0]
    return own


def _enter(capture: Capture) -> None:
    global _hook
    with _lock:
        _captures.append(capture)
        if len(_captures) > 1:
            return
        _before.update(threading.enumerate())
        if sys.stdout is _streams[0] and sys.stderr is _streams[1]:
            return  # they stand in because of stray threads
        _streams[0].real, _streams[1].real, _hook = sys.stdout, sys.stderr, sys.breakpointhook
        _point_handlers({id(sys.stdout): _streams[0], id(sys.stderr): _streams[1]})
        sys.stdout, sys.stderr, sys.breakpointhook = *_streams, _break


def _leave(capture: Capture) -> None:
    with _lock:
        if capture in _captures:
            _captures.remove(capture)
        if _captures:
            return
        _strays.update([thread for thread in threading.enumerate() if thread not in _before])
        _before.clear()
        if not (_strays and any(thread.is_alive() for thread in _strays)):
            _restore()


def _restore() -> None:
    for stream, name in zip(_streams, ("stdout", "stderr"), strict=True):
        if getattr(sys, name) is stream:
            setattr(sys, name, stream.real)
        stream.real = None
    if sys.breakpointhook is _break:
        sys.breakpointhook = _hook


def _break(*args: Any, **kwargs: Any) -> Any:
    """What ``breakpoint()`` calls in an item: the debugger gets the terminal, and pdb stops in the step, not here."""
    is_pdb = _hook is sys.__breakpointhook__ and os.environ.get("PYTHONBREAKPOINT", "") in ("", "pdb.set_trace")
    if is_pdb and is_worker():
        import bdb

        raise bdb.BdbQuit("breakpoint() needs the terminal, which a worker does not have")
    for capture in _captures:
        if capture.give_back is not None:
            capture.give_back()
    _current.capture = None
    _captures.clear()
    sys.stdout, sys.stderr, sys.breakpointhook = _streams[0].real, _streams[1].real, _hook
    if is_pdb:
        import pdb

        return pdb.Pdb().set_trace(sys._getframe(1))
    return sys.breakpointhook(*args, **kwargs)


def _point_handlers(streams: dict[int, _Stream]) -> None:
    """Have log handlers that write to the real streams write to those that stand for them."""
    logging = sys.modules.get("logging")
    if logging is None:
        return
    loggers = [logging.root, *logging.root.manager.loggerDict.values()]
    for handler in [handler for logger in loggers for handler in getattr(logger, "handlers", ())]:
        stream = streams.get(id(getattr(handler, "stream", None)))
        if stream is not None and type(handler).__name__ != "_StderrHandler":
            handler.stream = stream
