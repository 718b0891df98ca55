"""A folder of this worker alone, for what it keeps where it does not see the folders of the run."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import tempfile

__all__ = ["own_folder"]


@functools.cache
def own_folder(name: str) -> str:
    """The folder `name` of this worker, which goes when the worker ends."""
    folder = os.path.join(_home(), name)
    os.mkdir(folder)
    return folder


@functools.cache
def _home() -> str:
    home = tempfile.mkdtemp(prefix="jpipe-worker-")
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    return home
