"""Files that one step of a run writes and another reads: what must pass as a result to be in order."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from jpipe.decide.call_state import CallState
from jpipe.decide.what_items_take import Upstream
from jpipe.files import File, Read

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
            f"hint: pass what {self.writer}() returns to {self.reader}(), the path for instance, or jpipe.File(path),"
            " and let each call write a file of its own"
        )


def _top(path: str) -> str:
    """The folder of the project that a file is below, if any: that of a cache."""
    return path.partition("/")[0] if "/" in path and not os.path.isabs(path) else ""


def _is_plain_text(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return any(map(_is_plain_text, value))
    if isinstance(value, dict):
        return any(map(_is_plain_text, value.values()))
    return isinstance(value, (str, os.PathLike)) and not isinstance(value, File)


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
        self._readers: dict[str, dict[tuple[int, int], None]] = defaultdict(dict)
        self._upstream = Upstream(states)
        self.shared: dict[str, None] = {}
        """Files that several items wrote: none of them can count on what the others left."""

    def saw(self, state: CallState, index: int, reads: Sequence[Read]) -> HiddenInput | None:
        """Note what an item wrote and read; the first file that it should not have read, or that none may have."""
        if not reads:
            return None
        own, found = (state.call.number, index), None
        # Who looks first whether a file is there can do without it: so do caches within steps.
        tried = {read.path for read in reads if read.kind == "status"}
        tried |= {top for path in tried if (top := _top(path))}
        for read in reads:
            if read.written:
                writers = self._writers[read.path]
                writers[own] = None
                if len(writers) > 1:
                    self.shared[read.path] = None
                others = (reader for reader in self._readers.get(read.path, ()) if self._is_by_chance(reader, own))
                found = found or next((self._hidden(read.path, own[0], reader[0]) for reader in others), None)
            elif read.kind in ("file", "missing") and tried.isdisjoint((read.path, _top(read.path))):
                self._readers[read.path][own] = None
                others = (writer for writer in self._writers.get(read.path, ()) if self._is_by_chance(own, writer))
                found = found or next((self._hidden(read.path, writer[0], own[0]) for writer in others), None)
        return found

    def _is_by_chance(self, reader: tuple[int, int], writer: tuple[int, int]) -> bool:
        """Whether an item may read a file before or after another wrote it; items of one call do as a script would."""
        return reader[0] != writer[0] and not self._upstream.takes(reader, writer)

    def paths_as_text(self, load: Callable[[CallState], Any]) -> Iterator[HiddenInput]:
        """The files that are handed on by a path that is a plain text, once the calls are decided.

        Parameters
        ----------
        load
            Gives a result of a call.
        """
        for path, writers in self._writers.items():
            for writer in dict.fromkeys(number for number, _ in writers):
                readers = [number for number, _ in self._readers.get(path, ()) if self._feeds(writer, number)]
                if readers and _is_plain_text(load(self._states[writer])):
                    yield self._hidden(path, writer, readers[0])

    def _feeds(self, writer: int, reader: int) -> bool:
        return writer in self._upstream.of_call(reader)

    def _hidden(self, path: str, writer: int, reader: int) -> HiddenInput:
        return HiddenInput(path, *(self._states[number].call.step.name for number in (writer, reader)))
