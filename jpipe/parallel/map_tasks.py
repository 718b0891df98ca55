"""Make the chunks that workers run: as they are for threads, packed for processes."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections import Counter
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, Protocol

from jpipe.parallel.item_source import Columns, Items, Snapshot
from jpipe.parallel.map_worker import Chunk, Receipt, SharedChunk, Work, WorkReference, drop_work, keep_work
from jpipe.parallel.packing import Packed, Packer
from jpipe.parallel.remote_error import with_note
from jpipe.parallel.spill import SpillFolder, random_name
from jpipe.parallel.status_board import Board

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["PackedTasks", "Packing", "SharedTasks", "Task", "Tasks"]

_ATOMS = frozenset({int, float, complex, str, bytes, bool, type(None)})
_LARGE_WORK = 64 * 1024
"""Packed work of this size, bytes, is put into a file instead of being sent with every chunk."""


@dataclass(frozen=True, slots=True)
class Task:
    """A chunk that can be submitted.

    Parameters
    ----------
    run
        What the worker calls.
    nbytes
        Size of the packed items.
    files
        Files that must stay until it is done.
    """

    run: Callable[[], Receipt]
    nbytes: int = 0
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Packing:
    """How values travel to other processes.

    Parameters
    ----------
    max_nbytes, mmap_mode
        See `Packer`.
    temp_folder
        See `SpillFolder`. Given for workers on other machines, it is taken for a folder that they see too.
    """

    max_nbytes: int | None
    mmap_mode: str | None
    temp_folder: str | None


class Tasks(Protocol):
    """Makes chunks of one map."""

    snapshot: Snapshot | None
    """See `jpipe.parallel.item_source`."""

    def task(self, first: int, items: Items, number: int) -> Task:
        """Chunk `number`, of these items, the first of them number `first`."""

    def release(self, task: Task) -> None:
        """The chunk is done."""

    def running(self) -> Mapping[int, tuple[int, int]]:
        """Process id and item by the number of each chunk that was last seen with a worker."""

    def stop(self) -> None:
        """Ask the workers to stop after their current item."""

    def close(self) -> None:
        """Remove all files."""


class SharedTasks:
    """Chunks for threads of this process."""

    snapshot: Snapshot | None = None

    def __init__(self, work: Work) -> None:
        self._work = work
        self._stop = threading.Event()

    def task(self, first: int, items: Items, number: int) -> Task:
        return Task(SharedChunk(self._work, first, items, self._stop))

    def release(self, task: Task) -> None:
        pass

    def running(self) -> Mapping[int, tuple[int, int]]:
        return {}

    def stop(self) -> None:
        self._stop.set()

    def close(self) -> None:
        pass


class PackedTasks:
    """Chunks for processes.

    Parameters
    ----------
    work
        The function and its constants.
    inherited
        Whether the workers are forks that will have `work` anyhow.
    same_machine
        Whether the workers see this machine's files and processes.
    packing
        How values travel.
    """

    def __init__(
        self,
        work: Work,
        *,
        inherited: bool,
        same_machine: bool,
        packing: Packing,
    ) -> None:
        self._folder = SpillFolder(packing.temp_folder)
        self._work = work
        self._max_nbytes = None if packing.mmap_mode is None else packing.max_nbytes
        self._mmap_mode = packing.mmap_mode
        self._by_value = not inherited
        self._shared_files = same_machine or packing.temp_folder is not None
        self._uses: Counter[str] = Counter()
        self._uses_lock = threading.Lock()
        self._board = Board(self._folder.path) if same_machine else None
        self._constants = self._packer()
        self._stable = self._packer()
        self._changing = self._packer(by_content=True)
        self.snapshot: Snapshot | None = self._snapshot
        self._reference = WorkReference(random_name())
        audit = sys.modules.get("jpipe.system.audit")  # whoever runs items has it
        self._log = None if audit is None else audit.log_of_children()
        if inherited:
            keep_work(self._reference.name, work)

    def pack_work(self) -> None:
        """Pack the function and its constants, unless the workers have them."""
        if self._by_value:
            try:
                packed = self._constants.pack(self._work)
            except Exception as error:
                error.add_note(
                    "the function and its constants have to be sent to other processes, which is done by pickling; "
                    'backend="threading" and n_jobs=1 do without'
                )
                raise
            large = len(packed.data) > _LARGE_WORK or packed.files
            path = self._folder.write(packed.data) if large and self._shared_files else None
            data = packed.data if path is None else None
            self._reference = WorkReference(self._reference.name, data, path, packed.mapped)

    def task(self, first: int, items: Items, number: int) -> Task:
        packed = list(self._blocks(first, items))
        chunk = Chunk(
            self._reference,
            first,
            tuple(block.data for block in packed),
            None if self._board is None else self._board.path,
            number,
            self._folder.path if self._shared_files else None,
            self._max_nbytes,
            self._by_value,
            self._log,
        )
        files = tuple(file for block in packed for file in block.files)
        nbytes = sum(len(block.data) + block.mapped for block in packed)
        return Task(chunk, nbytes, files)

    def release(self, task: Task) -> None:
        with self._uses_lock:
            for file in task.files:
                self._uses[file] -= 1
                if not self._uses[file]:
                    self._stable.forget(file)
                    self._changing.forget(file)
                    with contextlib.suppress(OSError):
                        os.unlink(file)

    def running(self) -> Mapping[int, tuple[int, int]]:
        states = [] if self._board is None else self._board.states()
        return {state.chunk: (state.pid, state.position) for state in states if state.position is not None}

    def stop(self) -> None:
        if self._board is not None:
            self._board.ask_to_stop()

    def close(self) -> None:
        drop_work(self._reference.name)
        self._folder.remove()

    def _packer(self, by_content: bool = False) -> Packer:
        folder = self._folder if self._shared_files else None
        return Packer(folder, self._max_nbytes, self._mmap_mode, by_content=by_content, by_value=self._by_value)

    def _snapshot(self, arguments: tuple[Any, ...]) -> Any:
        """An item as it is now, whatever happens to its arguments later."""
        if all(type(value) in _ATOMS for value in arguments):
            return arguments
        return self._pack([arguments], self._changing)

    def _blocks(self, first: int, items: Items) -> Iterator[Packed]:
        """The packed items: those that are packed already one by one, the others together."""
        if isinstance(items, Columns):
            yield self._pack_items(first, items)
            return
        position = 0
        for is_packed, run in groupby(items, lambda item: isinstance(item, Packed)):
            several = list(run)
            if is_packed:
                yield from several
            else:
                yield self._pack_items(first + position, several)
            position += len(several)

    def _pack_items(self, first: int, items: Items) -> Packed:
        try:
            return self._pack(items, self._stable)
        except Exception:
            for position, item in enumerate(items):
                try:
                    self._stable.pack([item])
                except Exception as error:
                    raise with_note(error, first + position, self._work.function, item) from error.__cause__
            raise

    def _pack(self, items: Items, packer: Packer) -> Packed:
        with self._uses_lock:
            packed = packer.pack(items)
            self._uses.update(packed.files)
        return packed
