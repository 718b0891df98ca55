"""What a process has read once and remembers: an input of every later item that reaches the code which remembers it.

Whether a read is remembered is told from the frames that made it: a module that is imported, a function behind a cache,
one that changes globals, a container of them or an attribute, a package's object that outlives the item. Taking too
much for remembered costs runs; nothing that is read anew by each item looks like this.
"""

from __future__ import annotations

import dis
import functools
import inspect
import os
import sys
import types
import weakref
import zlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any, NamedTuple

from jpipe.system.ownership import Owner, owner_of

__all__ = ["Remembered", "mark_of", "marks_of", "remember", "remembered"]

_CHANGING = {"append", "add", "update", "setdefault", "extend", "insert", "appendleft", "setattr", "globals", "vars"}
_MAKERS = ("__init__", "__new__", "__post_init__", "__enter__", "__setstate__")
_CONTAINERS = (dict, list, set)


class Remembered(NamedTuple):
    """A file that was read once.

    Parameters
    ----------
    path, seen
        The file, and its stamp when it was read.
    relative
        Whether it was named by a relative path.
    marks
        The code that may remember it.
    holder
        The object that does, where it may be gone by now.
    grown
        Containers that may do, with their lengths then: one that is as long afterwards does not.
    is_code
        Whether it is a module that was imported under a computed name.
    """

    path: str
    seen: tuple[int, int] | None
    relative: bool
    marks: frozenset[int]
    holder: weakref.ref[Any] | None
    grown: tuple[tuple[Any, int], ...] = ()
    is_code: bool = False


_known: dict[tuple[str, frozenset[int]], Remembered] = {}


def remembered(reached: frozenset[int]) -> Iterator[Remembered]:
    """What code that an item reaches may remember."""
    for key, one in list(_known.items()):
        is_gone = one.holder is not None and one.holder() is None
        if is_gone or (one.grown and all(len(container) == length for container, length in one.grown)):
            del _known[key]
        elif not reached.isdisjoint(one.marks):
            yield one


def remember(path: str, seen: tuple[int, int] | None, relative: bool, frame: Any, *, is_code: bool = False) -> None:
    """Note a read where the code that made it may remember what it read."""
    marks: dict[int, None] = {}
    holder: Any = None
    grown: list[tuple[Any, int]] = []
    is_certain = keeps_all = False
    kept_by_package: list[tuple[Any, int]] = []
    package: Any = None
    outermost: Any = None
    suspended: list[Any] = []
    while frame is not None:
        code = frame.f_code
        owner = owner_of(code.co_filename)
        if owner is Owner.JPIPE and not code.co_filename.endswith(("audit.py", "watched_os.py")):
            break
        if owner in (Owner.PACKAGE, Owner.PYTHON):
            if owner is Owner.PACKAGE and package is None:
                package = _first_argument(frame)
            keeps_all |= "global" in _changes(code)
            kept_by_package += _global_containers(frame)
            outermost = frame
        elif owner in (Owner.USER, Owner.CELL):
            if package is not None and _outlives(package):
                holder = holder or package
                marks |= dict.fromkeys([_mark_of_code(code), *_marks_of_globals(frame, package)])
            caches = [] if outermost is None else _caches_of(frame, outermost.f_code)
            if keeps_all or kept_by_package or caches:
                is_certain |= keeps_all or bool(caches)
                grown += kept_by_package
                marks |= dict.fromkeys([_mark_of_code(code), *caches])
            package, outermost, keeps_all, kept_by_package = None, None, False, []
            if code.co_flags & inspect.CO_GENERATOR:
                suspended.append(frame)
            held = [name for name in code.co_names if _is_of(frame.f_globals.get(name), suspended)]
            if held:  # it goes on from here in a later item
                is_certain = True
                marks |= dict.fromkeys([_mark_of_code(code), *(_mark(code.co_filename, name) for name in held)])
            is_memory, object_ = _remembers(frame)
            containers = [(one, len(one)) for one in _containers(frame)]
            if is_memory:
                holder = holder or object_
                is_certain |= object_ is None
            grown += containers
            if is_memory or containers:
                marks[_mark_of_code(code)] = None
        frame = frame.f_back
    if marks:
        certain = None if is_certain else _reference(holder)
        known = Remembered(
            path,
            seen,
            relative,
            frozenset(marks),
            certain,
            () if is_certain or certain is not None else tuple(grown),
            is_code,
        )
        _known.setdefault((path, known.marks), known)


def marks_of(file: str, name: str) -> set[int]:
    """What stands for the code of a part of a fingerprint."""
    words = [*name.split("."), "<module>"]
    return {_mark(file, word) for word in words}


def mark_of(file: str, name: str) -> int:
    """What stands for a function or class of a file, by its qualified name."""
    return _mark(file, name.partition(".")[0])


def _mark(file: str, name: str) -> int:
    return zlib.crc32(f"{os.path.basename(file)}:{name}".encode("utf-8", "surrogatepass"))


def _mark_of_code(code: types.CodeType) -> int:
    return _mark(code.co_filename, code.co_qualname.partition(".")[0])


def _marks_of_globals(frame: Any, value: Any) -> list[int]:
    names = [name for name in frame.f_code.co_names if frame.f_globals.get(name) is value]
    return [_mark(frame.f_code.co_filename, name) for name in names]


def _remembers(frame: Any) -> tuple[bool, Any]:
    """Whether the function of a frame may keep what it reads, and the object in which it does."""
    code = frame.f_code
    if code.co_name == "<module>":
        return True, None
    changes = _changes(code)
    if "global" in changes:
        return True, None
    owner = _first_argument(frame)
    if "set" in code.co_names and any(type(frame.f_globals.get(name)) is ContextVar for name in code.co_names):
        return True, None
    if "attribute" in changes and (code.co_name not in _MAKERS or isinstance(owner, type)):
        return True, owner
    found = _found(frame)
    if found is None or type(found) in (types.FunctionType, property) or hasattr(found, "declared"):
        return False, None
    return True, owner if isinstance(found, functools.cached_property) else None


def _containers(frame: Any) -> list[Any]:
    """The containers of globals, closures, defaults and the object of a method in which it may be kept."""
    code = frame.f_code
    if "content" not in _changes(code) and not _CHANGING.intersection(code.co_names):
        return []
    values = [frame.f_globals.get(name) for name in code.co_names]
    values += [frame.f_locals.get(name) for name in code.co_freevars]
    found = _found(frame)
    if type(found) is types.FunctionType:
        values += [*(found.__defaults__ or ()), *(found.__kwdefaults__ or {}).values()]
    owner = _first_argument(frame)
    values.append(owner)
    if "globals" in code.co_names:
        values.append(frame.f_globals)
    for value in tuple(values):
        values += list(getattr(value, "__dict__", {}).values()) if type(value).__module__ != "builtins" else []
    return [value for value in values if isinstance(value, _CONTAINERS)]


def _is_of(value: Any, frames: list[Any]) -> bool:
    """Whether a value is the generator that runs in one of these frames."""
    return type(value) is types.GeneratorType and any(value.gi_frame is frame for frame in frames)


def _global_containers(frame: Any) -> list[tuple[Any, int]]:
    """The containers of globals in which a package's function may keep it, as linecache does, with their lengths."""
    if "content" not in _changes(frame.f_code):
        return []
    values = [frame.f_globals.get(name) for name in frame.f_code.co_names]
    return [(value, len(value)) for value in values if isinstance(value, _CONTAINERS)]


def _caches_of(frame: Any, code: types.CodeType) -> list[int]:
    """Marks of the caches through which a function of the user's may have called a package's: ``cache(loadtxt)``."""
    names = frame.f_code.co_names
    values = [frame.f_globals.get(name) for name in names]
    values += [
        vars(value).get(name) for value in values if isinstance(value, types.ModuleType | type) for name in names
    ]
    caches = [
        value
        for value in values
        if type(value) is functools._lru_cache_wrapper and getattr(inspect.unwrap(value), "__code__", code) is code
    ]
    modules = [module for module in list(sys.modules.values()) if caches and owner_of(_file(module)) is Owner.USER]
    return [
        _mark(_file(module), name)
        for module in modules
        for name, value in list(vars(module).items())
        if any(value is cache for cache in caches)
    ]


def _file(module: Any) -> str:
    return str(getattr(module, "__file__", None) or "")


def _found(frame: Any) -> Any:
    """What stands where the function of a frame was defined: itself, or what a decorator made of it."""
    words = frame.f_code.co_qualname.split(".")
    found = frame.f_globals.get(words[0])
    for word in words[1:]:
        if found is None or word == "<locals>":
            return None
        found = getattr(found, "__dict__", {}).get(word)
    found = getattr(found, "__func__", found)
    return found if type(found) is not types.FunctionType or found.__code__ is frame.f_code else None


@functools.lru_cache(maxsize=4096)
def _changes(code: types.CodeType) -> frozenset[str]:
    found = {"content"} if _CHANGING.intersection(code.co_names) else set()
    before, first = "", code.co_varnames[:1]
    for instruction in dis.get_instructions(code):
        name = instruction.opname
        if (
            name == "STORE_GLOBAL"
            or (name == "STORE_DEREF" and instruction.argval in code.co_freevars)
            or (name == "STORE_ATTR" and before in ("LOAD_GLOBAL", "LOAD_DEREF"))
        ):
            found.add("global")
        elif name == "STORE_ATTR" and before == "first" and first:
            found.add("attribute")
        elif name == "STORE_SUBSCR":
            found.add("content")
        before = "first" if name == "LOAD_FAST" and (instruction.argval,) == first else name
    return frozenset(found)


def _first_argument(frame: Any) -> Any:
    code = frame.f_code
    return frame.f_locals.get(code.co_varnames[0]) if code.co_argcount else None


def _outlives(value: Any) -> bool:
    """Whether an object of a package's can be followed, so that it is known whether it is there after the item."""
    return type(value).__module__ != "builtins" and _reference(value) is not None


def _reference(value: Any) -> weakref.ref[Any] | None:
    try:
        return None if value is None else weakref.ref(value)
    except TypeError:
        return None
