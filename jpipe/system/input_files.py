"""Which files can be inputs of a step: not those of Python, of installed packages, of the system or of the cache."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from jpipe.files import RUN_FOLDER
from jpipe.system.ownership import Owner, folder_forms, owner_of

__all__ = ["Boundary"]

_NOT_OF_USER = (Owner.JPIPE, Owner.PACKAGE, Owner.PYTHON)
_OF_PREFIX = ("bin", "lib", "lib64", "libexec", "include", "share", "Scripts", "Lib", "DLLs", "libs", "tcl")


class Boundary:
    """Which files can be inputs.

    Parameters
    ----------
    root
        The project root.
    cache
        The cache folder.
    """

    def __init__(self, root: Path, cache: Path) -> None:
        self._root = os.path.abspath(root) + os.sep
        self._temporary = tuple(folder_forms([tempfile.gettempdir()]))
        outside = [
            *_environment_folders(),
            os.fspath(cache),
            os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"),
            os.path.expanduser("~/Library/Caches"),
        ]
        outside += [] if os.name == "nt" else ["/dev", "/proc", "/sys", "/etc/localtime", "/usr/share/zoneinfo"]
        # A project may lie inside such a folder (a checkout below ~/.cache) or be one (an environment made in its own
        # folder): then the folder says nothing about it.
        self._outside = tuple(folder for folder in folder_forms(outside) if not self._root.startswith(folder))

    def counts(self, path: str, started_ns: int) -> bool:
        """Whether a file that was opened at or after `started_ns` can be an input."""
        if path.startswith(self._outside) or owner_of(path) in _NOT_OF_USER or _is_compiled(path):
            return False
        if path.startswith(self._root) or not path.startswith(self._temporary):
            return True
        if f"{os.sep}{RUN_FOLDER}" in path:
            return False
        try:
            return os.stat(path).st_mtime_ns < started_ns
        except OSError:
            return False


def _environment_folders() -> Iterator[str]:
    """What belongs to the interpreter: of an environment all, of a prefix like /usr what Python puts there."""
    for prefix in dict.fromkeys((sys.prefix, sys.exec_prefix, sys.base_prefix)):
        if any(os.path.exists(os.path.join(prefix, mark)) for mark in ("pyvenv.cfg", "conda-meta")):
            yield prefix
        else:
            yield from (os.path.join(prefix, name) for name in _OF_PREFIX)


def _is_compiled(path: str) -> bool:
    return os.path.basename(os.path.dirname(path)) == "__pycache__"
