"""Which steps are done in a process of their own although this one is free: those that could end it or never return.

Where there is no parallelism, items run in the main process. A step that calls ``os._exit``, kills processes or reaches
into memory with ctypes would take the run with it, unheard; in a worker it is one failed item. The same holds for one
with a timeout, which only the end of a process can enforce. A step that opens a debugger needs the terminal and stays.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from jpipe.define.step import Step
from jpipe.system.ownership import is_users

__all__ = ["needs_process", "opens_debugger", "resizes_arrays"]

_ENDS_PROCESS = frozenset(
    {"_exit", "abort", "kill", "killpg", "raise_signal", "setrlimit", "execv", "setrecursionlimit", "closerange"}
)
_NATIVE = frozenset({"ctypes", "_ctypes", "cffi", "faulthandler"})
_DEBUGGER = frozenset({"breakpoint", "set_trace"})
_MOST_FUNCTIONS = 200


def needs_process(step: Step[..., Any]) -> bool:
    """Whether items of a step are not to run in the main process.

    Judged from the names in its code and in the user's functions that it calls; what compiled code does is not seen.
    """
    if step.declared.prefer == "threads":
        return False
    risky, debugged = _judged(step)
    return not debugged and (risky or step.declared.timeout is not None)


def opens_debugger(step: Step[..., Any]) -> bool:
    """Whether the code of a step calls a debugger: ``breakpoint()``, or ``set_trace()`` of one."""
    return _judged(step)[1]


def resizes_arrays(step: Step[..., Any]) -> bool:
    """Whether the code of a step may call ``resize()`` of an array, which needs one that owns its memory."""
    return any("resize" in names for names, _ in _reached(_function_behind(step.function)))


def _function_behind(called: Any) -> Any:
    """The function that a decorator, a partial, a method or an object with ``__call__`` leads to."""
    called = inspect.unwrap(called)
    while isinstance(called, functools.partial):
        called = called.func
    if isinstance(called, MethodType):
        called = called.__func__
    return called if isinstance(called, FunctionType) else type(called).__call__


@functools.lru_cache(maxsize=1024)
def _judged(step: Step[..., Any]) -> tuple[bool, bool]:
    """Whether the code of a step could end the process, and whether it opens a debugger."""
    names: set[str] = set()
    risky = False
    for known, namespace in _reached(_function_behind(step.function)):
        names |= known
        risky = risky or any(_is_native(namespace.get(name)) for name in known)
    return risky or not names.isdisjoint(_ENDS_PROCESS | _NATIVE), not names.isdisjoint(_DEBUGGER)


def _reached(function: Any) -> Iterator[tuple[set[str], dict[str, Any]]]:
    """The names that each of the user's functions below this one uses, and its globals."""
    waiting, seen = [function], set[int]()
    while waiting and len(seen) < _MOST_FUNCTIONS:
        one = waiting.pop()
        if id(one) in seen or not issubclass(type(one), FunctionType) or not is_users(one.__code__.co_filename):
            continue
        seen.add(id(one))
        names = set(_names(one.__code__))
        yield names, one.__globals__
        waiting += [one.__globals__[name] for name in names if name in one.__globals__]


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _is_native(found: Any) -> bool:
    try:
        name = found.__name__ if issubclass(type(found), ModuleType) else getattr(found, "__module__", None)
    except Exception:  # an object of the user's, which may raise whatever it is asked
        return False
    return isinstance(name, str) and name.partition(".")[0] in _NATIVE
