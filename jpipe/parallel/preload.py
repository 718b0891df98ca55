"""Start the process that workers are forked from, early if a pool is expected, and decide whether it can be used.

`start` costs a millisecond: the server imports beside this process. `ready_server` waits for it when workers are
needed. What it imported has to be what this process would have imported: if a variable of the environment or the file
of a package is another here by then (a pipeline file may set ``os.environ["KERAS_BACKEND"]`` before an import), the
server is started anew with what holds now.
"""

from __future__ import annotations

import atexit
import contextlib
import marshal
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from typing import Any

from jpipe.parallel.fork_server import receive, send
from jpipe.parallel.forked_workers import ForkServer
from jpipe.system.machine import cpu_count
from jpipe.system.ownership import Owner, owner_of

__all__ = ["THREAD_VARIABLES", "is_possible", "ready_server", "start", "thread_limits"]

THREAD_VARIABLES = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS", "NUMEXPR_NUM_THREADS",
)  # fmt: skip
_QUIET = {"JE_ARROW_MALLOC_CONF": "background_thread:false", "_RJEM_MALLOC_CONF": "background_thread:false"}
"""Keeps the allocators of pyarrow and of Rust's libraries from a thread that only tidies up; not set in workers."""
_WHEREABOUTS = frozenset({"_", "PWD", "OLDPWD", "SHLVL", "COLUMNS", "LINES", "PYTEST_CURRENT_TEST"})
"""Variables that say where a process is, and nothing that an import asks for."""
_PATIENCE = 60.0
"""How long a server may take to import, at least, seconds."""
_MODULES = ("joblib.parallel", "joblib.memory", "cloudpickle")


def is_possible() -> bool:
    """Whether this system can have such a server: elsewhere forks are not safe, or there are none."""
    return sys.platform == "linux" and os.path.isdir("/proc/self/task")


def thread_limits(n_jobs: int) -> dict[str, str]:
    """The variables that keep the threads of native libraries in each of `n_jobs` workers to its share of the cores."""
    share = str(max(cpu_count() // n_jobs, 1))
    limits = {name: os.environ.get(name, share) for name in THREAD_VARIABLES}
    return limits if "ENABLE_IPC" in os.environ else {**limits, "ENABLE_IPC": "1"}


class _Starting:
    """A server that was started and has not said yet that it is ready.

    Parameters
    ----------
    files
        The user's files whose imports it does.
    modules
        More modules to import.
    limits
        Variables that only workers have.
    """

    def __init__(self, files: tuple[str, ...], modules: tuple[str, ...], limits: Mapping[str, str]) -> None:
        self.files = files
        self.modules = modules
        self.limits = dict(limits)
        self.environment = dict(os.environ)
        self.report: dict[str, Any] | None = None
        self.started = time.monotonic()
        self.control, theirs = socket.socketpair()
        with theirs:
            self.pid = _spawn(theirs, _QUIET | self.environment | self.limits)
        folders = [os.path.dirname(os.path.abspath(file)) for file in files]
        path = [*(folder for folder in folders if folder not in sys.path), *sys.path]
        asked = {"files": list(files), "modules": [*_MODULES, *modules], "path": path}
        with contextlib.suppress(OSError):
            send(self.control, marshal.dumps(asked))

    def wait(self) -> None:
        """Have `report`, unless it takes too long or the server died."""
        patience = max(_PATIENCE, 3 * (time.monotonic() - self.started))
        poll = select.poll()
        poll.register(self.control, select.POLLIN)
        data = receive(self.control) if poll.poll(patience * 1000) else None
        self.report = {"problem": "it does not start"} if data is None else marshal.loads(bytes(data))

    def fits(self) -> bool:
        """Whether what it imported is what this process would import now."""
        assert self.report is not None
        theirs, ours = self.report.get("environment", {}), os.environ
        ignored = {*self.limits, *_QUIET, *_WHEREABOUTS}
        names = (theirs.keys() | ours.keys()) - ignored
        modules = self.report.get("modules", {})
        return all(theirs.get(name) == ours.get(name) for name in names) and all(
            getattr(sys.modules.get(name), "__file__", None) in (None, file)
            for name, file in modules.items()
            if owner_of(file) is Owner.PACKAGE
        )

    def end(self) -> None:
        """End it, however far it is."""
        self.control.close()
        with contextlib.suppress(OSError):
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)


_lock = threading.Lock()
_early: _Starting | None = None
_server: ForkServer | None = None
_asked: tuple[Any, ...] = ()
_refused: dict[tuple[Any, ...], str] = {}


def start(files: Iterable[str], modules: Iterable[str], limits: Mapping[str, str]) -> None:
    """Start a server for what these files import, unless there is one."""
    global _early
    with _lock:
        if _early is None and _server is None:
            _early = _started(tuple(files), tuple(modules), limits)


def ready_server(files: Iterable[str], modules: Iterable[str], limits: Mapping[str, str]) -> tuple[Any, str]:
    """A server that workers can be forked from, or None and the reason why not."""
    global _early, _server, _asked
    files, modules = tuple(files), tuple(modules)
    with _lock:
        wanted = (files, modules, tuple(sorted(limits.items())), _surroundings(limits))
        if wanted in _refused:
            return None, _refused[wanted]
        if _server is not None and _server.is_alive and _asked == wanted:
            return _server, ""
        _drop_server()
        early, _early = _early, None
        if early is not None and (early.files, early.limits) != (files, dict(limits)):
            early.end()
            early = None
        if early is not None:
            early.wait()
            if early.report and early.report["problem"] is None and not early.fits():
                early.end()
                early = None
        if early is None:
            early = _started(files, modules, limits)
            if early is None:
                return None, "no process can be started"
            early.wait()
        assert early.report is not None
        problem = early.report["problem"]
        if problem is not None:
            early.end()
            _refused[wanted] = problem
            return None, problem
        _server, _asked = ForkServer(early.control, early.pid), wanted
        return _server, ""


def _started(files: tuple[str, ...], modules: tuple[str, ...], limits: Mapping[str, str]) -> _Starting | None:
    try:
        return _Starting(files, modules, limits)
    except OSError:
        return None


def _surroundings(limits: Mapping[str, str]) -> tuple[Any, ...]:
    """What decides about what an import gives: another server is needed where it changed."""
    ignored = {*limits, *_WHEREABOUTS}
    return tuple(sorted((name, value) for name, value in os.environ.items() if name not in ignored)), tuple(sys.path)


def _spawn(theirs: socket.socket, environment: Mapping[str, str]) -> int:
    """Start the server with one end of its socket; Ctrl-C is held back until it can leave it alone."""
    descriptor = theirs.fileno()
    theirs.set_inheritable(True)
    parent = os.getpid() if threading.current_thread() is threading.main_thread() else 0
    code = (
        f"import sys; sys.path[:] = {sys.path!r}; "
        f"from jpipe.parallel.fork_server import serve; serve({descriptor}, {parent})"
    )
    command = [sys.executable, *_flags(), "-c", code]
    nothing = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)]
    return os.posix_spawn(sys.executable, command, environment, file_actions=nothing, setsigmask=[signal.SIGINT])


def _flags() -> list[str]:
    """The options of this interpreter, for another."""
    flags = [f"-W{warning}" for warning in sys.warnoptions] + [f"-X{name}" for name in sys._xoptions if name == "utf8"]
    for letter, count in {
        "O": sys.flags.optimize,
        "B": sys.flags.dont_write_bytecode,
        "b": sys.flags.bytes_warning,
        "s": sys.flags.no_user_site,
        "S": sys.flags.no_site,
        "I": sys.flags.isolated,
    }.items():
        flags += [f"-{letter}"] * int(count)
    return flags


def _drop_server() -> None:
    global _server
    server, _server = _server, None
    if server is not None:
        server.close()


def _end() -> None:
    """Leave no process behind."""
    if os.getpid() == _owner:
        _drop_server()
        if _early is not None:
            _early.end()


_owner = os.getpid()
atexit.register(_end)
