"""A cache that begins with what another holds, which stays as it is."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from jpipe.store.store import Store

__all__ = ["copy_cache"]

_COPIED = ("families", "blobs", "notes", "roots")
_OF_THE_FILE = ".seal"
"""What vouches for a file by its inode says nothing of a copy."""


def copy_cache(source: Path, target: Path) -> None:
    """Copy the results of a cache, and what runs left there, into a new one. Links are not followed.

    Raises
    ------
    CacheError
        When there is no cache at `source`, or one of them is not safe to use.
    """
    origin = Store.open(source, create=False).disk.folder
    copy = Store.open(target).disk.folder
    for room in _COPIED:
        for folder, _, names in os.walk(origin.path(room)):
            into = copy.path(room, os.path.relpath(folder, origin.path(room)))
            os.makedirs(into, mode=copy.folder_mode, exist_ok=True)
            for name in names:
                file = os.path.join(folder, name)
                if not name.endswith(_OF_THE_FILE) and not os.path.islink(file):
                    with contextlib.suppress(FileNotFoundError):  # removed meanwhile: it would only be computed again
                        shutil.copy2(file, os.path.join(into, name))
