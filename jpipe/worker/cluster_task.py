"""A chunk for a worker of a cluster: without the signing key, for a process that first proves what it is.

What crosses a network is no secret of the user's: in place of the signing key goes a key that is of use to nobody, of
the environment only what the steps reach. A worker on a cluster writes large results into the cache, if it sees that,
and hands everything else back: the main process files it, and signs.
"""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import functools
import os
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import dataclass

from jpipe.parallel.status_board import Board, SlotState
from jpipe.store import SigningKey, Store
from jpipe.store.open_folder import Disk
from jpipe.system.error_record import ErrorRecord, WorkersLost
from jpipe.worker.cluster_process import ChildDied, child_of, give_back
from jpipe.worker.messages import ItemReceipt, Receipt, StepWork, Work
from jpipe.worker.proof import Proof, difference_here, installed, make_proof, process_here
from jpipe.worker.run_chunk import execute, refused
from jpipe.worker.timeouts import ended_after

__all__ = ["ClusterTask", "ClusterTasks", "name_here", "stands_in_the_way"]


@dataclass(frozen=True, slots=True)
class ClusterTask:
    """A chunk as a pool on other machines takes it.

    Parameters
    ----------
    run
        Tells the run from others.
    """

    work: Work
    proof: Proof
    run: bytes

    def __call__(self) -> Receipt:
        if self.proof.process == process_here():
            receipt = execute(self.work)
        elif differs := difference_here(self.proof) or stands_in_the_way(self.work.store):
            receipt = refused(self.work, differs)
        else:
            receipt = _in_own_process(self.work, self.run)
        receipt.worker = name_here()
        return receipt


@dataclass(frozen=True, slots=True)
class _Execute:
    """What the process of a worker is asked for."""

    work: Work

    def __call__(self) -> Receipt:
        return execute(self.work)


def _in_own_process(work: Work, run: bytes) -> Receipt:
    """Have a chunk done by a process of this run.

    Raises
    ------
    WorkersLost
        When it dies; it says on which item.
    """
    slots = work.slots if work.slots is not None and os.path.isdir(work.slots) else _own_board()
    timeout = work.step.timeout
    child = child_of(run)

    def is_late() -> bool:
        on = _seen(slots, child.pid, work.number)
        return on is not None and time.monotonic() - on.started > ended_after(timeout or 0.0)

    try:
        answer = child(_Execute(dataclasses.replace(work, slots=slots)), is_late if timeout else None)
    except ChildDied as died:
        if died.code is None and timeout is not None:
            return _timed_out(work, child.pid, timeout)
        on = _seen(slots, child.pid, work.number)
        raise WorkersLost(_ended_by(died.code), frozenset({child.pid}), None if on is None else on.position) from None
    give_back(child)
    if isinstance(answer, WorkersLost):
        raise answer
    received: Receipt = answer
    return received


def _seen(slots: str, pid: int, chunk: int) -> SlotState | None:
    """What a process was last doing, if it was on an item of a chunk."""
    states = Board(slots).states()
    found = (s for s in states if (s.pid, s.chunk) == (pid, chunk) and s.position is not None)
    return next(found, None)


def _timed_out(work: Work, pid: int, timeout: float) -> Receipt:
    receipt = Receipt(work.number, pid, work.step.family, [])
    error = ErrorRecord("timeout", "ItemTimeoutError", f"took longer than its timeout of {timeout:g} s")
    receipt.items = [ItemReceipt(position, error=error, seconds=timeout) for position in range(len(work.items))]
    return receipt


def _ended_by(code: int | None) -> str:
    """How a process ended, in the words of those that look for it."""
    if code is not None and code < 0:
        with contextlib.suppress(ValueError):
            return f"{signal.Signals(-code).name}({code})"
    return f"EXIT({code})"


@functools.cache
def _own_board() -> str:
    """A folder where the processes of this worker say what they are at, where that of the run is out of sight."""
    folder = tempfile.mkdtemp(prefix="jpipe-worker-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def stands_in_the_way(store: Store) -> str:
    """Why this process cannot use the cache; empty where it can."""
    folder = store.disk.folder
    try:
        mine = os.stat(folder.path("pins"))
    except OSError:
        return f"it does not see the cache {folder.root}: start workers where they do"
    if not os.access(folder.path("blobs"), os.W_OK | os.X_OK) or not mine:
        return f"it may not write to the cache {folder.root}"
    return ""


def name_here() -> str:
    """What this worker is called by its cluster, else its machine and process."""
    distributed = sys.modules.get("distributed")
    if distributed is not None:
        try:
            return str(distributed.get_worker().address)
        except (ValueError, AttributeError):
            pass
    return process_here().rpartition(":")[0]


class ClusterTasks:
    """Makes the tasks of one run."""

    def __init__(self) -> None:
        self._run = os.urandom(8)
        self._store: Store | None = None
        self._steps: dict[int, tuple[StepWork, StepWork, Proof]] = {}

    def task(self, work: Work) -> ClusterTask:
        """The task of a chunk."""
        known = self._steps.get(id(work.step))
        if known is None:
            step = _without_secrets(work.step)
            known = self._steps[id(work.step)] = work.step, step, make_proof(step.sources, installed(step.packages))
        if self._store is None:
            folder = work.store.disk.folder
            self._store = Store(Disk.of(folder, SigningKey(os.urandom(32), work.store.disk.key.shared)))
            self._store.saving.quiet = True
        _, step, proof = known
        return ClusterTask(dataclasses.replace(work, store=self._store, step=step, is_own=True), proof, self._run)


def _without_secrets(step: StepWork) -> StepWork:
    surroundings = step.surroundings
    return step._replace(
        surroundings=None if surroundings is None else surroundings.for_cluster(),
        sources=tuple(stamp.with_digest() for stamp in step.sources),
    )
