"""The process that workers are forked from: it has imported what the pipeline imports, and has a single thread.

It runs nothing of the user's. It is started by ``jpipe.parallel.preload``, imports installed packages, says whether
forks of it are safe, and then forks a worker for each socket that it is sent. A worker takes tasks from its socket
until that is closed. When the main process is gone, so are the server and all its workers.
"""

from __future__ import annotations

import contextlib
import marshal
import os
import pickle
import select
import signal
import socket
import stat
import struct
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any

from jpipe.parallel.process_lifetime import belong_to, die_with_parent
from jpipe.parallel.silent_imports import silenced
from jpipe.parallel.static_packages import packages_of
from jpipe.system.ownership import Owner, owner_of

__all__ = ["COMMAND", "receive", "send", "serve"]

COMMAND = struct.Struct("=cI")
"""What the main process asks: ``F`` to fork a worker of this number for the socket that comes with it, ``I`` to import
what follows."""
_LENGTH = struct.Struct("=Q")


def send(connection: socket.socket, data: Any) -> None:
    """Send bytes with their length before them."""
    connection.sendall(_LENGTH.pack(len(data)))
    connection.sendall(data)


def receive(connection: socket.socket) -> bytearray | None:
    """The bytes of one `send`; None where the other end is closed."""
    head = _exactly(connection, _LENGTH.size)
    return None if head is None else _exactly(connection, _LENGTH.unpack(head)[0])


def _exactly(connection: socket.socket, size: int) -> bytearray | None:
    data = bytearray(size)
    view = memoryview(data)
    while view:
        try:
            count = connection.recv_into(view)
        except ConnectionError:
            return None
        if not count:
            return None
        view = view[count:]
    return data


def serve(descriptor: int, parent: int) -> None:
    """Be the server of the process at the other end of this socket."""
    control = socket.socket(fileno=descriptor)
    control.set_inheritable(False)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # It ends when the main process does; handlers, because ignored signals would stay ignored in programs.
        signal.signal(number, _leave_it)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    if parent:
        die_with_parent(parent)
    asked = receive(control)
    if asked is None:
        return
    report = _preload(**marshal.loads(asked))
    send(control, marshal.dumps(report))
    if report["problem"] is None:
        _Server(control).run()
    # Nothing of the user's has run here: nothing is to be tidied up.
    os._exit(0)


def _preload(files: list[str], modules: list[str], path: list[str]) -> dict[str, Any]:
    """Import, and say what the main process has to know to decide whether to use forks of this one."""
    before = _open_files()
    with silenced():
        for name in modules:
            _import(name, ())
        for module, names in packages_of(files, path):
            _import(module, names)
    found = {name: getattr(module, "__file__", None) for name, module in sys.modules.items() if "." not in name}
    return {
        "problem": _threads() or _handles(before) or _users_code(found),
        "environment": dict(os.environ),
        "modules": {name: file for name, file in found.items() if isinstance(file, str)},
    }


def _import(module: str, names: tuple[str, ...]) -> None:
    """Import what may be there; who needs it and cannot have it says so."""
    with contextlib.suppress(BaseException):
        __import__(module, {}, {}, list(names), 0)


# ---- whether forks are safe


def _threads() -> str | None:
    """What runs beside the main thread and would be missing in a fork."""
    named = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    if named:
        return f"a package that is imported starts threads: {', '.join(named[:3])}"
    if _thread_count() > 1 and _count_in_fork() > 1:
        return f"a package that is imported starts threads of its own: {', '.join(_native_names()[1:4])}"
    return None


def _native_names() -> list[str]:
    names = []
    for task in sorted(os.listdir("/proc/self/task"), key=int):
        with contextlib.suppress(OSError), open(f"/proc/self/task/{task}/comm", encoding="utf-8") as file:
            names.append(file.read().strip())
    return names


def _thread_count() -> int:
    count = 0
    for _ in range(5):
        count = len(os.listdir("/proc/self/task"))
        if count == 1:
            break
        # A thread that was joined may be about to leave.
        time.sleep(0.002)
    return count


def _count_in_fork() -> int:
    """Threads after a fork: libraries such as OpenBLAS end theirs before one, and start them anew when needed."""
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return _thread_count()


def _open_files() -> set[int]:
    found = set()
    for name in os.listdir("/proc/self/fd"):
        # What was opened for the list itself is closed by now.
        with contextlib.suppress(OSError):
            os.fstat(int(name))
            found.add(int(name))
    return found


def _handles(before: set[int]) -> str | None:
    """What is open and would be shared by all forks, with one position or one connection."""
    for descriptor in sorted(_open_files() - before):
        with contextlib.suppress(OSError):
            kind = os.fstat(descriptor)
            target = os.readlink(f"/proc/self/fd/{descriptor}")
            if target not in (os.devnull, "/dev/urandom", "/dev/random") and not stat.S_ISDIR(kind.st_mode):
                return f"a package that is imported keeps {target} open"
    return None


def _users_code(modules: Mapping[str, str | None]) -> str | None:
    """Code of the user's that came along: it may be edited before a worker is forked."""
    for name, file in modules.items():
        if isinstance(file, str) and name != "__main__" and owner_of(file) is Owner.USER:
            return f"a package that is imported imports {name}, which is not installed"
    return None


# ---- forking


class _Server:
    """Forks workers on request, and tells how each ended."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._workers: dict[int, int] = {}
        self._woken, self._waker = socket.socketpair()
        self._waker.setblocking(False)
        self._woken.setblocking(False)
        signal.signal(signal.SIGCHLD, _leave_it)
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)

    def run(self) -> None:
        """Serve until the main process closes its end."""
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(self._woken, select.POLLIN)
        try:
            while True:
                ready = {descriptor for descriptor, _ in poll.poll()}
                if self._woken.fileno() in ready:
                    with contextlib.suppress(BlockingIOError):
                        self._woken.recv(4096)
                    self._reap()
                if self._control.fileno() in ready and not self._obey():
                    return
        except ConnectionError:
            return
        finally:
            for pid in self._workers:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)

    def _obey(self) -> bool:
        data, descriptors, _, _ = socket.recv_fds(self._control, COMMAND.size, 1)
        if len(data) < COMMAND.size:
            return False
        what, number = COMMAND.unpack(data)
        if what == b"I":
            asked = receive(self._control)
            if asked is None:
                return False
            self._tell("imported", number, _preload(**marshal.loads(asked)))
            return True
        pid = os.fork()
        if pid == 0:
            self._become_worker(descriptors[0])
        os.close(descriptors[0])
        self._workers[pid] = number
        self._tell("forked", number, pid)
        return True

    def _reap(self) -> None:
        for pid in list(self._workers):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                number = self._workers.pop(pid)
                self._tell("ended", number, os.waitstatus_to_exitcode(status))

    def _tell(self, what: str, number: int, value: Any) -> None:
        send(self._control, marshal.dumps((what, number, value)))

    def _become_worker(self, descriptor: int) -> None:
        code = 1
        try:
            server = os.getppid()
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            for connection in (self._control, self._woken, self._waker):
                connection.close()
            belong_to(server)
            connection = socket.socket(fileno=descriptor)
            connection.set_inheritable(False)
            _work(connection)
            code = 0
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            _leave(code)


def _work(connection: socket.socket) -> None:
    """Do tasks until the main process closes its end; the first message is about the surroundings."""
    own = os.getpid()
    begun = receive(connection)
    if begun is None:
        return
    _settle(**pickle.loads(begun))
    while (data := receive(connection)) is not None:
        result = pickle.loads(data)()
        if os.getpid() != own:
            # A child that a task forked and that came back from it: it is not a worker.
            os._exit(0)
        del data
        send(connection, result)
        del result


def _settle(environment: Mapping[str, str], folder: str | None, path: list[str], arguments: list[str]) -> None:
    """Take over what the main process has at the moment."""
    zone = os.environ.get("TZ")
    for name in os.environ.keys() - environment.keys():
        del os.environ[name]
    os.environ.update(environment)
    if os.environ.get("TZ") != zone:
        time.tzset()
    sys.path[:] = path
    sys.argv[:] = arguments
    if folder is not None:
        with contextlib.suppress(OSError):
            os.chdir(folder)


def _leave(code: int) -> None:
    """End this worker without what only the server is to do at its end."""
    util: Any = sys.modules.get("multiprocessing.util")
    with contextlib.suppress(BaseException):
        if util is not None:
            util._exit_function()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(BaseException):
            stream.flush()
    os._exit(code)


def _leave_it(number: int, frame: object) -> None:
    """Do nothing."""
