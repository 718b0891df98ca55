"""What a script defines, under one name everywhere: in the script itself, in its workers, and where it is imported.

Python calls the file that it was started with ``__main__``; whoever imports the same file calls it by its own name.
Values that hold classes or functions of the script are to be the same either way.
"""

from __future__ import annotations

import functools
import importlib
import io
import pickle
import sys
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import FunctionType
from typing import Any

from jpipe.system import by_value
from jpipe.system.package_place import package_place

__all__ = [
    "adopt",
    "classes",
    "dump",
    "dumps",
    "find",
    "known_as",
    "loads",
    "module_name",
    "names_of",
    "reduced",
    "script_name",
]

MAIN = "__main__"
_LARGE = 1024**2
"""A class that takes more bytes, with what its methods use, is not sent along with every step."""
_PROTOCOL, _LOOKS_UP = pickle.PROTO + b"\x05", pickle.STACK_GLOBAL
"""How all pickles of jpipe's begin, and what stands in one that names a class or function."""
_OTHERS = {"jpipe", "joblib"}
"""Packages that are run with ``python -m`` without being the user's script."""


class _Adopted(threading.local):
    """What a worker was given of the script of its main process."""

    name: str | None = None
    names: Mapping[str, Any] = {}


_adopted = _Adopted()


def adopt(name: str | None, names: Mapping[str, Any]) -> None:
    """Take `names` for what the script `name` defines, in this thread of a worker.

    Parameters
    ----------
    name
        What `script_name` says in the main process; None to take nothing for it.
    names
        Classes and functions of the script, sent by value.
    """
    _adopted.name, _adopted.names = name, names


def script_name() -> str:
    """The name under which others import what is ``__main__`` here; ``"__main__"`` where it has no file."""
    if _adopted.name is not None:
        return _adopted.name
    main = sys.modules.get(MAIN)
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        return MAIN if spec.name.partition(".")[0] in _OTHERS else str(spec.name)
    file = getattr(main, "__file__", None)
    return _name_of(file) if isinstance(file, str) and file.endswith(".py") else MAIN


@functools.cache
def _name_of(file: str) -> str:
    return module_name(Path(file).resolve())


def module_name(file: Path) -> str:
    """The name under which a pipeline file is imported.

    It has that of its package, where it is in one; else its stem, unless a module of that name is loaded already.
    """
    place = package_place(file)
    if place is not None:
        return place.name
    stem = file.stem if file.stem.isidentifier() else "".join(c if c.isalnum() else "_" for c in file.stem)
    taken = sys.modules.get(stem)
    if taken is not None and getattr(taken, "__file__", None) != str(file):
        return f"{stem}_pipeline_file"
    return stem


def known_as(module: str) -> str:
    """The name of a module for everyone: `script_name` for ``__main__``."""
    return script_name() if module == MAIN else module


def names_of(module: str) -> Mapping[str, Any]:
    """What a loaded module defines; ``__main__`` and its other name are one."""
    if module in (MAIN, script_name()):
        if _adopted.name is not None:
            return _adopted.names
        module = MAIN
    loaded = sys.modules.get(module)
    return {} if loaded is None else vars(loaded)


def find(module: str, qualname: str) -> Any:
    """What a loaded module has under a qualified name, else None."""
    first, *rest = qualname.split(".")
    found = names_of(module).get(first)
    for name in rest:
        found = getattr(found, name, None)
    return found


def classes() -> dict[str, type]:
    """The classes that the script defines, as far as they can be sent by value."""
    return {
        name: value
        for name, value in list(names_of(MAIN).items())
        if isinstance(value, type) and value.__module__ == MAIN and 0 < len(_whole(value) or b"") <= _LARGE
    }


def reduced(thing: Any) -> tuple[Any, ...] | None:
    """How to pickle a class or function that the script defines at its top; None for all others.

    It is sent by name. Where a name may mean nothing to those who read it, what it stands for goes along.
    """
    if getattr(thing, "__module__", None) != MAIN or not isinstance(thing, (type, FunctionType)):
        return None
    if find(MAIN, thing.__qualname__) is not thing:
        return None
    name = script_name()
    whole = _whole(thing)
    if isinstance(thing, type) and name != MAIN and len(whole or b"") <= _LARGE:
        whole = None
    return _rebuilt, (name, thing.__qualname__, whole)


def _rebuilt(module: str, qualname: str, whole: bytes | None) -> Any:
    found = find(module, qualname)
    if found is None and whole is not None:
        return _made(whole)
    if found is None and module != MAIN:
        importlib.import_module(module)
        found = find(module, qualname)
    if found is None:
        raise AttributeError(f"{module} defines no {qualname}, which a result is made of")
    return found


@functools.lru_cache(maxsize=256)
def _made(whole: bytes) -> Any:
    return pickle.loads(whole)


_wholes: dict[int, tuple[Any, bytes | None]] = {}


def _whole(thing: Any) -> bytes | None:
    """A class or function by value, as it was when it was first asked for; None where that cannot be had."""
    known = _wholes.get(id(thing))
    if known is None:
        known = _wholes[id(thing)] = thing, _by_value(thing)
    return known[1]


def _by_value(thing: Any) -> bytes | None:
    try:
        return by_value.dumps(thing)
    except Exception:
        return None


def dumps(value: Any) -> bytes:
    """Pickle `value` for another process of this session, what the script defines included.

    Raises
    ------
    Exception
        Whatever pickling raises for a value that cannot be pickled.
    """
    return by_value.dumps(value, _pickler())


def dump(value: Any, file: Any) -> None:
    """`dumps` into a file."""
    _pickler()(file, 5).dump(value)


@functools.cache
def _pickler() -> Any:
    class ScriptPickler(by_value.pickler()):  # type: ignore[misc]
        def reducer_override(self, obj: Any) -> Any:
            return reduced(obj) or super().reducer_override(obj)

    return ScriptPickler


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        found = find(module, name) if module in (MAIN, script_name()) else None
        return super().find_class(module, name) if found is None else found


def loads(data: bytes | memoryview, buffers: Iterable[Any] = ()) -> Any:
    """The value that was pickled, with what the script defines as it is here."""
    if type(data) is bytes and data.startswith(_PROTOCOL) and _LOOKS_UP not in data:
        return pickle.loads(data, buffers=buffers)
    name = script_name()
    is_alone = name == MAIN and _adopted.name is None
    if is_alone or (type(data) is bytes and b"__main__" not in data and name.encode() not in data):
        return pickle.loads(data, buffers=buffers)
    return _Unpickler(io.BytesIO(data), buffers=buffers).load()
