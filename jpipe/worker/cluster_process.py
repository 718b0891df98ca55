"""A process of its own for the chunks that a worker of a cluster is given.

Workers of a cluster are processes of somebody else's: with several threads, which share folder, variables and the
generators of random numbers; with modules that were imported before an edit; and an item that hangs cannot be ended
there. So each thread of such a worker has a process that is started for the run, does one chunk at a time, and can be
killed. It ends with its run, with its parent, and when nothing was heard for a minute.

Both sides write a length and then a pickle to a pipe.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import select
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any, BinaryIO

__all__ = ["Child", "ChildDied", "child_of", "give_back", "main"]

IDLE = 60.0
"""Seconds without work after which a process ends."""
LOOK = 0.1
"""How often to look whether an item takes too long, seconds."""
_LENGTH = struct.Struct("<Q")
_START = """
import sys
sys.path[:] = {path!r}
from jpipe.worker.cluster_process import main
main({parent})
"""


class ChildDied(Exception):
    """The process ended in the middle of a chunk, or was killed because it took too long.

    Parameters
    ----------
    code
        What it ended with, negative for a signal; None where it was killed because of the time.
    """

    def __init__(self, code: int | None) -> None:
        super().__init__(code)
        self.code = code


class Child:
    """The process, from outside.

    Attributes
    ----------
    run
        The run that it was started for.
    """

    def __init__(self, run: bytes) -> None:
        self.run = run
        code = _START.format(path=[path for path in sys.path if path], parent=os.getpid())
        flags: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
        self._process = subprocess.Popen(
            [sys.executable, *flags, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    def __call__(self, task: Any, is_late: Callable[[], bool] | None = None) -> Any:
        """What ``task()`` gives there.

        Parameters
        ----------
        is_late
            Whether it has taken too long by now, so that the process is to be killed; asked all the time.

        Raises
        ------
        ChildDied
            If the process is over without an answer; it is then gone.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        over, late = threading.Event(), threading.Event()
        if is_late is not None:
            watch = threading.Thread(target=self._watch, args=(is_late, over, late), name="jpipe-late", daemon=True)
            watch.start()
        try:
            _write(self._process.stdin, pickle.dumps(task, 5))
            answer = _read(self._process.stdout)
        except OSError:
            answer = None
        finally:
            over.set()
        if answer is None:
            self.end()
            raise ChildDied(None if late.is_set() else self._process.returncode)
        return pickle.loads(answer)

    def _watch(self, is_late: Callable[[], bool], over: threading.Event, late: threading.Event) -> None:
        while not over.wait(LOOK):
            if is_late() and not over.is_set():
                late.set()
                self._process.kill()
                return

    def is_alive(self) -> bool:
        """Whether it can be given work."""
        return self._process.poll() is None

    def end(self) -> None:
        """End it at once."""
        with contextlib.suppress(OSError):
            self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                pipe.close()  # type: ignore[union-attr]


_idle: list[Child] = []
_lock = threading.Lock()


def child_of(run: bytes) -> Child:
    """A process for a run: an idle one, else a new one. Those of runs before end."""
    with _lock:
        mine = [child for child in _idle if child.run == run and child.is_alive()]
        others = [child for child in _idle if child not in mine]
        chosen = mine.pop() if mine else None
        _idle[:] = mine
    for child in others:
        child.end()
    return chosen or Child(run)


def give_back(child: Child) -> None:
    """Keep a process for the next chunk of its run."""
    with _lock:
        _idle.append(child)


# -- inside ----------------------------------------------------------------------------------------------------------


def main(parent: int) -> None:
    """Do what comes through the pipe, until it is closed."""
    asked, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    # What items print below Python goes where errors go, and what they read from the terminal is empty.
    os.dup2(2, 1)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    from jpipe.parallel.process_lifetime import belong_to

    belong_to(-parent)
    while _is_coming(asked):
        data = _read(asked)
        if data is None:
            break
        _write(answers, _answer(data))
    os._exit(0)


def _answer(data: bytes) -> bytes:
    """The pickled answer; one that cannot be pickled is an error of the task."""
    from jpipe.system.error_record import WorkersLost

    try:
        return pickle.dumps(pickle.loads(data)(), 5)
    except Exception as error:
        return pickle.dumps(WorkersLost(f"{type(error).__name__}: {error}"), 5)


def _is_coming(pipe: BinaryIO) -> bool:
    if os.name == "nt":
        return True
    return bool(select.select([pipe], [], [], IDLE)[0])


def _write(pipe: BinaryIO | Any, data: bytes) -> None:
    pipe.write(_LENGTH.pack(len(data)))
    pipe.write(data)
    pipe.flush()


def _read(pipe: BinaryIO | Any) -> bytes | None:
    """The next message; None where the pipe was closed."""
    head = pipe.read(_LENGTH.size)
    if len(head) != _LENGTH.size:
        return None
    (size,) = _LENGTH.unpack(head)
    data: bytes = pipe.read(size)
    return data if len(data) == size else None
