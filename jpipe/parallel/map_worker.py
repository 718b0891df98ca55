"""The worker's side of a map: call the function for the items of a chunk and describe how it went."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jpipe.parallel.forked_child import end_child
from jpipe.parallel.packing import Packed, Packer, unpack
from jpipe.parallel.remote_error import Failure, with_note
from jpipe.parallel.spill import SpillFolder, write_file
from jpipe.parallel.status_board import CHUNK, POSITION, STOP, ask_to_stop, own_slot

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jpipe.parallel.item_source import Items

__all__ = ["Chunk", "Receipt", "SharedChunk", "Work", "WorkReference", "drop_work", "keep_work", "warm_up"]

Arguments = tuple[Any, ...]

_SEVERAL = 4
"""How many maps a worker keeps at hand at once: more than one when threads of the caller share the workers."""

_CHECK_SECONDS = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Work:
    """What is the same for all items of a map.

    Parameters
    ----------
    function
        The function.
    after
        Positional arguments after those of the item.
    constants
        Keyword arguments.
    """

    function: Callable[..., Any]
    after: Arguments = ()
    constants: Mapping[str, Any] = field(default_factory=dict)

    def call(self, arguments: Arguments) -> Any:
        """The function's result for one item."""
        return self.function(*arguments, *self.after, **self.constants)


@dataclass(frozen=True, slots=True)
class WorkReference:
    """Where a worker finds the `Work` of a map; it loads it once.

    Parameters
    ----------
    name
        Unique for each map.
    data
        The packed work, or None where it is in a file or was inherited.
    path
        Path of the file with the packed work.
    mapped
        Bytes of the arrays that are mapped with it.
    """

    name: str
    data: bytes | None = None
    path: str | None = None
    mapped: int = 0

    def load(self) -> Work:
        """The work, from this process if it is there already."""
        work = _kept.get(self.name)
        if work is None:
            data = self.data
            if data is None:
                assert self.path is not None, "inherited work is kept before the workers start"
                data = Path(self.path).read_bytes()
            work = unpack(data)
            while len(_kept) >= _SEVERAL:
                del _kept[next(iter(_kept))]
            keep_work(self.name, work)
            if self.path is not None:
                _allow_for_mapped(self.mapped)
                _drop_after(self.name, self.path)
        return work


_kept: dict[str, Work] = {}


def warm_up() -> None:
    """Nothing: a first task, that makes a new worker import this module."""


def keep_work(name: str, work: Work) -> None:
    """Have a work at hand in this process, and in those that will be forked from it."""
    _kept[name] = work


def drop_work(name: str) -> None:
    """Undo `keep_work`."""
    _kept.pop(name, None)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What came of a chunk.

    Parameters
    ----------
    results
        Those of its first items, up to the one that failed: packed, or as they are.
    count
        How many.
    seconds
        How long the items took.
    failure
        How an item failed: described, or the exception itself.
    """

    results: Packed | list[Any]
    count: int
    seconds: float
    failure: Failure | BaseException | None = None

    def unpacked(self) -> list[Any]:
        """The results."""
        results: list[Any] = unpack(self.results.data) if isinstance(self.results, Packed) else self.results
        return results


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some items for a worker process.

    Parameters
    ----------
    work
        The function and what is the same for all items.
    first
        Index of the first item.
    blocks
        The packed items: each block is a list of items.
    board
        Folder of the status board, or None on another machine.
    number
        The chunk's number on it.
    folder
        Where large results go, or None.
    max_nbytes
        Which results are large.
    by_value
        See `Packer`.
    log
        Where to write which files the items look at; None where nobody asks.
    """

    work: WorkReference
    first: int
    blocks: tuple[bytes, ...]
    board: str | None
    number: int
    folder: str | None
    max_nbytes: int | None
    by_value: bool
    log: str | None = None

    def __call__(self) -> Receipt:
        if self.log is None or not os.path.exists(self.log):
            return self._done()
        from jpipe.system.audit import telling  # a map of its own does without it

        with telling(self.log):
            return self._done()

    def _done(self) -> Receipt:
        packer = Packer(_Results(self.folder) if self.folder else None, self.max_nbytes, None, by_value=self.by_value)

        def pack(value: Any) -> bytes:
            return packer.pack(value).data

        slot = own_slot(self.board)
        numbers: Any = [0] * 3 if slot is None else slot.numbers
        results: list[Any] = []
        append = results.append
        index = self.first - 1
        arguments: Arguments = ()
        failure = None
        begin = time.perf_counter()
        getpid = os.getpid
        process = getpid()
        try:
            work = self.work.load()
            begin = time.perf_counter()
            numbers[CHUNK], numbers[POSITION] = self.number, self.first
            call, after, constants = work.function, work.after, work.constants
            alone = not after and not constants
            for block in self.blocks:
                for arguments in unpack(block):
                    if numbers[STOP]:
                        break
                    index += 1
                    numbers[POSITION] = index
                    # Every microsecond here counts: no `work.call`.
                    append(call(*arguments) if alone else call(*arguments, *after, **constants))
                    if getpid() != process:
                        end_child(None)
        except BaseException as error:
            if getpid() != process:
                end_child(error)
            if isinstance(error, KeyboardInterrupt) and self.board is not None:
                # Ctrl-C reaches all processes: none begins another item before the caller is done with stopping.
                ask_to_stop(self.board)
            function = None if index < self.first else self.work.load().function
            failure = Failure.of(error, max(index, self.first), function, arguments, pack)
        seconds = time.perf_counter() - begin
        return _receipt(results, seconds, failure, packer, self.first)


@dataclass(frozen=True, slots=True)
class SharedChunk:
    """Some items for a thread of this process: nothing is packed."""

    work: Work
    first: int
    items: Items
    stop: threading.Event

    def __call__(self) -> Receipt:
        results: list[Any] = []
        begin = time.perf_counter()
        failure: BaseException | None = None
        for arguments in self.items:
            if self.stop.is_set():
                break
            try:
                results.append(self.work.call(arguments))
            except BaseException as error:
                failure = with_note(error, self.first + len(results), self.work.function, arguments)
                break
        return Receipt(results, len(results), time.perf_counter() - begin, failure)


class _Results(SpillFolder):
    """The caller's folder, to which workers add files."""

    def __init__(self, path: str) -> None:
        self._folder = path

    @property
    def path(self) -> str:
        return self._folder

    def write(self, raw: bytes | memoryview) -> str | None:
        return write_file(self._folder, raw)


def _receipt(results: list[Any], seconds: float, failure: Failure | None, packer: Packer, first: int) -> Receipt:
    try:
        return Receipt(packer.pack(results), len(results), seconds, failure)
    except Exception:
        good, error = _picklable(results, packer)

    def pack(value: Any) -> bytes:
        return packer.pack(value).data

    failed = Failure.of(error, first + len(good), None, (), pack)
    return Receipt(packer.pack(good), len(good), seconds, failed)


def _picklable(results: list[Any], packer: Packer) -> tuple[list[Any], Exception]:
    """The results before the first that cannot be pickled, and why that one cannot."""
    for position, result in enumerate(results):
        try:
            packer.pack(result)
        except Exception as error:
            return results[:position], error
    raise AssertionError("every result can be pickled alone, but not all together")


def _drop_after(name: str, path: str) -> None:
    """Free the memory of a map's work when the map has ended, which its folder's end says."""

    def wait() -> None:
        while name in _kept and os.path.exists(path):
            time.sleep(_CHECK_SECONDS)
        drop_work(name)

    threading.Thread(target=wait, name="jpipe-map-work", daemon=True).start()


def _allow_for_mapped(nbytes: int) -> None:
    """Keep loky from taking the pages of mapped arrays for a memory leak, for which it ends a worker after 300 MB."""
    loky = sys.modules.get("joblib.externals.loky.process_executor")
    with contextlib.suppress(AttributeError, TypeError):
        loky._MAX_MEMORY_LEAK_SIZE += nbytes  # type: ignore[union-attr]
