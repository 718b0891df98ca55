"""The main process's side of workers that a server forks: a queue of tasks, and a socket to each worker.

A worker is forked when a task finds none idle, so there are never more than tasks. When one dies, its own task is lost
and no other.
"""

from __future__ import annotations

import contextlib
import marshal
import os
import pickle
import queue
import select
import signal
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from jpipe.parallel.fork_server import COMMAND, receive, send
from jpipe.system.error_record import WorkersLost

__all__ = ["ForkServer", "ForkedFromServer"]

Finished = Callable[[Any, WorkersLost | None], None]
"""Called with (what the task returned, None) or (None, why it is lost), in the thread that listens."""
_UNHEARD = 2.0
"""How long after its socket was closed the server may take to say how a worker ended, seconds."""
_FAREWELL = 2.0
"""How long the server may take to end before it is killed, seconds."""


@dataclass(eq=False, slots=True)
class _Worker:
    """One worker, as far as is known.

    `pid` is 0 until the server has forked it, `code` None until it ended.
    """

    number: int
    pool: ForkedFromServer
    connection: socket.socket
    pid: int = 0
    code: int | None = None
    finished: Finished | None = None
    closed_at: float | None = None
    killed: bool = False


class ForkServer:
    """A server that is ready, and the thread that listens to it and its workers.

    Parameters
    ----------
    control
        The socket to it.
    pid
        Its process.
    """

    def __init__(self, control: socket.socket, pid: int) -> None:
        self.pid = pid
        self.is_alive = True
        self._control = control
        self._owner = os.getpid()
        self._count = 0
        self._by_descriptor: dict[int, _Worker] = {}
        self._by_number: dict[int, _Worker] = {}
        self._lock = threading.RLock()
        self._poll = select.epoll()
        self._poll.register(control, select.EPOLLIN)
        self._leases = 0
        self._is_retired = False
        self._reports: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._listen, name="jpipe-workers", daemon=True)
        self._thread.start()

    @property
    def is_ours(self) -> bool:
        """Whether this process started it, and is no child that was forked since."""
        return os.getpid() == self._owner

    def lease(self) -> None:
        """Keep it for a pool, until `release`."""
        with self._lock:
            self._leases += 1

    def release(self) -> None:
        """A pool needs no more workers."""
        with self._lock:
            self._leases -= 1

    def retire(self) -> None:
        """End it when no pool needs it and all workers are gone."""
        with self._lock:
            self._is_retired = True
            is_unused = not (self._leases or self._by_number)
        if is_unused:
            self.close()

    def import_more(self, asked: bytes, patience: float) -> dict[str, Any] | None:
        """Have the server import more before it forks again; its report, or None where that takes too long, seconds."""
        with self._lock:
            try:
                self._control.sendall(COMMAND.pack(b"I", 0))
                send(self._control, asked)
            except OSError:
                return None
        try:
            return self._reports.get(timeout=patience)
        except queue.Empty:
            return None

    def fork(self, pool: ForkedFromServer) -> _Worker:
        """A new worker, which may take a moment to be there.

        Raises
        ------
        OSError
            When the server is gone.
        """
        ours, theirs = socket.socketpair()
        with self._lock, theirs:
            self._count += 1
            worker = _Worker(self._count, pool, ours)
            self._by_number[worker.number] = worker
            self._by_descriptor[ours.fileno()] = worker
            socket.send_fds(self._control, [COMMAND.pack(b"F", worker.number)], [theirs.fileno()])
        self._poll.register(ours, select.EPOLLIN)
        return worker

    def kill(self, worker: _Worker) -> None:
        """End a worker at once, also one that has yet to be forked."""
        with self._lock:
            worker.killed = True
            if worker.pid and worker.code is None:
                with contextlib.suppress(OSError):
                    os.kill(worker.pid, signal.SIGKILL)

    def forget(self) -> None:
        """Let go of it in a child that this process has forked: who holds the sockets keeps workers alive."""
        self.is_alive = False
        self._lock = threading.RLock()
        connections: tuple[Any, ...] = (self._control, self._poll)
        for connection in (*connections, *(worker.connection for worker in self._by_number.values())):
            with contextlib.suppress(OSError):
                connection.close()

    def close(self) -> None:
        """End the server and all its workers."""
        if not self.is_ours:
            return
        self.is_alive = False
        with contextlib.suppress(OSError):
            self._control.shutdown(socket.SHUT_RDWR)
        self._await_end()
        if threading.current_thread() is not self._thread:
            self._thread.join(1)

    def _await_end(self) -> None:
        """Wait for the server to end, which it does at once unless it hangs in an import."""
        end = time.monotonic() + _FAREWELL
        with contextlib.suppress(OSError):
            while os.waitpid(self.pid, os.WNOHANG) == (0, 0):
                if time.monotonic() > end:
                    os.kill(self.pid, signal.SIGKILL)
                time.sleep(0.001)

    # ---- the thread

    def _listen(self) -> None:
        while self.is_alive or self._by_descriptor:
            for descriptor, _ in self._poll.poll(0.5):
                if descriptor == self._control.fileno():
                    self._hear_server()
                else:
                    self._hear_worker(descriptor)
            self._give_up_waiting()
            if self._is_retired and self.is_alive:
                self.retire()
        self._poll.close()
        self._control.close()

    def _hear_server(self) -> None:
        data = receive(self._control)
        if data is None:
            self._poll.unregister(self._control)
            self.is_alive = False
            self._reports.put(None)
            return
        what, number, value = marshal.loads(bytes(data))
        if what == "imported":
            self._reports.put(value)
            return
        worker = self._by_number.get(number)
        if worker is None:
            return  # nobody waited for the news any more
        if what == "forked":
            with self._lock:
                worker.pid = value
                if worker.killed:
                    self.kill(worker)
        else:
            worker.code = value
            del self._by_number[number]
            if worker.closed_at is not None:
                worker.pool.ended(worker)

    def _hear_worker(self, descriptor: int) -> None:
        worker = self._by_descriptor[descriptor]
        result = receive(worker.connection)
        if result is not None:
            worker.pool.done(worker, result)
            return
        self._poll.unregister(descriptor)
        del self._by_descriptor[descriptor]
        worker.connection.close()
        worker.closed_at = time.monotonic()
        if worker.code is not None or not self.is_alive:
            worker.pool.ended(worker)

    def _give_up_waiting(self) -> None:
        now = time.monotonic()
        for worker in list(self._by_number.values()):
            overdue = worker.closed_at is not None and (not self.is_alive or now - worker.closed_at > _UNHEARD)
            if overdue:
                del self._by_number[worker.number]
                worker.pool.ended(worker)


class ForkedFromServer:
    """The workers of one pool.

    Parameters
    ----------
    server
        What forks them; it was leased, and is released at the end.
    n_jobs
        How many there may be.
    limits
        Variables of the environment that only workers have.
    """

    def __init__(self, server: ForkServer, n_jobs: int, limits: Mapping[str, str]) -> None:
        self._server = server
        self._n_jobs = n_jobs
        self._lock = threading.RLock()
        self._workers: set[_Worker] = set()
        self._idle: list[_Worker] = []
        self._waiting: deque[tuple[Any, Finished]] = deque()
        self._closed = False
        self._released = False
        self._surroundings = pickle.dumps(_surroundings(limits))

    @property
    def is_usable(self) -> bool:
        """Whether tasks can be submitted."""
        return not self._closed and self._server.is_alive

    def submit(self, task: Any, finished: Finished) -> None:
        """Have a worker call what these bytes are the pickle of; it gives bytes.

        Raises
        ------
        WorkersLost
            When there is nobody to do it.
        """
        with self._lock:
            if not self.is_usable:
                raise WorkersLost("the process that workers are forked from is gone")
            if self._idle:
                self._give(self._idle.pop(), task, finished)
            elif len(self._workers) < self._n_jobs:
                try:
                    worker = self._server.fork(self)
                except OSError as error:
                    raise WorkersLost(str(error)) from error
                self._workers.add(worker)
                self._send(worker, self._surroundings)
                self._give(worker, task, finished)
            else:
                self._waiting.append((task, finished))

    def kill(self) -> None:
        """End the workers at once; nobody hears of their tasks any more."""
        if not self._server.is_ours:
            return
        with self._lock:
            self._closed = True
            self._waiting.clear()
            for worker in self._workers:
                worker.finished = None
                self._server.kill(worker)
            self._release()

    def close(self) -> None:
        """Let the workers end when they are idle."""
        if not self._server.is_ours:
            return
        with self._lock:
            self._closed = True
            for worker in self._workers:
                with contextlib.suppress(OSError):
                    worker.connection.shutdown(socket.SHUT_WR)
            self._release()

    def _release(self) -> None:
        if not self._released:
            self._released = True
            self._server.release()

    def done(self, worker: _Worker, result: Any) -> None:
        """A worker sent what its task gave."""
        with self._lock:
            finished, worker.finished = worker.finished, None
            if self._waiting:
                self._give(worker, *self._waiting.popleft())
            else:
                self._idle.append(worker)
        if finished is not None:
            finished(result, None)

    def ended(self, worker: _Worker) -> None:
        """A worker is over."""
        with self._lock:
            self._workers.discard(worker)
            if worker in self._idle:
                self._idle.remove(worker)
            finished, worker.finished = worker.finished, None
            waiting, others = None, []
            if not self._closed and self._waiting:
                if self._server.is_alive:
                    waiting = self._waiting.popleft()
                else:
                    others, self._waiting = list(self._waiting), deque()
        if finished is not None:
            finished(None, WorkersLost(f"a worker ended: {_how(worker.code)}", frozenset({worker.pid})))
        if waiting is not None:
            others.append(waiting)
        for task, then in others:
            try:
                self.submit(task, then)
            except WorkersLost as error:
                then(None, error)

    def _give(self, worker: _Worker, task: Any, finished: Finished) -> None:
        worker.finished = finished
        self._send(worker, task)

    def _send(self, worker: _Worker, data: Any) -> None:
        # One that died meanwhile is heard of by the thread that listens.
        with contextlib.suppress(OSError):
            send(worker.connection, data)


def _surroundings(limits: Mapping[str, str]) -> dict[str, Any]:
    """What workers take over from this process."""
    try:
        folder = os.getcwd()
    except OSError:
        folder = None
    return {
        "environment": dict(os.environ) | dict(limits),
        "folder": folder,
        "path": list(sys.path),
        "arguments": list(sys.argv),
    }


def _how(code: int | None) -> str:
    """How a process ended, as loky says it."""
    if code is None:
        return "nobody knows how"
    if code >= 0:
        return f"EXIT({code})"
    with contextlib.suppress(ValueError):
        return f"{signal.Signals(-code).name}({code})"
    return f"EXIT({code})"
