"""Calls whose answers depend on the moment: clock, randomness, standard input, the process; found when they happen.

While a pipeline file is imported and its pipeline laid out, the interpreter tells of each call. Packages are left alone
while they are imported, and so is jpipe itself.
"""

from __future__ import annotations

import contextlib
import datetime
import importlib.machinery
import random
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

from jpipe.system.call_listener import CallListener, unheard
from jpipe.system.ownership import Owner, owner_of

__all__ = ["Volatile", "finding_volatile_calls"]

_CLOCK = {
    "time": ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "process_time",
             "localtime", "gmtime", "ctime", "strftime", "thread_time", "asctime"),
}  # fmt: skip
_MOMENT = {
    "posix": ("getpid", "getppid", "getloadavg", "cpu_count", "times", "uname", "getlogin", "sched_getaffinity"),
    "nt": ("getpid", "getppid", "cpu_count", "times", "getlogin"),
    "builtins": ("input", "id"),
    "_socket": ("gethostname", "gethostbyname", "getaddrinfo"),
}
_ENTROPY = {"posix": ("urandom", "getrandom"), "nt": ("urandom",), "_uuid": ("generate_time_safe", "UuidCreate")}
_OF_DATES = ("now", "today", "utcnow")
_OF_STREAMS = ("read", "readline", "readlines", "read1", "readinto")
_SILENT = ("logging", "threading", "queue", "selectors", "socket", "subprocess", "concurrent", "asyncio", "sched")
"""Modules of the standard library that look at the clock for their own ends."""
_HIDDEN = ({"Timestamp", "datetime64", "to_datetime"}, {"now", "today"})
"""Compiled code that asks for the time, of which nothing is told: code that names both is taken to call it."""

_KIND: dict[str, set[tuple[str, str]]] = {}
for _kind, _table in (("clock", _CLOCK), ("moment", _MOMENT), ("entropy", _ENTROPY)):
    for _module, _names in _table.items():
        for _name in _names:
            _KIND.setdefault(_name, set()).add((_module, _kind))

Volatile = tuple[str, str, int]
"""What was called, as one would write it; the file of the user's, and the line."""


@contextlib.contextmanager
def finding_volatile_calls(found: dict[Volatile, None]) -> Iterator[None]:
    """Find the volatile calls that the user's own code makes, itself or through others."""
    if sys.getprofile() is not None:
        # Somebody else listens, a profiler; who wants to know how long it takes does not need an instant answer.
        found["a profiler", "", 0] = None
        yield
        return
    listener = _Listener(found)
    before = importlib.machinery.SourceFileLoader.exec_module
    importlib.machinery.SourceFileLoader.exec_module = _quiet_for_packages(before, listener)  # type: ignore[method-assign]
    argv = sys.argv
    sys.argv = _Arguments(argv, listener)
    listener.drawn = _numpy_position()
    sys.setprofile(listener)
    try:
        yield
    finally:
        sys.setprofile(None)
        if isinstance(sys.argv, _Arguments):
            sys.argv = argv
        importlib.machinery.SourceFileLoader.exec_module = before  # type: ignore[method-assign]
        if _numpy_position() != listener.drawn and not listener.has_seeded_numpy:
            found["numpy.random", "", 0] = None


def _quiet_for_packages(load: Callable[..., Any], listener: _Listener) -> Callable[..., Any]:
    def exec_module(self: Any, module: types.ModuleType) -> None:
        if owner_of(str(self.path)) in (Owner.USER, Owner.CELL):
            return load(self, module)  # type: ignore[no-any-return]
        was_drawn = _numpy_position() != listener.drawn
        try:
            with unheard():
                return load(self, module)  # type: ignore[no-any-return]
        finally:
            if not was_drawn:
                listener.drawn = _numpy_position()  # what a package draws while it is imported is its own affair

    return exec_module


class _Arguments(list[str]):
    """`sys.argv`, which tells when it is asked for something."""

    def __init__(self, words: list[str], listener: _Listener) -> None:
        super().__init__(words)
        self._listener = listener

    def __getitem__(self, index: Any) -> Any:
        self._listener.hit("sys.argv", sys._getframe(1), "entropy")
        return super().__getitem__(index)

    def __iter__(self) -> Iterator[str]:
        self._listener.hit("sys.argv", sys._getframe(1), "entropy")
        return super().__iter__()

    def __len__(self) -> int:
        self._listener.hit("sys.argv", sys._getframe(1), "entropy")
        return super().__len__()


class _Listener(CallListener):
    """Hears of each call."""

    def __init__(self, found: dict[Volatile, None]) -> None:
        self._found = found
        self._seen: set[types.CodeType] = set()
        self._is_seeded = False
        self.has_seeded_numpy = False
        self.drawn: Any = None

    def __call__(self, frame: types.FrameType, event: str, called: Any) -> None:
        if event == "c_call":
            name = called.__name__
            if name in _KIND:
                self._of_module(name, called, frame)
            elif name in _OF_DATES:
                self._of_date(name, called, frame)
            elif name in _OF_STREAMS:
                self._of_stream(called, frame)
            elif name in ("random", "getrandbits", "seed"):
                self._of_generator(name, called, frame)
        elif event == "call":
            code = frame.f_code
            if code not in self._seen:
                self._seen.add(code)
                self._first_call(code, frame)
            if code is _SEED:
                self._seeded(frame)
            elif code.co_name == "__next__" and frame.f_globals.get("__name__") == "tempfile":
                self.hit("a temporary name", frame, "entropy")

    def hit(self, name: str, frame: Any, kind: str) -> None:
        """Something volatile was called from a frame; it counts where the user's own code is behind it."""
        owner = owner_of(frame.f_code.co_filename)
        if kind in ("clock", "moment") and owner not in (Owner.USER, Owner.CELL):
            module = str(frame.f_globals.get("__name__")).partition(".")[0]
            if owner is not Owner.PYTHON or kind == "moment" or module in _SILENT:
                return
        while frame is not None:
            owner = owner_of(frame.f_code.co_filename)
            if owner in (Owner.USER, Owner.CELL):
                self._found[name, frame.f_code.co_filename, frame.f_lineno] = None
                return
            if owner is Owner.JPIPE:
                return
            frame = frame.f_back

    def _of_module(self, name: str, called: Any, frame: types.FrameType) -> None:
        module = getattr(called, "__module__", None)
        for wanted, kind in _KIND[name]:
            if module == wanted:
                public = {"posix": "os", "nt": "os", "_uuid": "uuid", "_socket": "socket"}.get(wanted, wanted)
                self.hit(name if public == "builtins" else f"{public}.{name}", frame, kind)

    def _of_date(self, name: str, called: Any, frame: types.FrameType) -> None:
        owner = getattr(called, "__self__", None)
        if isinstance(owner, type) and issubclass(owner, datetime.date):
            self.hit(f"{owner.__name__}.{name}", frame, "entropy")

    def _of_stream(self, called: Any, frame: types.FrameType) -> None:
        stream = getattr(called, "__self__", None)
        if stream is not None and stream in (sys.stdin, getattr(sys.stdin, "buffer", None)):
            self.hit("sys.stdin", frame, "entropy")

    def _of_generator(self, name: str, called: Any, frame: types.FrameType) -> None:
        generator = getattr(called, "__self__", None)
        if name == "seed":
            self.has_seeded_numpy |= type(generator).__module__.startswith("numpy.")
        elif generator is _GLOBAL and not self._is_seeded:
            self.hit("random", frame, "entropy")

    def _seeded(self, frame: types.FrameType) -> None:
        """A generator of `random` is seeded: without a number, from the system."""
        given = frame.f_locals.get("a") is not None
        if frame.f_locals.get("self") is _GLOBAL:
            self._is_seeded = given
        if not given:
            self.hit("random", frame, "entropy")

    def _first_call(self, code: types.CodeType, frame: types.FrameType) -> None:
        names = {*code.co_names, *(text for text in code.co_consts if isinstance(text, str))}
        if all(words & names for words in _HIDDEN) and owner_of(code.co_filename) in (Owner.USER, Owner.CELL):
            self._found["now", code.co_filename, frame.f_lineno] = None


_GLOBAL: Any = getattr(random, "_inst", None)
_SEED = random.Random.seed.__code__


def _numpy_position() -> Any:
    """Where the global generator of numpy is; None where numpy is not imported."""
    get_state = getattr(sys.modules.get("numpy.random"), "get_state", None)
    return get_state(legacy=False)["state"].get("pos") if get_state is not None else None
