"""The current folder of a process that runs items: one that changes it does not decide where the next one is."""

from __future__ import annotations

import contextlib
import os

from jpipe.system.watched_os import plain_getcwd

__all__ = ["return_to"]


def return_to(folder: str) -> None:
    """Come back to a folder, unless it is current; to "" for one that was gone already, nobody comes back."""
    if folder and _current() != folder:
        with contextlib.suppress(OSError):
            os.chdir(folder)


def _current() -> str | None:
    try:
        return plain_getcwd()
    except OSError:  # it was removed
        return None
