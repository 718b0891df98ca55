"""Which of the user's code a chunk ran, so that edits of what it did not run need not make it run again.

A set that is too large is safe: then more edits count. So a chunk is given everything that may have mattered to it, and
nothing is said of one where that cannot be known.
"""

from __future__ import annotations

import sys

from jpipe.system.code_tracer import Code, tracer
from jpipe.worker.left_state import ModuleState, state_of_modules

__all__ = ["ChunkTrace"]

_ELSEWHERE = ("numba", "jax", "tensorflow", "torch._dynamo", "pytensor", "taichi", "ray", "pyspark", "distributed")
"""Packages that compile functions of the user's, or run them in other processes, where nothing is told of it."""


class _Process:
    """What this process did before.

    Attributes
    ----------
    first
        What the modules held before the first item ran here.
    family
        The fingerprint of the step of the last chunk.
    is_changed
        Whether steps have left something behind in the modules.
    has_children
        Whether steps have started processes that they may give work to.
    running
        How many chunks run now, in threads.
    """

    def __init__(self) -> None:
        self.first: ModuleState | None = None
        self.family: bytes | None = None
        self.is_changed = False
        self.has_children = False
        self.running = 0


_process = _Process()


class ChunkTrace:
    """Follows one chunk; made before its function is looked for, because that imports the user's modules.

    Parameters
    ----------
    family
        The fingerprint of its step.
    wanted
        Whether it is to be followed at all.
    """

    def __init__(self, family: bytes, wanted: bool) -> None:
        self._family = family
        self._is_followed = wanted and tracer.start()
        self._children: set[int] = set()

    def begin(self) -> None:
        """The items begin now."""
        if not self._is_followed:
            return
        _process.running += 1
        if _process.family is None:
            _process.first = state_of_modules()
        elif _process.family != self._family or _process.running > 1:
            _process.is_changed = _process.is_changed or _process.first is None or _is_changed(_process.first)
        _process.family = self._family
        self._children = _children()
        tracer.restart()

    def end(self, is_elsewhere: bool) -> frozenset[Code] | None:
        """What may have mattered to the items; None where that is unknown.

        Parameters
        ----------
        is_elsewhere
            Whether the items started processes or made connections.
        """
        if not self._is_followed:
            return None
        _process.running -= 1
        found = tracer.take()
        _process.has_children = _process.has_children or is_elsewhere or not _children() <= self._children
        if _process.has_children or any(name in sys.modules for name in _ELSEWHERE):
            return None
        # What an earlier step left behind, this one may have found, in place of running what made it.
        return frozenset(tracer.everything if _process.is_changed or _process.running else found)


def _is_changed(first: ModuleState) -> bool:
    now = state_of_modules()
    return now is None or now != first


def _children() -> set[int]:
    """The processes that `multiprocessing` has started, by the ids of their objects."""
    module = sys.modules.get("multiprocessing.process")
    return set(map(id, list(getattr(module, "_children", ()))))
