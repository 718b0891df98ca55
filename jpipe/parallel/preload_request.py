"""What workers are to have imported before they are forked."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Preload"]


class Preload(NamedTuple):
    """What workers are to begin with.

    Parameters
    ----------
    files
        The user's files whose imports they have.
    modules
        More modules.
    without
        The modules to begin with where the imports make forks unsafe: each worker then imports for itself what it
        needs. None for workers that are started anew instead, each a new Python, as loky's.
    """

    files: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    without: tuple[str, ...] | None = None
