"""Modules that code imports by calling for them, under names that its text need not say."""

from __future__ import annotations

import builtins
import importlib
import importlib.util
import opcode
import os
import sys
import threading
import types
from collections.abc import Callable, Iterator
from typing import Any

from jpipe.system.ownership import (
    STANDARD_MODULES,
    Owner,
    is_jpipe_module,
    owner_of,
    owns_folder,
    owns_module,
    top_level,
)

__all__ = ["Found", "candidates", "file_of", "telling_imports"]

Found = Callable[[str, types.ModuleType | None, Any], None]
"""Called with the whole name of a module, the module or None where there is none, and the frame that asked."""
_BY_STATEMENT = opcode.opmap["IMPORT_NAME"]
_import_module, _import = importlib.import_module, builtins.__import__
_original = types.FunctionType(_import_module.__code__, vars(importlib), "import_module", _import_module.__defaults__)
_OWN = (Owner.USER, Owner.CELL, Owner.PYTHON, Owner.GENERATED)
"""Whose calls count where nothing is known of them; `map` and threads call from the standard library."""
_lock = threading.Lock()
_listeners: dict[int, Found] = {}
"""By thread; a thread that an item started is heard by all."""


class telling_imports:
    """Tell of the imports of this thread, and of threads of unknown origin, under names that are not constants.

    Parameters
    ----------
    everywhere
        Whether the code is known to import so: then it is told of `__import__` too, which slows other imports, and of
        names that stand in the code that calls.
    """

    __slots__ = ("_before", "_everywhere", "_found", "_thread")

    def __init__(self, found: Found, *, everywhere: bool) -> None:
        self._found = found if everywhere else _unless_constant(found)
        self._everywhere = everywhere

    def __enter__(self) -> None:
        self._thread = threading.get_ident()
        with _lock:
            self._before = _listeners.get(self._thread)
            _listeners[self._thread] = self._found
            _begin(self._everywhere)

    def __exit__(self, *error: object) -> None:
        with _lock:
            _listeners.pop(self._thread)
            if self._before is not None:
                _listeners[self._thread] = self._before
            if not _listeners:
                _end()


def _unless_constant(found: Found) -> Found:
    def told(name: str, module: types.ModuleType | None, frame: Any) -> None:
        # What the code names itself is followed in its text.
        if name not in frame.f_code.co_consts and owner_of(frame.f_code.co_filename) in _OWN:
            found(name, module, frame)

    return told


def _begin(everywhere: bool) -> None:
    """Whoever took `import_module` by its name before has the same function, so its code is replaced, not the name."""
    if _import_module.__code__ is not _asks.__code__:
        vars(importlib)["_jpipe_tells"] = _told_import_module
        _import_module.__code__ = _asks.__code__
    if everywhere and builtins.__import__ is _import:
        builtins.__import__ = _told_import


def _end() -> None:
    # The code of `import_module` stays: without listeners it does what it did.
    if builtins.__import__ is _told_import:
        builtins.__import__ = _import


def _asks(name: str, package: str | None = None) -> Any:
    return _jpipe_tells(name, package)  # type: ignore[name-defined]  # noqa: F821 -- a name of importlib's by then


def _told_import_module(name: str, package: str | None) -> Any:
    if not _listeners:
        return _original(name, package)
    frame = sys._getframe(2)
    whole = name
    try:
        whole = importlib.util.resolve_name(name, package)
        module = _original(name, package)
    except ImportError:
        _tell(whole, None, frame)
        raise
    _tell(whole, module, frame)
    return module


def _told_import(
    name: str,
    globals: Any = None,  # noqa: A002 -- the names are those of the builtin
    locals: Any = None,  # noqa: A002
    fromlist: Any = (),
    level: int = 0,
) -> Any:
    frame = sys._getframe(1)
    if frame.f_code.co_code[frame.f_lasti] == _BY_STATEMENT:
        return _import(name, globals, locals, fromlist, level)
    whole = name
    if level:
        whole = importlib.util.resolve_name("." * level + name, (globals or {}).get("__package__") or "")
    try:
        module = _import(name, globals, locals, fromlist, level)
    except ImportError:
        _tell(whole, None, frame)
        raise
    for part in (whole, *(f"{whole}.{inner}" for inner in fromlist or ())):
        if part in sys.modules:
            _tell(part, sys.modules[part], frame)
    return module


def _tell(name: str, module: Any, frame: Any) -> None:
    own = _listeners.get(threading.get_ident())
    for found in [own] if own is not None else list(_listeners.values()):
        found(name, module, frame)


def file_of(module: types.ModuleType) -> str | None:
    """The file that stands for a module of the user's; None for all others."""
    if not owns_module(module):
        return None
    file = getattr(module, "__file__", None)
    folders = list(getattr(module, "__path__", ()))
    return str(file) if file else os.path.join(str(folders[0]), "__init__.py") if folders else None


def candidates(name: str) -> Iterator[str]:
    """Where a module of the user's of that name would be found; nowhere for names of Python's and jpipe's own."""
    if top_level(name) in STANDARD_MODULES or is_jpipe_module(name):
        return
    for folder in dict.fromkeys(os.path.abspath(folder) for folder in sys.path):
        if os.path.isdir(folder) and owns_folder(folder):
            base = os.path.join(folder, *name.split("."))
            yield f"{base}.py"
            yield os.path.join(base, "__init__.py")
