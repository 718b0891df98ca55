"""Whose file is it: the user's, a notebook cell's, made by a program, jpipe's, an installed package's, or Python's."""

from __future__ import annotations

import enum
import linecache
import os
import re
import site
import sys
import types
from collections.abc import Iterable
from typing import NamedTuple

STANDARD_MODULES = frozenset(sys.stdlib_module_names) | {"__future__"}
OWN_FOLDER = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
"""Where jpipe's own files are: the one place that knows."""
PACKAGE_NAME = __name__.split(".")[0]
SOURCES = (".py", ".pyw")
"""How the names of files with source text end."""
_TYPED_IN = ("<ipython-input", "<python-input", "<stdin", "<doctest", "<cell")
"""Source that a person typed; other names in brackets stand for code that a program made."""
_INSTALL_FOLDERS = ("site-packages", "dist-packages")
_ABOVE_INSTALL_FOLDER = re.compile(r"lib(32|64)?|(python|pypy)[\d.]*t?", re.IGNORECASE)
"""The folder that holds such a folder, in any environment and on any system."""


class Owner(enum.Enum):
    """Whose a file is."""

    USER = "user"
    CELL = "cell"
    GENERATED = "generated"
    JPIPE = "jpipe"
    PACKAGE = "package"
    PYTHON = "python"


class Installation(NamedTuple):
    """Where an interpreter keeps what is not the user's; folders with a separator at their ends.

    Parameters
    ----------
    standard
        Folders of the standard library.
    packages
        Folders that packages are installed in.
    jpipe
        jpipe's own folder.
    """

    standard: tuple[str, ...]
    packages: tuple[str, ...]
    jpipe: tuple[str, ...]


def this_installation() -> Installation:
    """The running interpreter's; `sysconfig` would say the same and takes longer to import than all of this."""
    prefixes = list(dict.fromkeys((sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix)))
    packages = [*site.getsitepackages(prefixes), site.getusersitepackages(), *sys.path]
    return Installation(
        tuple(folder_forms([os.path.dirname(os.__file__)])),
        # On Windows the whole prefix is among them, and on the path is much else.
        tuple(folder_forms(path for path in packages if os.path.basename(path) in _INSTALL_FOLDERS)),
        tuple(folder_forms([OWN_FOLDER])),
    )


def folder_forms(paths: Iterable[str]) -> list[str]:
    """Folders as written and as links lead, each with a separator at its end; not the file system's root."""
    found = [form.rstrip(os.sep) for path in paths for form in (os.path.abspath(path), os.path.realpath(path))]
    return list(dict.fromkeys(folder + os.sep for folder in found if folder))


_installation: Installation | None = None
_known: dict[str, Owner] = {}


def owner_of(path: str) -> Owner:
    """Whose a file of code or data is, told from its path.

    Parameters
    ----------
    path
        Where it is, or the name in brackets that stands for its file.
    """
    found = _known.get(path)
    if found is None:
        global _installation
        _installation = _installation or this_installation()
        found = _known[path] = decide_owner(path, _installation)
    return found


def decide_owner(path: str, installation: Installation) -> Owner:
    """As `owner_of`, for a given installation."""
    if path.startswith("<"):
        if path.startswith("<frozen"):
            return Owner.PYTHON
        return Owner.CELL if path.startswith(_TYPED_IN) else Owner.GENERATED
    compared = os.path.normcase(path)
    if compared.startswith(_compared(installation.jpipe)):
        return Owner.JPIPE
    install_folder = _install_folder(path, installation)
    if install_folder is not None:
        return Owner.USER if _is_linked_elsewhere(path, install_folder, installation) else Owner.PACKAGE
    if compared.startswith(_compared(installation.standard)):
        return Owner.PYTHON
    return Owner.CELL if _is_of_kernel(path) else Owner.USER


def _compared(folders: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(map(os.path.normcase, folders))


def _install_folder(path: str, installation: Installation) -> str | None:
    """The folder of installed packages that a file is below, with a separator at its end.

    Environments other than the running one have such folders too; a folder that is only called alike has not.
    """
    for folder in installation.packages:
        if os.path.normcase(path).startswith(os.path.normcase(folder)):
            return path[: len(folder)]
    parts = path.replace("\\", "/").split("/")
    for at in range(len(parts) - 2, 0, -1):
        if parts[at] in _INSTALL_FOLDERS and _ABOVE_INSTALL_FOLDER.fullmatch(parts[at - 1]):
            return path[: len("/".join(parts[: at + 1])) + 1]
    return None


def _is_linked_elsewhere(path: str, install_folder: str, installation: Installation) -> bool:
    """Whether the package is a link to a folder of the user's, one way to install a project that is worked on."""
    package = os.path.join(install_folder, package_in(path, install_folder))
    if not (os.path.islink(package) and os.path.isdir(package)):
        return False
    target = os.path.realpath(package)
    return _install_folder(os.path.join(target, "_.py"), installation) is None


def package_in(path: str, install_folder: str) -> str:
    """The first name below a folder."""
    return path[len(install_folder) :].replace("\\", "/").partition("/")[0]


def owner_name(path: str) -> str:
    """What people call the owner of a library's file: the package, jpipe or Python; else the file."""
    owner = owner_of(path)
    if owner is Owner.PACKAGE and _installation is not None:
        return package_in(path, _install_folder(path, _installation) or "").removesuffix(".py")
    if owner is Owner.PYTHON:
        return "Python"
    return PACKAGE_NAME if owner is Owner.JPIPE else os.path.basename(path).removesuffix(".py")


def is_users(path: str) -> bool:
    """Whether a file is the user's, a notebook cell included."""
    return owner_of(path) in (Owner.USER, Owner.CELL)


def is_jpipe_file(path: str) -> bool:
    """Whether a file is one of jpipe's own."""
    return owner_of(path) is Owner.JPIPE


def top_level(name: str | None) -> str:
    """`a` of the module name `a.b.c`."""
    return (name or "builtins").partition(".")[0]


def is_jpipe_module(name: str | None) -> bool:
    """True for modules of jpipe itself, which never count."""
    return top_level(name) == PACKAGE_NAME


def is_kind(obj: object, kinds: type | tuple[type, ...]) -> bool:
    """`isinstance` by the real type alone: proxies lie about their class, and asking may run code of the user's."""
    return issubclass(type(obj), kinds)


def owns_file(path: str | None) -> bool:
    """True for Python source of the user's own whose text can be had; notebook cells count too."""
    if not path or not is_users(path):
        return False
    return bool(linecache.getlines(path)) if path.startswith("<") else path.endswith(SOURCES)


def owns_module(module: types.ModuleType) -> bool:
    """True for a module of the user's own, namespace packages included."""
    file = module_file(module)
    if file:
        return owns_file(file)
    folders = list(vars(module).get("__path__") or ())
    return bool(folders) and owns_folder(str(folders[0]))


def owns_folder(folder: str) -> bool:
    """True when a Python file in that folder would be the user's own."""
    return owns_file(os.path.join(folder, "_.py"))


def owns_class(cls: type) -> bool:
    """True for a class defined in a module of the user's own, or at a prompt."""
    name: object = cls.__module__  # a class may have put anything there
    module = sys.modules.get(name) if isinstance(name, str) else None
    if module is None:
        return False
    if module is types and vars(types).get(cls.__name__) is not cls:
        return True  # made at run time; Python files such classes under `types`
    file = module_file(module)
    return owns_file(file) if file else name == "__main__"


def owns_function(function: types.FunctionType) -> bool:
    """True for a function whose source is the user's own."""
    return owns_file(function.__code__.co_filename)


def owns(obj: object) -> bool:
    """True for a function, class, module or instance made of the user's own code; a step is the function it marks."""
    while is_step(obj):
        obj = obj.function  # type: ignore[attr-defined]
    if is_kind(obj, types.MethodType):
        obj = obj.__func__  # type: ignore[attr-defined]
    if is_kind(obj, types.FunctionType):
        return owns_function(obj)  # type: ignore[arg-type]
    if is_kind(obj, types.ModuleType):
        return owns_module(obj)  # type: ignore[arg-type]
    return owns_class(obj if is_kind(obj, type) else type(obj))  # type: ignore[arg-type]


def is_step(obj: object) -> bool:
    """True for what jpipe's decorators make of a function of the user's: it stands for that function."""
    return is_jpipe_module(type(obj).__module__) and callable(getattr(obj, "function", None))


def module_file(module: types.ModuleType) -> str | None:
    """The file a module was loaded from, without triggering a lazy module."""
    file = vars(module).get("__file__")
    return file if isinstance(file, str) else None


def _is_of_kernel(path: str) -> bool:
    """Whether a kernel made the file for a cell: it gives each a file of its own in the folder for temporary files."""
    return path.rpartition(os.sep)[0].rpartition(os.sep)[2].startswith("ipykernel_")
