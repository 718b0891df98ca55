"""Files that one step of a run writes and another reads: what must pass as a result to be in order."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from jpipe.decide.call_state import CallState
from jpipe.files import Read

__all__ = ["FileTraffic", "HiddenInput"]


class HiddenInput(NamedTuple):
    """A file that was handed on by its name alone.

    Parameters
    ----------
    path
        The file.
    writer, reader
        The steps.
    """

    path: str
    writer: str
    reader: str

    @property
    def message(self) -> str:
        """What happened, and what to do."""
        return (
            f"{self.reader}() reads {self.path}, which {self.writer}() writes in this run, without taking its result:"
            f" which of them is first is left to chance\n"
            f"hint: pass what {self.writer}() returns to {self.reader}(), the path for instance, or jpipe.File(path)"
        )


def _top(path: str) -> str:
    """The folder of the project that a file is below, if any: that of a cache."""
    return path.partition("/")[0] if "/" in path and not os.path.isabs(path) else ""


class FileTraffic:
    """Who wrote and who read which file.

    Parameters
    ----------
    states
        The calls of the run by number.
    """

    def __init__(self, states: Mapping[int, CallState]) -> None:
        self._states = states
        self._writers: dict[str, dict[tuple[int, int], None]] = defaultdict(dict)
        self._readers: dict[str, dict[int, None]] = defaultdict(dict)
        self._upstream: dict[int, frozenset[int]] = {}
        self.shared: dict[str, None] = {}
        """Files that several items wrote: none of them can count on what the others left."""

    def saw(self, state: CallState, index: int, reads: Sequence[Read]) -> HiddenInput | None:
        """Note what an item wrote and read; the first file that it should not have read, or that none may have."""
        if not reads:
            return None
        own, found = state.call.number, None
        # Who looks first whether a file is there can do without it: so do caches within steps.
        tried = {read.path for read in reads if read.kind == "status"}
        tried |= {top for path in tried if (top := _top(path))}
        for read in reads:
            if read.written:
                writers = self._writers[read.path]
                writers[own, index] = None
                if len(writers) > 1:
                    self.shared[read.path] = None
                for reader in self._readers.get(read.path, ()):
                    if reader != own and own not in self._all_needs(reader):
                        found = found or self._hidden(read.path, own, reader)
            elif read.kind in ("file", "missing") and tried.isdisjoint((read.path, _top(read.path))):
                self._readers[read.path][own] = None
                for writer, _ in self._writers.get(read.path, ()):
                    if writer != own and writer not in self._all_needs(own):
                        found = found or self._hidden(read.path, writer, own)
        return found

    def _hidden(self, path: str, writer: int, reader: int) -> HiddenInput:
        return HiddenInput(path, *(self._states[number].call.step.name for number in (writer, reader)))

    def _all_needs(self, number: int) -> frozenset[int]:
        known = self._upstream.get(number)
        if known is None:
            found: set[int] = set()
            pending = [number]
            while pending:
                state = self._states.get(pending.pop())
                new = set(state.call.needs) - found if state is not None else set()
                found |= new
                pending += new
            known = self._upstream[number] = frozenset(found)
        return known
