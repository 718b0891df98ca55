"""Which of the user's code a chunk ran, so that edits of what it did not run need not make it run again.

A set that is too large is safe: then more edits count. So a chunk is given everything that may have mattered to it, and
nothing is said of one where that cannot be known.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

from jpipe.system.code_tracer import Code, tracer
from jpipe.system.ownership import is_users
from jpipe.worker.left_behind import LeftBehind, Trail

__all__ = ["ChunkTrace", "Ran", "reads_sources"]

Ran = tuple[frozenset[Code], frozenset[Code], frozenset[Code]]
"""What ran in items, and what ran before or beside them that may have mattered: anyway, and to what libraries hold."""

_ELSEWHERE = ("numba", "jax", "tensorflow", "torch._dynamo", "pytensor", "taichi", "ray", "pyspark", "distributed")
"""Packages that compile functions of the user's, or run them in other processes, where nothing is told of it."""


class _Process:
    """What this process did before.

    Attributes
    ----------
    left
        What steps have left behind in the modules.
    family
        The fingerprint of the step of the last chunk.
    step
        What ran in chunks of that step, one after the other, and what of earlier steps they may have found.
    ran
        What ran since the first item began.
    overlaps
        How often a chunk began while another was running.
    lost
        Why what runs is not told any more: what a step has done.
    has_read
        Whether steps have read source text of the user's.
    running
        How many chunks run now, in threads.
    """

    def __init__(self) -> None:
        self.left = LeftBehind()
        self.family: bytes | None = None
        self.step: set[Code] = set()
        self.lost: str | None = None
        self.has_read = False
        self.running = 0
        self.ran: set[Code] = set()
        self.overlaps = 0


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
        self._is_wanted = wanted
        self._is_followed = wanted and tracer.start()
        self._children: set[int] = set()
        self._overlaps = 0

    def begin(self) -> None:
        """The items begin now."""
        if not self._is_followed:
            return
        _process.running += 1
        before = tracer.take()
        if _process.family is None:
            _process.left.begin()
        else:
            _process.ran |= before
            _process.step |= before
            if _process.family != self._family and not _process.overlaps:
                _process.left.close(frozenset(_process.step), _process.has_read)
                _process.step = set()
        _process.family = self._family
        _process.overlaps += _process.running > 1
        self._overlaps = _process.overlaps if _process.running == 1 else -1
        self._children = _children()
        tracer.take_lines()
        tracer.restart()

    def end(self, is_elsewhere: bool, reads_sources: bool) -> Ran | str | None:
        """What ran, or why that is not known; None where nobody wanted to know.

        Parameters
        ----------
        is_elsewhere
            Whether the items started processes or made connections.
        reads_sources
            Whether they read source text of the user's.
        """
        if not self._is_followed:
            return tracer.obstacle if self._is_wanted else None
        _process.running -= 1
        found = tracer.take()
        reads_sources = tracer.take_lines() or reads_sources
        _process.ran |= found
        if is_elsewhere or not _children() <= self._children:
            _process.lost = _process.lost or "a step started processes or made connections"
        is_alone = _process.overlaps == self._overlaps
        _process.has_read = _process.has_read or reads_sources
        # What an earlier step left behind, this one may have found, in place of running what made it; where chunks have
        # run at once it is not known which of them left what.
        sure, perhaps = ([], []) if _process.overlaps else _process.left.found_by(tracer.taken)
        left = frozenset(_process.ran) if _process.overlaps else _ran_in(sure)
        held = _ran_in(perhaps) - left
        _process.step |= found | left | held
        has_read = any(trail.has_read for trail in [*sure, *perhaps])
        is_by_text = reads_sources or has_read or (_process.has_read and _process.overlaps > 0)
        if (why := self._obstacle(is_by_text)) is not None:
            return why
        return frozenset(found if is_alone else _process.ran), left, held

    def _obstacle(self, is_by_text: bool) -> str | None:
        """Why it is not known what mattered."""
        if _process.lost or is_by_text:
            return _process.lost or "source text of yours was read while it ran"
        package = next((name for name in _ELSEWHERE if name in sys.modules), None)
        return None if package is None else f"{package} is loaded, which compiles functions or runs them elsewhere"


def reads_sources(texts: Iterable[str]) -> bool:
    """Whether some of the Python files that were opened for their text are the user's: what it decides did not run."""
    return any(map(is_users, texts))


def _ran_in(trails: Iterable[Trail]) -> frozenset[Code]:
    return frozenset[Code]().union(*(trail.ran for trail in trails))


def _children() -> set[int]:
    """The processes that `multiprocessing` has started, by the ids of their objects."""
    module = sys.modules.get("multiprocessing.process")
    return set(map(id, list(getattr(module, "_children", ()))))
