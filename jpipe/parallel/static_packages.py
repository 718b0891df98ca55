"""Which installed packages a user's file imports, found by reading it and the user's modules that it imports.

Nothing of the user's is executed: a module of theirs may write files, read settings or start programs when it is
imported, and must do so where it would in their script.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Iterable, Iterator, Sequence
from importlib.machinery import PathFinder
from typing import NamedTuple

from jpipe.system.ownership import STANDARD_MODULES, Owner, owner_of

__all__ = ["Import", "packages_of"]

_MOST_FILES = 500


class Import(NamedTuple):
    """An import of a module that is not the user's; `names` are what is taken from it, which may be modules too."""

    module: str
    names: tuple[str, ...] = ()


def packages_of(files: Iterable[str], path: Sequence[str]) -> list[Import]:
    """What the files import at their top that is installed, in the order in which it would be imported.

    Parameters
    ----------
    files
        The user's files.
    path
        Where modules are looked for, as ``sys.path``.
    """
    found: dict[Import, None] = {}
    seen: set[str] = set()
    for file in files:
        _read(os.path.abspath(file), path, found, seen)
    return list(found)


def _read(file: str, path: Sequence[str], found: dict[Import, None], seen: set[str]) -> None:
    if file in seen or len(seen) >= _MOST_FILES:
        return
    seen.add(file)
    try:
        with open(file, "rb") as source:
            tree = ast.parse(source.read())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return
    for statement in _imports(tree.body):
        for module, names, folder in _meant(statement, file):
            own = _own_files(module, names, folder, path)
            if own is None:
                found[Import(module, names)] = None
            for other in own or ():
                _read(other, path, found, seen)


def _imports(body: Iterable[ast.stmt]) -> Iterator[ast.Import | ast.ImportFrom]:
    """The imports that run when the module does."""
    for statement in body:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            yield statement
        elif isinstance(statement, ast.If) and not _is_for_others(statement.test):
            yield from _imports([*statement.body, *statement.orelse])
        elif isinstance(statement, ast.Try):
            yield from _imports([*statement.body, *statement.orelse, *statement.finalbody])
        elif isinstance(statement, ast.With):
            yield from _imports(statement.body)


def _is_for_others(test: ast.expr) -> bool:
    """Whether a condition is for type checkers, or for the file as a script."""
    names = {node.id for node in ast.walk(test) if isinstance(node, ast.Name)}
    attributes = {node.attr for node in ast.walk(test) if isinstance(node, ast.Attribute)}
    return not {"TYPE_CHECKING", "__name__"}.isdisjoint(names | attributes)


def _meant(statement: ast.Import | ast.ImportFrom, file: str) -> Iterator[tuple[str, tuple[str, ...], str | None]]:
    """Module, names taken from it, and the folder that it is relative to."""
    if isinstance(statement, ast.Import):
        for alias in statement.names:
            yield alias.name, (), None
        return
    folder = None
    if statement.level:
        folder = os.path.dirname(file)
        for _ in range(statement.level - 1):
            folder = os.path.dirname(folder)
    yield statement.module or "", tuple(alias.name for alias in statement.names), folder


def _own_files(module: str, names: tuple[str, ...], folder: str | None, path: Sequence[str]) -> list[str] | None:
    """The user's files that such an import executes; None where the module is not theirs."""
    parts = module.split(".") if module else []
    if folder is None:
        if parts[0] in STANDARD_MODULES:
            return None
        spec = PathFinder.find_spec(parts[0], list(path))
        if spec is None:
            return []
        folders = list(spec.submodule_search_locations or ())
        if not any(place and owner_of(os.path.join(place, "x.py")) is Owner.USER for place in [spec.origin, *folders]):
            return None
        if spec.submodule_search_locations is None:
            return [str(spec.origin)]
        folder = folders[0] if folders else ""
        parts = parts[1:]
    files = [os.path.join(folder, "__init__.py")]
    for part in parts:
        folder = os.path.join(folder, part)
        files += [folder + ".py", os.path.join(folder, "__init__.py")]
    files += [os.path.join(folder, name + ".py") for name in names]
    files += [os.path.join(folder, name, "__init__.py") for name in names]
    return [file for file in files if os.path.isfile(file)]
