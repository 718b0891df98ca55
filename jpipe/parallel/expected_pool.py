"""Whether a run of a pipeline file is likely to need worker processes, told before the file is imported.

The last run in which something ran leaves a word in the cache. Without one, a file that says ``for`` or ``map`` is
taken for one that has several items.

Until a step was timed, its items do not begin in the main process while the workers start, although that would save a
short first run most of its time (four items that take no time: 0.2 s of processor time at one job, 0.6 s at two, of
which 0.25 s are the imports of the process that workers are forked from and 0.2 s joblib in the main process). How long
such an item takes is not known before it has ended, and until then nobody would give the workers more to do; and where
it ends its process, the run would end with it instead of one item.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from pathlib import Path

from jpipe.system import safe_paths

__all__ = ["is_pool_expected", "note_pool"]

_REPEATS = re.compile(rb"\b(for|map)\b")


def is_pool_expected(cache: Path, file: Path) -> bool:
    """Whether to make workers ready for a run of this file."""
    with contextlib.suppress(OSError):
        return safe_paths.read(_note(cache, file)) == b"1"
    try:
        return _REPEATS.search(file.read_bytes()) is not None
    except OSError:
        return False


def note_pool(cache: Path, file: Path, used: bool) -> None:
    """Leave a word for the next run."""
    note, text = _note(cache, file), b"1" if used else b"0"
    with contextlib.suppress(OSError):
        if safe_paths.read(note) == text:
            return
    with contextlib.suppress(OSError):
        with contextlib.suppress(FileExistsError):
            safe_paths.mkdir(os.path.dirname(note), 0o700)
        safe_paths.put(note, text)


def _note(cache: Path, file: Path) -> str:
    name = hashlib.sha256(os.path.abspath(file).encode(errors="surrogateescape")).hexdigest()[:32]
    return safe_paths.inside(cache, "v1", "notes", "pools", name)
