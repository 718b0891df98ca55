"""What the function of a map reaches: which values, and which modules another process has to import for them."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Iterator
from functools import partial
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from jpipe.parallel.packing import is_importable
from jpipe.system.ownership import Owner, is_users, owner_of

__all__ = ["imports_of", "is_written_by_user", "reached", "travels_by_itself"]

_MOST_OBJECTS = 3000
_PLAIN = (int, float, complex, str, bytes, bytearray, bool, type(None), range, type)


def imports_of(used: Iterable[Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The user's files, and the modules that are not the user's, that another process imports to have these values.

    Both in the order in which this process has imported them. What is sent whole, as from a notebook, needs no file.
    """
    names = {_module_of(value) for value in reached(used)}
    files, modules = [], []
    for name in [name for name in sys.modules if name in names]:
        file = getattr(sys.modules[name], "__file__", None)
        if not isinstance(file, str):
            continue
        if owner_of(file) is not Owner.USER:
            modules.append(name)
        elif name != "__main__" and is_importable(name):
            files.append(file)
    return tuple(files), tuple(modules)


def _module_of(value: Any) -> str:
    if isinstance(value, ModuleType):
        return value.__name__
    named = isinstance(value, FunctionType | BuiltinFunctionType | MethodType | type)
    return str((value if named else type(value)).__module__)


def reached(used: Iterable[Any]) -> Iterator[Any]:
    """What functions can get at: by names in their code, by arguments, by attributes of the user's objects."""
    waiting, seen = list(used), set[int]()
    while waiting and len(seen) < _MOST_OBJECTS:
        value = waiting.pop()
        if id(value) in seen or type(value) in _PLAIN:
            continue
        seen.add(id(value))
        yield value
        with contextlib.suppress(Exception):
            waiting.extend(_below(value))


def _below(value: Any) -> Iterator[Any]:
    if isinstance(value, FunctionType):
        if is_users(value.__code__.co_filename) or value.__code__.co_filename.startswith("<"):
            yield from _of_function(value)
    elif isinstance(value, MethodType):
        yield from (value.__func__, value.__self__)
    elif isinstance(value, dict):
        yield from list(value.values())[:1000]
    elif isinstance(value, list | tuple | set | frozenset):
        yield from list(value)[:1000]
    elif isinstance(value, type):
        if is_written_by_user(value):
            yield from vars(value).values()
    elif not isinstance(value, ModuleType) and (not travels_by_itself(type(value)) or isinstance(value, partial)):
        yield from _of_object(value)


def _of_function(function: FunctionType) -> Iterator[Any]:
    names = set(_names(function.__code__))
    for name in names:
        if name in function.__globals__:
            found = function.__globals__[name]
            yield found
            if isinstance(found, ModuleType) and is_users(getattr(found, "__file__", None) or ""):
                yield from (vars(found)[other] for other in names if other in vars(found))
    yield from (cell.cell_contents for cell in function.__closure__ or ())
    yield from function.__defaults__ or ()
    yield from (function.__kwdefaults__ or {}).values()
    if hasattr(function, "__wrapped__"):
        yield function.__wrapped__


def _of_object(value: Any) -> Iterator[Any]:
    """Attributes, the parts of a partial, and what the user's class makes of it."""
    yield from list(getattr(value, "__dict__", {}).values())[:1000]
    if isinstance(value, partial):
        yield from (value.func, value.args, value.keywords)
    if is_written_by_user(type(value)):
        yield type(value)


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def travels_by_itself(kind: type) -> bool:
    """Whether a class says how its objects get to another process, as loggers do: by name."""
    return any(getattr(kind, name) is not getattr(object, name) for name in ("__reduce__", "__reduce_ex__"))


def is_written_by_user(kind: type) -> bool:
    module = sys.modules.get(kind.__module__)
    return module is None or is_users(getattr(module, "__file__", None) or "<stdin>")
