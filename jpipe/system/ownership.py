"""Whose code is it: the border between the user's own files and everything that is installed."""

from __future__ import annotations

import linecache
import os
import sys
import types
from pathlib import Path

STANDARD_LIBRARY = os.path.dirname(os.__file__).replace("\\", "/") + "/"
STANDARD_MODULES = frozenset(sys.stdlib_module_names) | {"__future__"}
OWN_FOLDER = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
"""Where jpipe's own files are: the one place that knows."""
PACKAGE = OWN_FOLDER.replace("\\", "/")
PACKAGE_NAME = __name__.split(".")[0]
_TYPED_IN = ("<ipython-input", "<python-input", "<stdin", "<doctest", "<cell")
"""Source that a person typed; other names in brackets stand for code that a program made."""
_INSTALLED = ("/site-packages/", "/dist-packages/")


def top_level(name: str | None) -> str:
    """`a` of the module name `a.b.c`."""
    return (name or "builtins").partition(".")[0]


def is_jpipe_module(name: str | None) -> bool:
    """True for modules of jpipe itself, which never count."""
    return top_level(name) == PACKAGE_NAME


def is_kind(obj: object, kinds: type | tuple[type, ...]) -> bool:
    """`isinstance` by the real type alone: proxies lie about their class, and asking may run code of the user's."""
    return issubclass(type(obj), kinds)


class Boundary:
    """Tells the user's own files, modules, classes and functions from installed ones."""

    def __init__(self) -> None:
        self._files: dict[str, bool] = {}

    def owns_file(self, path: str | None) -> bool:
        """True for source outside the standard library, site-packages and jpipe; notebook cells count too."""
        if not path:
            return False
        answer = self._files.get(path)
        if answer is None:
            answer = self._files[path] = _owned(path)
        return answer

    def owns_module(self, module: types.ModuleType) -> bool:
        """True for a module of the user's own, namespace packages included."""
        file = module_file(module)
        if file:
            return self.owns_file(file)
        folders = list(vars(module).get("__path__") or ())
        return bool(folders) and self.owns_folder(str(folders[0]))

    def owns_folder(self, folder: str) -> bool:
        """True when a Python file in that folder would be the user's own."""
        return self.owns_file(os.path.join(folder, "_.py"))

    def owns_class(self, cls: type) -> bool:
        """True for a class defined in a module of the user's own, or at a prompt."""
        name: object = cls.__module__  # a class may have put anything there
        module = sys.modules.get(name) if isinstance(name, str) else None
        if module is None:
            return False
        if module is types and vars(types).get(cls.__name__) is not cls:
            return True  # made at run time; Python files such classes under `types`
        file = module_file(module)
        return self.owns_file(file) if file else name == "__main__"

    def owns_function(self, function: types.FunctionType) -> bool:
        """True for a function whose source is the user's own."""
        return self.owns_file(function.__code__.co_filename)


def module_file(module: types.ModuleType) -> str | None:
    """The file a module was loaded from, without triggering a lazy module."""
    file = vars(module).get("__file__")
    return file if isinstance(file, str) else None


def _owned(path: str) -> bool:
    if path.startswith("<"):
        return path.startswith(_TYPED_IN) and bool(linecache.getlines(path))
    slashed = path.replace("\\", "/")
    if any(folder in slashed for folder in _INSTALLED):
        return False
    if slashed.startswith((STANDARD_LIBRARY, PACKAGE)):
        return False
    return Path(path).suffix in (".py", ".pyw")
