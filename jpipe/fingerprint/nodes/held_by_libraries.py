"""Functions and classes of the user's that a library holds: accessors, registries, hooks, `__init_subclass__`.

No name in the user's code leads to them: the library calls them. Who holds an object is asked of the garbage collector,
and only about the few that may be held at all, for each question looks at every object there is.
"""

from __future__ import annotations

import gc
import sys
import types
from collections.abc import Iterator
from typing import Any

from jpipe.fingerprint.source.outline import Statement
from jpipe.fingerprint.source.source_files import SourceFiles
from jpipe.system.ownership import (
    STANDARD_MODULES,
    is_jpipe_module,
    is_kind,
    owns_class,
    owns_function,
    owns_module,
    top_level,
)

_MOST_ASKED = 200
"""Containers a level; asking takes time in proportion to them."""
_TESTED_WITH = frozenset({"pytest", "_pytest", "hypothesis"})
"""They hold tests and fixtures, which no step calls."""
_LEVELS = 5
"""From what a registry holds over its containers up to the module or class of the library."""


def held_by_libraries(files: SourceFiles, modules: dict[str, dict[str, Any]]) -> dict[str, list[str]]:
    """By file of the user's: names of its functions and classes to which something in a library refers.

    Parameters
    ----------
    files
        What the files say.
    modules
        By file, the globals of the user's loaded modules.
    """
    asked = {id(obj): (path, name) for path in modules for name, obj in _candidates(files, path, modules[path])}
    found: dict[str, list[str]] = {}
    for number in _held([modules[path][name] for path, name in asked.values()]):
        path, name = asked[number]
        found.setdefault(path, []).append(name)
    return {path: sorted(names) for path, names in found.items()}


def _held(asked: list[Any]) -> set[int]:
    """The ids of those that a module or class of a library leads to, asked level by level for all at once."""
    frontier = list(asked)
    below = {id(obj): {id(obj)} for obj in asked}
    held: set[int] = set()
    for _ in range(_LEVELS):
        here = {id(obj) for obj in frontier}
        following = []
        for holder in gc.get_referrers(*frontier) if frontier else ():
            if holder is frontier or holder is asked or id(holder) in below or _is_users(holder):
                continue
            reached = {number for inner in gc.get_referents(holder) if id(inner) in here for number in below[id(inner)]}
            if _is_of_library(holder):
                held |= reached
            else:
                below[id(holder)] = reached
                following.append(holder)
        frontier = following[:_MOST_ASKED]
    return held


def _candidates(files: SourceFiles, path: str, module: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Functions and classes that the file shows to a library: in a decorator, a call, a base."""
    own = module.get("__name__")
    shown: set[str] = set()
    for entry in files.parsed(path).top:
        if isinstance(entry, Statement) and any(_is_librarys(module.get(name)) for name in entry.names):
            shown.update(entry.names)
    for name, obj in list(module.items()):
        if type(obj) is types.FunctionType:
            if name in shown and obj.__module__ == own and owns_function(obj):
                yield name, obj
        elif is_kind(obj, type) and obj.__module__ == own and owns_class(obj):
            ancestry = (*obj.__mro__[1:], type(obj))
            if name in shown or any(not owns_class(c) and _may_keep(c.__module__) for c in ancestry):
                yield name, obj


def _may_keep(module: Any) -> bool:
    return top_level(str(module)) not in STANDARD_MODULES | _TESTED_WITH and not is_jpipe_module(str(module))


def _is_librarys(root: Any) -> bool:
    """Whether a decorator, or the module or object that it is found in, is a library's."""
    if is_kind(root, types.ModuleType):
        return _may_keep(root.__name__) and not owns_module(root)
    try:
        module = getattr(root, "__module__", None) or type(root).__module__
    except Exception:  # an object of the user's, which may raise whatever it is asked
        module = type(root).__module__
    found = sys.modules.get(str(module))
    return (
        root is not None and module is not None and _may_keep(module) and found is not None and not owns_module(found)
    )


def _is_of_library(holder: Any) -> bool:
    """Whether it is a module, the namespace of one, or a class, of an installed package."""
    if is_kind(holder, types.ModuleType):
        return not owns_module(holder) and _may_keep(holder.__name__)
    if is_kind(holder, type):
        return not owns_class(holder) and _may_keep(holder.__module__)
    module = sys.modules.get(holder["__name__"]) if _is_namespace(holder) else None
    return module is not None and not owns_module(module) and _may_keep(module.__name__)


def _is_users(holder: Any) -> bool:
    """Whether it is a part of the object, of the user's own code, where it is seen by value, or of this search."""
    if is_kind(holder, (types.FrameType, types.CellType, types.GetSetDescriptorType, types.MemberDescriptorType)):
        return True
    if type(holder) is tuple and holder and is_kind(holder[0], type):
        return any(holder is part for part in (holder[0].__mro__, holder[0].__bases__))
    if is_kind(holder, types.FunctionType):
        return owns_function(holder)
    if is_kind(holder, type):
        return owns_class(holder)
    if type(holder) is dict:
        module = sys.modules.get(str(holder.get("__name__" if "__spec__" in holder else "__module__", "")))
        return module is not None and owns_module(module)
    return owns_class(type(holder))


def _is_namespace(holder: Any) -> bool:
    return type(holder) is dict and "__spec__" in holder and type(holder.get("__name__")) is str
