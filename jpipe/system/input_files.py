"""Which files can be inputs of a step: not those of Python, of installed packages, of the system or of the cache."""

from __future__ import annotations

import os
import site
import sys
import sysconfig
import tempfile
from collections.abc import Iterable
from pathlib import Path

from jpipe.files import RUN_FOLDER
from jpipe.system.ownership import OWN_FOLDER

__all__ = ["Boundary"]


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
        self._temporary = tuple(_folders([tempfile.gettempdir()]))
        outside = [
            sys.prefix,
            sys.base_prefix,
            sys.exec_prefix,
            *sysconfig.get_paths().values(),
            OWN_FOLDER,
        ]
        outside += [*site.getsitepackages(), site.getusersitepackages(), os.fspath(cache)]
        outside += [
            os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"),
            os.path.expanduser("~/Library/Caches"),
        ]
        outside += [] if os.name == "nt" else ["/dev", "/proc", "/sys", "/etc/localtime", "/usr/share/zoneinfo"]
        # A project may lie inside such a folder (a checkout below ~/.cache) or be one (an environment made in its own
        # folder): then the folder says nothing about it.
        self._outside = tuple(folder for folder in _folders(outside) if not self._root.startswith(folder))

    def counts(self, path: str, started_ns: int) -> bool:
        """Whether a file that was opened at or after `started_ns` can be an input."""
        if "site-packages" in path or "__pycache__" in path or path.startswith(self._outside):
            return False
        if path.startswith(self._root) or not path.startswith(self._temporary):
            return True
        if f"{os.sep}{RUN_FOLDER}" in path:
            return False
        try:
            return os.stat(path).st_mtime_ns < started_ns
        except OSError:
            return False


def _folders(paths: Iterable[str]) -> set[str]:
    found = set()
    for path in paths:
        for form in (os.path.abspath(path), os.path.realpath(path)):
            if form.rstrip(os.sep):
                found.add(form.rstrip(os.sep) + os.sep)
    return found
