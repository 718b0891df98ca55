"""A chunk for a worker of a cluster: without the signing key, for a process that first proves what it is.

What crosses a network is no secret of the user's: in place of the signing key goes a key that is of use to nobody, of
the environment only what the steps reach. A worker on a cluster writes large results into the cache, if it sees that,
and hands everything else back: the main process files it, and signs.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import pickle
import signal
import sys
import time
import weakref
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from jpipe.parallel.status_board import Board, SlotState
from jpipe.store import PackPlace, SigningKey, Store, Where
from jpipe.store.open_folder import Disk
from jpipe.system.error_record import ErrorRecord, WorkersLost
from jpipe.worker.cluster_process import ChildDied, child_of, give_back
from jpipe.worker.handshake import Proof, difference_here, installed, make_proof, process_here
from jpipe.worker.messages import ItemReceipt, Receipt, StepWork, Work
from jpipe.worker.own_folder import own_folder
from jpipe.worker.parcels import Code, Part, code_of, moved, own_cache, parts_of, take_results, unpack, with_values
from jpipe.worker.run_chunk import execute, refused
from jpipe.worker.timeouts import ended_after

__all__ = ["ClusterTask", "ClusterTasks", "name_here", "stands_in_the_way"]


class Common(NamedTuple):
    """What the chunks of a step have in common, on a worker.

    Parameters
    ----------
    step, store
        Of the work.
    proof
        What a worker has to have in common with the main process.
    run
        Tells the run from others.
    code
        For workers that do not see the cache: the user's modules.
    """

    step: StepWork
    store: Store
    proof: Proof
    run: bytes
    code: Code | None

    def packed(self) -> bytes:
        """As few bytes, because they go with every chunk."""
        return zlib.compress(pickle.dumps(tuple(self), 5))


@functools.lru_cache(maxsize=16)
def _unpacked(packed: bytes) -> Common:
    return Common(*pickle.loads(zlib.decompress(packed)))


@dataclass(frozen=True, slots=True)
class ClusterTask:
    """A chunk as a pool on other machines takes it.

    Parameters
    ----------
    work
        The chunk, without what is in `common`.
    common
        `Common.packed`.
    small
        For workers that do not see the cache: small values by their places.
    """

    work: Work
    common: bytes
    small: tuple[tuple[PackPlace, bytes], ...] = ()

    def __call__(self, *parts: Part) -> Receipt:
        common = _unpacked(self.common)
        work = dataclasses.replace(self.work, step=common.step, store=common.store)
        if common.proof.process == process_here():
            receipt = execute(work)
        elif common.code is not None:
            receipt = _away(work, common, common.code, with_values(own_cache(), parts, self.small))
        elif unseen := stands_in_the_way(work.store):
            receipt = refused(work, unseen)
            receipt.is_blind = True
        elif differs := difference_here(common.proof):
            receipt = _unfit(work, differs)
        else:
            receipt = _in_own_process(work, common.run)
        receipt.worker = name_here()
        return receipt


def _away(work: Work, common: Common, code: Code, store: Store) -> Receipt:
    if differs := difference_here(common.proof._replace(sources=())):
        return _unfit(work, differs)
    step = moved(work.step, code, unpack(code))
    receipt = _in_own_process(dataclasses.replace(work, store=store, step=step), common.run)
    failed = next((item.error for item in receipt.items if item.error is not None), None)
    if failed is not None and failed.kind in ("raised", "missing"):
        # Whether it is the step's own fault can only be told where all files are.
        return refused(work, f"an item failed where the project is not: {failed.error_type}: {failed.message}")
    take_results(store, receipt)
    return receipt


@dataclass(frozen=True, slots=True)
class _Execute:
    """What the process of a worker is asked for."""

    work: Work

    def __call__(self) -> Receipt:
        return execute(self.work)


def _unfit(work: Work, why: str) -> Receipt:
    receipt = refused(work, why)
    receipt.is_unfit = True
    return receipt


def _in_own_process(work: Work, run: bytes) -> Receipt:
    """Have a chunk done by a process of this run.

    Raises
    ------
    WorkersLost
        When it dies; it says on which item.
    """
    # Where the board of the run is out of sight, the processes of this worker have one of their own.
    slots = work.slots if work.slots is not None and os.path.isdir(work.slots) else own_folder("board")
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


def stands_in_the_way(store: Store) -> str:
    """Why this process cannot use the cache; empty where it can."""
    folder = store.disk.folder
    try:
        mine = os.stat(folder.path("pins"))
    except OSError:
        return f"it does not see the cache {folder.root}"
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
    """Makes the tasks of one run.

    Attributes
    ----------
    sends_values
        Whether code and values go along, for workers that do not see the cache.
    """

    def __init__(self) -> None:
        self.sends_values = False
        self._run = os.urandom(8)
        self._common: dict[tuple[int, bool], tuple[StepWork, bytes]] = {}
        self._parts: weakref.WeakValueDictionary[bytes, Part] = weakref.WeakValueDictionary()

    def task(self, work: Work, needs: Iterable[Where]) -> tuple[ClusterTask, Sequence[Part]]:
        """The task of a chunk, and what goes along; `needs` is where its arguments are."""
        known = self._common.get((id(work.step), self.sends_values))
        if known is None:
            # With the step, so that no other object can get its id.
            known = self._common[id(work.step), self.sends_values] = work.step, self._common_of(work).packed()
        # What all chunks of the step have in common is put back on the other side.
        sent = dataclasses.replace(work, store=None, step=None, is_own=True)  # type: ignore[arg-type]
        if not self.sends_values:
            return ClusterTask(sent, known[1]), ()
        blobs, small = parts_of(work.store, needs)
        return ClusterTask(sent, known[1], tuple(small)), [self._part(work.store, blob) for blob in blobs]

    def _common_of(self, work: Work) -> Common:
        step = _without_secrets(work.step)
        proof = make_proof(step.sources, installed(step.packages))
        code = code_of(step.root, step.sources, step.function.folders) if self.sends_values else None
        return Common(step, self._store_of(work.store), proof, self._run, code)

    def _part(self, store: Store, blob: bytes) -> Part:
        part = self._parts.get(blob)
        if part is None:
            with open(store.disk.blobs.path(blob), "rb") as file:
                part = self._parts[blob] = Part(blob, file.read())
        return part

    @functools.lru_cache(maxsize=1)  # noqa: B019 - there is one a run
    def _store_of(self, store: Store) -> Store:
        """The cache without the signing key."""
        known = Store(Disk.of(store.disk.folder, SigningKey(os.urandom(32), store.disk.key.shared)))
        known.saving.quiet = True
        return known


def _without_secrets(step: StepWork) -> StepWork:
    surroundings = step.surroundings
    return step._replace(
        surroundings=None if surroundings is None else surroundings.for_cluster(),
        sources=tuple(stamp.with_digest() for stamp in step.sources),
    )
