"""Whether a file is part of a package: then it is imported as such, so that its relative imports mean something."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import NamedTuple

from jpipe.system.ownership import STANDARD_MODULES
from jpipe.system.project import SOURCE_FOLDER, find_root

__all__ = ["PackagePlace", "package_place"]

_RELATIVE = re.compile(rb"^[ \t]*from[ \t]+(\.+)", re.MULTILINE)


class PackagePlace(NamedTuple):
    """A file as part of a package.

    Parameters
    ----------
    name
        Its whole name: ``study.flow``.
    folder
        Where the package is found: what has to be on ``sys.path``.
    """

    name: str
    folder: Path


def package_place(file: Path) -> PackagePlace | None:
    """The place of a file in its package; None for one that stands for itself.

    A folder with an ``__init__.py`` is a package, as everywhere; without one, where the file's relative imports say so.
    """
    names, folder = [file.stem], file.parent
    while (folder / "__init__.py").is_file() and folder.name.isidentifier():
        names.insert(0, folder.name)
        folder = folder.parent
    levels = _levels(file)
    if len(names) <= levels:
        root = find_root(file)
        while len(names) <= levels and folder not in (root, root / SOURCE_FOLDER) and folder.name.isidentifier():
            names.insert(0, folder.name)
            folder = folder.parent
    if len(names) == 1 or not file.stem.isidentifier() or _is_taken(names[0], folder):
        return None
    return PackagePlace(".".join(names), folder)


def _levels(file: Path) -> int:
    """How many folders its relative imports go up, its own counted as one."""
    try:
        return max(map(len, _RELATIVE.findall(file.read_bytes())), default=0)
    except OSError:
        return 0


def _is_taken(name: str, folder: Path) -> bool:
    """Whether the name of a package means something else already."""
    if name in STANDARD_MODULES:
        return True
    loaded = sys.modules.get(name)
    return loaded is not None and str(folder / name) not in map(str, getattr(loaded, "__path__", ()))
