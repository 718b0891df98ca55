"""What an item changes of the state that its process computes with is put back at its end, as the folder is.

Else what the next item gives would hang on whether it comes to the same process, and on whether this one ran at all.
Only what the code of the step names: to look at all costs as much as a short item, and what a package does to the
process when it is imported stays.
"""

from __future__ import annotations

import contextlib
import csv
import functools
import gc
import logging
import os
import signal
import sys
import threading
import time
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from jpipe.system.ownership import owns_function
from jpipe.system.package_settings import apply_settings, settings_here
from jpipe.worker.surroundings import put_filters, umask

__all__ = ["as_found", "state_named_by"]

_DEPTH = 4
"""How deep functions are looked into."""
_SIGNALS = tuple(
    getattr(signal, name)
    for name in ("SIGALRM", "SIGUSR1", "SIGUSR2", "SIGHUP", "SIGPIPE", "SIGCHLD", "SIGTERM", "SIGINT")
    if hasattr(signal, name)
)
_inside = threading.Lock()


class _State(NamedTuple):
    """State of a process: names in code that changes it, how it is read and put back.

    Parameters
    ----------
    is_of_threads
        Whether each thread has its own, or only the main thread may ask.
    """

    names: frozenset[str]
    read: Callable[[], Any]
    write: Callable[[Any], Any]
    is_of_threads: bool = False


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _attribute(holder: Any, name: str) -> _State:
    return _State(_words(name), lambda: getattr(holder, name), lambda value: setattr(holder, name, value))


def _put_environment_back(wanted: dict[str, str]) -> None:
    for name in {*wanted, *os.environ}:
        value = wanted.get(name)
        if value is None:
            os.environ.pop(name, None)
        elif os.environ.get(name) != value:
            os.environ[name] = value
    if hasattr(time, "tzset"):
        time.tzset()


def _put_list_back(name: str) -> Callable[[list[Any]], None]:
    def put_back(words: list[Any]) -> None:
        getattr(sys, name)[:] = words

    return put_back


def _put_limit_back(limit: int) -> None:
    with contextlib.suppress(RecursionError):
        sys.setrecursionlimit(limit)


def _put_gc_back(state: tuple[bool, tuple[int, int, int], int]) -> None:
    (gc.enable if state[0] else gc.disable)()
    gc.set_threshold(*state[1])
    gc.set_debug(state[2])


def _handlers() -> dict[int, Any]:
    is_main = threading.current_thread() is threading.main_thread()
    return {number: signal.getsignal(number) for number in _SIGNALS} if is_main else {}


def _put_handlers_back(handlers: dict[int, Any]) -> None:
    for number, handler in handlers.items():
        if handler is not None and signal.getsignal(number) != handler:
            signal.signal(number, handler)


def _has_alarm() -> bool:
    return hasattr(signal, "getitimer") and signal.getitimer(signal.ITIMER_REAL)[0] > 0


def _put_alarm_back(was_set: bool) -> None:
    if not was_set:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _blocked() -> Any:
    return signal.pthread_sigmask(signal.SIG_BLOCK, []) if hasattr(signal, "pthread_sigmask") else None


def _levels() -> tuple[int, dict[str, int]]:
    levels = {name: getattr(one, "level", 0) for name, one in list(logging.root.manager.loggerDict.items())}
    return logging.root.manager.disable, {name: level for name, level in levels.items() if level}


def _put_levels_back(state: tuple[int, dict[str, int]]) -> None:
    logging.disable(state[0])
    for name in _levels()[1].keys() - state[1].keys():
        logging.getLogger(name).setLevel(logging.NOTSET)


def _put_umask_back(mask: int | None) -> None:
    if mask is not None:
        os.umask(mask)


_STATES = (
    _State(_words("environ putenv unsetenv tzset"), lambda: dict(os.environ), _put_environment_back),
    _State(_words("field_size_limit"), csv.field_size_limit, csv.field_size_limit),
    _State(_words("umask"), umask, _put_umask_back),
    _State(_words("setrecursionlimit"), sys.getrecursionlimit, _put_limit_back),
    _State(_words("set_int_max_str_digits"), sys.get_int_max_str_digits, sys.set_int_max_str_digits),
    _State(_words("setswitchinterval"), sys.getswitchinterval, sys.setswitchinterval),
    _State(_words("path"), lambda: list(sys.path), _put_list_back("path")),
    _State(_words("argv"), lambda: list(sys.argv), _put_list_back("argv")),
    *(_attribute(sys, name) for name in ("excepthook", "displayhook", "unraisablehook")),
    _State(
        _words("simplefilter filterwarnings resetwarnings catch_warnings filters"),
        lambda: list(warnings.filters),
        put_filters,
    ),
    _State(_words("settrace"), sys.gettrace, sys.settrace, is_of_threads=True),
    _State(_words("setprofile"), sys.getprofile, sys.setprofile, is_of_threads=True),
    _State(_words("gc"), lambda: (gc.isenabled(), gc.get_threshold(), gc.get_debug()), _put_gc_back),
    _State(_words("signal"), _handlers, _put_handlers_back, is_of_threads=True),
    _State(_words("alarm setitimer"), _has_alarm, _put_alarm_back),
    _State(
        _words("pthread_sigmask"),
        _blocked,
        lambda blocked: signal.pthread_sigmask(signal.SIG_SETMASK, blocked),
        is_of_threads=True,
    ),
    _State(_words("setLevel basicConfig dictConfig disable"), _levels, _put_levels_back),
    _State(
        _words(
            "setLevel basicConfig dictConfig setlocale setdefaulttimeout tempdir register_dialect getcontext setcontext"
            " seterr set_printoptions set_option options set_config set_options rcParams set_default_dtype"
        ),
        settings_here,
        apply_settings,
    ),
)


def state_named_by(function: Any) -> tuple[_State, ...]:
    """Which state of the process the code of a step names."""
    return _known(function) if type(function) is types.FunctionType else _named_by(function)


def _named_by(function: Any) -> tuple[_State, ...]:
    names = {name for code in _codes(function) for name in code.co_names}
    return tuple(state for state in _STATES if not state.names.isdisjoint(names))


_known = functools.lru_cache(maxsize=256)(_named_by)


@contextlib.contextmanager
def as_found(states: tuple[_State, ...]) -> Iterator[None]:
    """Put state back at the end; beside such an item in another thread only what each thread has alone."""
    is_alone = _inside.acquire(blocking=False)
    before = [(state, state.read()) for state in states if is_alone or state.is_of_threads]
    try:
        yield
    finally:
        for state, value in before:
            if state.read() != value:
                state.write(value)
        if is_alone:
            _inside.release()


def _codes(function: Any) -> Iterator[types.CodeType]:
    """The code of a function and of those that it calls by name, also as methods of classes."""
    seen: set[int] = set()
    stack: list[tuple[Any, int]] = [(function, _DEPTH)]
    while stack:
        one, depth = stack.pop()
        one = getattr(one, "__wrapped__", one)
        one = getattr(one, "__func__", one)
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, type):
            stack += [(value, depth) for value in vars(one).values() if isinstance(value, types.FunctionType)]
        if type(one) is not types.FunctionType or not owns_function(one):
            continue
        inner = [one.__code__]
        while inner:
            code = inner.pop()
            yield code
            inner += [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
            found = [one.__globals__.get(name) for name in code.co_names]
            modules = [value for value in found if isinstance(value, types.ModuleType)]
            found += [vars(module).get(name) for module in modules for name in code.co_names]
            stack += [(value, depth - 1) for value in found if callable(value) and depth]
