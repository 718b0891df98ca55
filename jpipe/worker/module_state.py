"""What the user's modules hold, compared without looking at large things: did code leave something behind in them?"""

from __future__ import annotations

import functools
import sys
import types
from collections import deque
from typing import Any

from jpipe.system.ownership import is_kind, owns_class, owns_function, owns_module

__all__ = ["ModuleState", "state_of_modules"]

ModuleState = dict[str, int]
"""By name of a module: a number that is another one when something in it was changed."""
MOST = 50_000
"""Of so many objects no more are looked at: then it counts as changed."""
_PLAIN = (int, float, complex, str, bytes, bool, type(None))
_LISTS = (list, tuple, set, frozenset, deque)


def state_of_modules() -> ModuleState | None:
    """What all loaded modules of the user's hold; None where that is too much to look at."""
    found: ModuleState = {}
    walk = _Walk()
    for name, module in list(sys.modules.items()):
        if is_kind(module, types.ModuleType) and owns_module(module):
            found[name] = walk.of(vars(module))
            if walk.left < 0:
                return None
    return found


class _Walk:
    """Follows what can be changed, each object once."""

    def __init__(self) -> None:
        self.left = MOST
        self._seen: set[int] = set()

    def of(self, namespace: dict[str, Any]) -> int:
        """A number for a namespace and all below it."""
        pieces: list[Any] = []
        stack: list[Any] = [namespace]
        while stack and self.left >= 0:
            obj = stack.pop()
            kind = type(obj)
            if kind in _PLAIN:
                pieces.append(hash(obj))
                continue
            pieces.append(id(obj))
            if id(obj) in self._seen or issubclass(kind, types.ModuleType):
                continue
            self._seen.add(id(obj))
            self.left -= 1
            inside = _inside(obj, kind)
            pieces.append(len(inside))
            stack.extend(inside)
        return hash(tuple(pieces))


def _inside(obj: Any, kind: type) -> list[Any]:
    """What an object holds that the user's code may change."""
    if kind is types.FunctionType:
        return _inside_function(obj)
    if issubclass(kind, type):
        return [item for pair in vars(obj).items() for item in pair] if owns_class(obj) else []
    if kind is functools._lru_cache_wrapper:
        return [*obj.cache_info()[1:], obj.__wrapped__]
    if kind in (property, functools.partial, types.MethodType, classmethod, staticmethod):
        names = ("fget", "fset", "fdel", "func", "args", "keywords", "__func__", "__self__")
        return [getattr(obj, name) for name in names if hasattr(obj, name)]
    if kind.__name__ == "ndarray" and kind.__module__ == "numpy":
        return [obj.tobytes() if obj.nbytes < 1 << 20 and not obj.dtype.hasobject else obj.shape]
    found: list[Any] = []
    if issubclass(kind, dict):
        if "__builtins__" in obj:  # the globals of a module: looked at for themselves
            obj = {name: value for name, value in dict.items(obj) if not name.startswith("__")}
        found += [item for pair in list(dict.items(obj)) for item in pair]
    elif issubclass(kind, _LISTS):
        found += list(obj) if kind in _LISTS else []
    if kind not in (dict, *_LISTS):
        found += _attributes(obj, kind)
    return found


def _inside_function(function: types.FunctionType) -> list[Any]:
    found: list[Any] = [*vars(function).values(), *(function.__defaults__ or ())]
    if function.__kwdefaults__:
        found += function.__kwdefaults__.values()
    for cell in function.__closure__ or ():
        try:
            found.append(cell.cell_contents)
        except ValueError:
            continue
    return found if found or owns_function(function) else []


def _attributes(obj: Any, kind: type) -> list[Any]:
    """Attributes and slots, without asking code of the user's."""
    found: list[Any] = []
    try:
        attributes = object.__getattribute__(obj, "__dict__")
    except AttributeError:
        attributes = None
    if isinstance(attributes, dict):
        found += [item for pair in list(attributes.items()) for item in pair]
    for cls in kind.__mro__:
        for value in list(vars(cls).values()) if "__slots__" in vars(cls) else ():
            if isinstance(value, types.MemberDescriptorType):
                try:
                    found.append(value.__get__(obj, kind))
                except AttributeError:
                    continue
    return found
