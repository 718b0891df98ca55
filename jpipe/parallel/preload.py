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
from typing import Any, NamedTuple

from jpipe.parallel.fork_server import receive, send
from jpipe.parallel.forked_workers import ForkServer
from jpipe.parallel.preload_request import Preload
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


class _Imports(NamedTuple):
    """What a server is to import.

    Parameters
    ----------
    files
        The user's files whose imports it does: path, time and size of each, for an edited one may import more.
    modules
        More modules.
    """

    files: tuple[tuple[str, int, int], ...]
    modules: tuple[str, ...]

    @classmethod
    def of(cls, files: Iterable[str], modules: Iterable[str]) -> _Imports:
        """As the files are now."""
        return cls(tuple(map(_stamped, files)), tuple(modules))

    def message(self) -> bytes:
        """What the server is told."""
        files = [file for file, _, _ in self.files]
        folders = [os.path.dirname(os.path.abspath(file)) for file in files]
        path = [*(folder for folder in folders if folder not in sys.path), *sys.path]
        return marshal.dumps({"files": files, "modules": [*_MODULES, *self.modules], "path": path})


def _stamped(file: str) -> tuple[str, int, int]:
    try:
        found = os.stat(file)
    except OSError:
        return file, 0, 0
    return file, found.st_mtime_ns, found.st_size


class _Starting:
    """A server that was started and has not said yet that it is ready.

    Parameters
    ----------
    imports
        What it imports.
    limits
        Variables that only workers have.
    """

    def __init__(self, imports: _Imports, limits: Mapping[str, str]) -> None:
        self.imports = imports
        self.limits = dict(limits)
        self.report: dict[str, Any] | None = None
        self.started = time.monotonic()
        self.control, theirs = socket.socketpair()
        with theirs:
            self.pid = _spawn(theirs, _QUIET | dict(os.environ) | self.limits)
        with contextlib.suppress(OSError):
            send(self.control, imports.message())

    def wait(self) -> str | None:
        """Have `report`, unless it takes too long or the server died; why workers cannot come from it."""
        patience = max(_PATIENCE, 3 * (time.monotonic() - self.started))
        poll = select.poll()
        poll.register(self.control, select.POLLIN)
        data = receive(self.control) if poll.poll(patience * 1000) else None
        self.report = {"problem": "it does not start"} if data is None else marshal.loads(bytes(data))
        problem: str | None = self.report["problem"]
        return problem

    def end(self) -> None:
        """End it, however far it is."""
        self.control.close()
        with contextlib.suppress(OSError):
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)


def _fits(report: Mapping[str, Any], limits: Mapping[str, str]) -> bool:
    """Whether what a server imported is what this process would import now."""
    theirs, ours = report.get("environment", {}), os.environ
    ignored = {*limits, *_QUIET, *_WHEREABOUTS}
    names = (theirs.keys() | ours.keys()) - ignored
    modules = report.get("modules", {})
    return all(theirs.get(name) == ours.get(name) for name in names) and all(
        getattr(sys.modules.get(name), "__file__", None) in (None, file)
        for name, file in modules.items()
        if owner_of(file) is Owner.PACKAGE
    )


_lock = threading.Lock()
_early: _Starting | None = None
_server: ForkServer | None = None
_setting: tuple[Any, ...] = ()
"""What decided about what the server's imports gave."""
_imported: set[_Imports] = set()
"""What the server was asked for and has."""
_retired: list[ForkServer] = []
"""Servers that others have taken the place of, while maps or runs in other threads still use their workers."""
_refused: dict[tuple[Any, ...], str] = {}


def start(files: Iterable[str], modules: Iterable[str], limits: Mapping[str, str]) -> None:
    """Start a server for what these files import, unless there is one."""
    global _early
    with _lock:
        if _early is None and _server is None:
            _early = _started(_Imports.of(files, modules), limits)


def ready_server(preload: Preload, limits: Mapping[str, str]) -> tuple[ForkServer | None, str]:
    """A server that workers can be forked from, to be given back with its `release`; or None and the reason why not.

    There is one at a time. It goes on to import what further maps and runs of this process need, so that theirs are
    forked in milliseconds too.
    """
    imports = _Imports.of(preload.files, preload.modules)
    with _lock:
        setting = tuple(sorted(limits.items())), _surroundings(limits)
        wanted = imports, setting
        if wanted not in _refused:
            problem = _make_ready(imports, setting, limits)
            if problem is None:
                assert _server is not None
                _server.lease()
                return _server, ""
            _refused[wanted] = problem
        problem = _refused[wanted]
    return (None, problem) if preload.without is None else ready_server(Preload((), preload.without), limits)


def _make_ready(imports: _Imports, setting: tuple[Any, ...], limits: Mapping[str, str]) -> str | None:
    """Have `_server` be one that has these imports, or say why there can be none."""
    global _early
    if _server is not None and not (_server.is_alive and _setting == setting):
        _retire()
    early, _early = _early, None
    if early is not None:
        if _server is not None or early.limits != dict(limits) or early.imports.files != imports.files:
            early.end()
        elif (problem := early.wait()) is not None:
            early.end()
            return problem
        elif not _fits(early.report or {}, limits):
            early.end()
        else:
            _take(early, setting)
    if _server is not None and imports not in _imported:
        report = _server.import_more(imports.message(), _PATIENCE)
        if report is None or report["problem"] is not None or not _fits(report, limits):
            # What it has imported cannot be undone.
            _retire()
        else:
            _imported.add(imports)
        if report is not None and report["problem"] is not None:
            return str(report["problem"])
    if _server is None:
        fresh = _started(imports, limits)
        if fresh is None:
            return "no process can be started"
        if (problem := fresh.wait()) is not None:
            fresh.end()
            return problem
        _take(fresh, setting)
    return None


def _take(starting: _Starting, setting: tuple[Any, ...]) -> None:
    global _server, _setting
    _server, _setting = ForkServer(starting.control, starting.pid), setting
    _imported.clear()
    _imported.add(starting.imports)


def _started(imports: _Imports, limits: Mapping[str, str]) -> _Starting | None:
    try:
        return _Starting(imports, limits)
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


def _retire() -> None:
    """Have no server; the one that there was ends as soon as nobody uses it."""
    global _server
    server, _server = _server, None
    if server is not None:
        server.retire()
        _retired[:] = [other for other in (*_retired, server) if other.is_alive]


def _end() -> None:
    """Leave no process behind."""
    if os.getpid() == _owner:
        _retire()
        for server in _retired:
            server.close()
        if _early is not None:
            _early.end()


def _forget_in_child() -> None:
    """A child that this process forks has no server: that of its parent would hear two at once."""
    global _lock, _early, _server, _owner
    for server in (_server, *_retired):
        if server is not None:
            server.forget()
    if _early is not None:
        _early.control.close()
    _lock, _early, _server, _owner = threading.Lock(), None, None, os.getpid()
    _retired.clear()


_owner = os.getpid()
atexit.register(_end)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
