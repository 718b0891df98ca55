"""Where chunks run: their execution goes through joblib.Memory, over jpipe's own store.

With ``joblib.Memory(cache_dir, backend="jpipe").cache(execute)`` a chunk whose results appeared in the cache meanwhile
is not executed again, and what was executed is filed by the store backend. A run that starts no worker, of a pipeline
that does not need joblib either, does not import it for this: doing the work would take less time than that.
"""

from __future__ import annotations

import inspect
import os
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, ClassVar

from jpipe.parallel.process_lifetime import is_worker
from jpipe.parallel.silent_imports import silenced
from jpipe.store import Store
from jpipe.system.computed_imports import telling_imports
from jpipe.system.error_record import record_error
from jpipe.worker.capture import captured
from jpipe.worker.descriptors import screen_given
from jpipe.worker.executed_code import ChunkTrace
from jpipe.worker.function_reference import renewed, stale_sources
from jpipe.worker.messages import ItemReceipt, Receipt, Work
from jpipe.worker.process_state import forget_code
from jpipe.worker.run_item import Execution
from jpipe.worker.surroundings import difference
from jpipe.worker.value_references import loaded_with

if TYPE_CHECKING:
    from jpipe.store.joblib_memory import JpipeStoreBackend

__all__ = ["Task", "execute", "refused", "run_work"]


class Task:
    """A chunk as a pool takes it; a worker that unpickles it imports no more than this module."""

    __slots__ = ("work",)

    def __init__(self, work: Work) -> None:
        self.work = work

    def __call__(self) -> Receipt:
        return run_work(self.work)


def run_work(work: Work) -> Receipt:
    """Run a chunk in this process."""
    if work.in_main and "joblib" not in sys.modules:
        return _run_directly(work)
    memory = _Front.of(work.store)
    with memory.backend.serving(work):
        receipt: Receipt = memory.execute(work.key, work)
    for store in (work.store, memory.backend.store):
        receipt.complaints += store.saving.take_complaints()
    return receipt


def _run_directly(work: Work) -> Receipt:
    """What joblib.Memory and the store backend do with a chunk."""
    receipt = work.find(work.store)
    if receipt is None:
        receipt = _execute(work.key, work)
        receipt.publish(work.store)
    receipt.complaints += work.store.saving.take_complaints()
    return receipt


class _Front:
    """joblib.Memory over one store, in this process."""

    _known: ClassVar[dict[str, _Front]] = {}

    def __init__(self, store: Store) -> None:
        from joblib import Memory

        from jpipe.store import joblib_memory

        joblib_memory.register()
        memory = Memory(str(store.root), backend="jpipe", verbose=0, backend_options={"store": store})
        self.backend: JpipeStoreBackend = memory.store_backend
        self.execute: Callable[[str, Work], Receipt] = memory.cache(_execute, ignore=["work"])

    @classmethod
    def of(cls, store: Store) -> _Front:
        root = store.disk.folder.root
        known = cls._known.get(root)
        if known is None:
            known = cls._known[root] = cls(store)
        return known


def _execute(key: str, work: Work) -> Receipt:
    """Execute all items of a chunk; what joblib.Memory remembers under `key`."""
    return execute(work)


_prepares = threading.RLock()
"""One chunk at a time imports what it needs: a thread beside it would see half of a module."""


def execute(work: Work) -> Receipt:
    """Execute all items of a chunk."""
    receipt = Receipt(work.number, os.getpid(), work.step.family, [], together=work.in_main and work.is_own)
    trace = ChunkTrace(work.step.family, work.step.traces)
    with _prepares:
        function = _prepared(work, receipt)
    if function is None:
        return receipt
    execution = Execution(work, function, receipt)
    native = execution.native
    trace.begin()
    with (
        screen_given() if work.in_main and not work.capture else nullcontext(),
        captured(work.capture, native.give_back if native is not None else None) as capture,
        native if native is not None else nullcontext(),
        loaded_with(execution.source),
        telling_imports(execution.import_called, everywhere=work.step.calls_imports),
    ):
        for position, item in enumerate(work.items):
            if execution.stopped():
                receipt.items.append(ItemReceipt(position, interrupted=True))
                continue
            execution.run(position, item, capture)
    execution.finish()
    receipt.executed = trace.end(execution.is_elsewhere, execution.reads_sources)
    if _is_elsewhere(work) and (edited := stale_sources(work.step.sources)):
        return refused(work, _edited(edited))
    return receipt


def _prepared(work: Work, receipt: Receipt) -> Callable[..., Any] | None:
    """The function, with what the keys were made of around it; where that is impossible, the receipt says so."""
    is_elsewhere = _is_elsewhere(work)
    if differs := difference(work.step.surroundings, imported=False):
        receipt.refuse(len(work.items), differs)
        return None
    try:
        with silenced() if is_worker() else nullcontext():
            if is_elsewhere and renewed(work.step.sources, knows_all=is_worker()):
                forget_code()
            function = work.step.function.resolve()
    except BaseException as error:
        if edited := [stamp.file for stamp in work.step.sources if not stamp.is_on_disk]:
            receipt.refuse(len(work.items), _edited(edited))
        else:
            receipt.items = [ItemReceipt(p, error=record_error(error)) for p in range(len(work.items))]
        return None
    if is_elsewhere and (edited := stale_sources(work.step.sources)):
        receipt.refuse(len(work.items), _edited(edited))
        return None
    if differs := difference(work.step.surroundings, imported=True):
        receipt.refuse(len(work.items), differs)
        return None
    return function


_execute.__signature__ = inspect.signature(_execute)  # type: ignore[attr-defined]  # joblib asks for it at each call


def _is_elsewhere(work: Work) -> bool:
    """Whether this is another process than the one that made the keys, with modules of its own."""
    given = work.step.surroundings
    return given is not None and given.pid != os.getpid()


def _edited(files: Sequence[str]) -> str:
    return f"{files[0]} was edited after the run had begun"


def refused(work: Work, why: str) -> Receipt:
    """The receipt of a process that does not have what the keys were made of: nothing of the chunk counts."""
    receipt = Receipt(work.number, os.getpid(), work.step.family, [])
    receipt.refuse(len(work.items), why)
    return receipt
