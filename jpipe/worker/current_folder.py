"""The current folder of a process that runs items: one that changes it does not decide where the next one is."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

__all__ = ["own_folder"]


@contextlib.contextmanager
def own_folder() -> Iterator[None]:
    """Come back at the end to the folder that is current now."""
    before = _current()
    try:
        yield
    finally:
        if before is not None and _current() != before:
            with contextlib.suppress(OSError):
                os.chdir(before)


def _current() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # it was removed
        return None
