"""Run the items of a chunk where they are: resolve arguments, seed, call, write the result, note what became of it.

Nothing that a step does may escape: an exception becomes an `ErrorRecord` in the receipt, and the other items go on.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable
from types import CoroutineType, FunctionType
from typing import Any

from jpipe.define.step import Step
from jpipe.digest.unstable import unstable_part
from jpipe.errors import ItemTimeoutError, UndigestibleError, UnstorableResult
from jpipe.files import File
from jpipe.model.step_options import StepOptions
from jpipe.model.value_summary import outcome_of
from jpipe.parallel.forked_child import end_child
from jpipe.parallel.interrupts import came, interruptible
from jpipe.parallel.process_lifetime import is_worker
from jpipe.parallel.status_board import own_slot
from jpipe.store import Held, Inline, MissingEntry, NewRecord, Stored, UnreadableEntry, inline_scalars
from jpipe.system.audit import watching
from jpipe.system.error_record import ErrorRecord, record_error
from jpipe.system.memory import PeakMeter
from jpipe.system.watch import Watch
from jpipe.worker.capture import Capture, forget_warnings, put_back_streams
from jpipe.worker.current_folder import return_to
from jpipe.worker.descriptors import Descriptors, main_streams
from jpipe.worker.executed_code import reads_sources
from jpipe.worker.leave_as_found import as_found, state_named_by
from jpipe.worker.messages import ItemReceipt, ItemWork, Receipt, Work
from jpipe.worker.native_reads import note_visible_files
from jpipe.worker.own_memory import handing_over, with_own_memory
from jpipe.worker.packed_items import PackedItems
from jpipe.worker.plain_results import PlainResults, is_plain
from jpipe.worker.process_state import boundary_of, code_below, digests_below, is_older, native_streams
from jpipe.worker.results_with_paths import names_folder
from jpipe.worker.seeds import drawn, seeded, seeded_alone
from jpipe.worker.terminal_text import as_seen
from jpipe.worker.timeouts import limit
from jpipe.worker.value_references import ValueSource, arguments_of

__all__ = ["Execution", "inputs_of"]

_PLAIN = (int, float, str, bytes, bool, type(None))
_LOOKED_AT, _LOOKED_AT_UP_TO = 3, 1 << 18
"""Of so many results of a step, of at most so many bytes, a process makes sure that they can be loaded."""
_looked_at: dict[bytes, int] = {}
_NO_OPTIONS = StepOptions()


class Execution:
    """The items of one chunk, one after the other."""

    def __init__(self, work: Work, function: Callable[..., Any], receipt: Receipt) -> None:
        self.work = work
        self.step = _step_of(function) if type(function) is FunctionType else Step(function, _NO_OPTIONS)
        self.receipt = receipt
        self.source = ValueSource(work.store, work.step.mmap_mode)
        self.slot = own_slot(work.slots)
        self.native = _native(work) if work.capture else None
        self.files = digests_below(work.step.root, work.store)
        self.boundary = boundary_of(work.step.root, work.store.disk.folder.root)
        self.is_elsewhere = False
        """Whether an item started a process or made a connection."""
        self.reads_sources = False
        """Whether an item read source text of the user's."""
        self._stop = False
        self._changes = state_named_by(self.step.function)
        self._meter = PeakMeter(forgets=is_worker())
        self._watch: Watch | None = None
        """Of the item that runs."""
        self._blank: Watch | None = None
        """One that has seen nothing in the last item."""
        self._plain = PlainResults() if _gives_columns(work) else None
        self._seeds = work.items.seeds() if isinstance(work.items, PackedItems) else None

    def stopped(self) -> bool:
        """Whether the rest of the items is not to be started."""
        return self._stop or (self.slot is not None and self.slot.should_stop())

    def finish(self) -> None:
        """No item is to come: make columns of the plain values."""
        items = self.work.items
        if self._plain is not None and self._plain.positions and isinstance(items, PackedItems):
            self._plain.finish(items.columns)
            self.receipt.plain = self._plain

    def run(self, position: int, item: ItemWork, capture: Capture) -> None:
        """Run one item."""
        receipt, process = ItemReceipt(position), os.getpid()
        column: PlainResults | None = None
        if self.work.capture:
            forget_warnings()
        started = time.time()
        clock = time.perf_counter()
        now = time.monotonic()
        peak = self._meter.begin(now)
        if self.slot is not None:
            self.slot.begin(self.work.number, position, now, peak)
        try:
            watch = self._blank or Watch(self.files)
            with watching(watch):
                watch.inherit(self.work.step.reached)
                self._watch = watch
                try:
                    value = self._call(position, item, watch)
                finally:
                    self._watch = None
                    self._saw(watch)
            if os.getpid() != process:
                end_child(None)
            receipt.seconds = time.perf_counter() - clock
            receipt.peak_memory = self._meter.peak(time.monotonic())
            if self._plain is not None and watch is self._blank and self._is_plain(value):
                column = self._plain
                column.values.append(value)
            else:
                self._keep(receipt, item, value, watch, int(started * 1e9))
        except BaseException as error:
            if os.getpid() != process:
                end_child(error)
            if isinstance(error, KeyboardInterrupt) and came():
                receipt.interrupted = self._stop = True
            else:
                receipt.seconds = time.perf_counter() - clock
                receipt.peak_memory = self._meter.peak(time.monotonic())
                receipt.error = record_error(error, _kind_of(error), receipt.seconds)
        if self.work.capture:
            put_back_streams()
        receipt.output = as_seen(capture.take() + (self.native.take() if self.native is not None else ""))
        if self.slot is not None:
            receipt.peak_memory = self._meter.peak(time.monotonic())
            self.slot.end(receipt.peak_memory)
        if column is None:
            self.receipt.items.append(receipt)
        else:
            column.add(receipt)

    def _is_plain(self, value: Any) -> bool:
        """Whether a result is a number or a short text that does not name the project's folder."""
        if not is_plain(value):
            return False
        if type(value) not in (str, bytes):
            return True
        if self.work.step.returns_file:
            return False
        (payload,) = inline_scalars([value])
        return not names_folder(Inline(payload), self.work.store, self.work.step.root)

    def import_called(self, name: str, module: Any, frame: Any) -> None:
        """A module was imported by a call, in an item if one runs."""
        if self._watch is not None:
            self._watch.import_called(name, module, frame)

    def _saw(self, watch: Watch) -> None:
        """The item has ended; of one that has looked at nothing the watch serves the next."""
        return_to(watch.folder)
        self._blank = watch if watch.is_blank else None
        if self._blank is None:
            self.is_elsewhere = self.is_elsewhere or bool(watch.effects)
            self.reads_sources = self.reads_sources or reads_sources(watch.texts)

    def _call(self, position: int, item: ItemWork, watch: Watch) -> Any:
        call = self._ready(item, watch)
        if not self._changes:
            return self._seeded_call(position, item, call)
        with as_found(self._changes):
            return self._seeded_call(position, item, call)

    def _seeded_call(self, position: int, item: ItemWork, call: Callable[[], Any]) -> Any:
        seed = item.seed if self._seeds is None else self._seeds[position]
        draws_alone = False
        if self.work.in_main or not is_worker():
            # Its threads share the generators, in the user's process and in a worker of a cluster.
            draws_alone = seeded_alone(seed, draws=self.work.step.is_random)
        else:
            seeded(seed)
        try:
            if not (self.work.in_main or self.work.step.timeout is not None):
                return _given(call())
            with interruptible(self.work.in_main), limit(self.work.step.timeout, is_worker=is_worker()):
                return _given(call())
        finally:
            if draws_alone:
                drawn()

    def _ready(self, item: ItemWork, watch: Watch) -> Callable[[], Any]:
        """The call of an item, with its inputs."""
        inputs = inputs_of(self.work, item, self.source)
        owns = self.work.step.owns_arrays
        args, kwargs = self.step.spread(with_own_memory(inputs) if owns else inputs)
        if self.work.step.reads_unseen:
            note_visible_files(watch, self.step.function, [*args, *kwargs.values()])
        if owns:
            return handing_over(self.step.function, args, kwargs)
        return functools.partial(self.step.function, *args, **kwargs)

    def _keep(self, receipt: ItemReceipt, item: ItemWork, value: Any, watch: Watch, started_ns: int) -> None:
        step = self.work.step
        outputs: list[str] = []
        hashers = step.hashers.value
        if type(value) not in _PLAIN:
            hashers = {**hashers, File: lambda file: self._file(file, outputs)}
        if step.returns_file and isinstance(value, (str, os.PathLike)) and not isinstance(value, File):
            self._file(File(value), outputs)
        try:
            stored = self.work.store.put(
                value,
                options=step.put,
                parts=self.work.wants_parts,
                hashers=hashers,
                fingerprint=code_below(step.root, self.work.store),
            )
            if type(value) not in _PLAIN:
                receipt.unstable = self._look_at(value, stored)
        except (UnstorableResult, UndigestibleError) as error:
            if not self.work.in_main:
                raise
            receipt.error = record_error(error, "unstorable")
            receipt.stored = _held(value)
            return
        reads, receipt.changed = watch.reads(self.files, self.boundary, started_ns)
        if self.work.step.calls_imports or watch.imported:
            imports = watch.imports(self.files, elsewhere=self.work.step.calls_imports and bool(watch.effects))
            older = next(filter(is_older, imports), None)
            if older is not None and not self.work.in_main:
                receipt.error = ErrorRecord(
                    "differs", "WorkerDiffers", f"{older.path} was edited since it was imported"
                )
                return
            reads, receipt.changed = reads + imports, receipt.changed or (older and older.path)
        written = {self.files.full(os.path.abspath(path)) for path in outputs}
        reads = tuple(read for read in reads if self.files.full(read.path) not in written)
        receipt.reads = reads + tuple(self.files.read(path, written=True) for path in sorted(written))
        if names_folder(stored.where, self.work.store, step.root):
            receipt.reads += (self.files.bound(),)
        receipt.stored = stored
        receipt.summary = outcome_of(value) if self.work.tells_result else ""
        self.receipt.paths += stored.paths
        if step.cache and item.keep and receipt.changed is None:
            record = NewRecord(item.key, stored, item.digests, receipt.reads, receipt.seconds, receipt.peak_memory)
            self.receipt.records.append((receipt.position, record))

    def _look_at(self, value: Any, stored: Stored) -> str | None:
        """What of a value has another digest when it comes back; raise `UnstorableResult` where it does not.

        Each value is looked at that holds classes of the user's, of others the first ones of a step.
        """
        step, family = self.work.step, self.work.step.family
        is_enough = _looked_at.get(family, 0) >= _LOOKED_AT and not stored.code
        if is_enough or stored.nbytes > _LOOKED_AT_UP_TO:
            return None
        _looked_at[family] = _looked_at.get(family, 0) + 1
        try:
            copy = self.work.store.load(stored.where)
        except UnreadableEntry as error:
            raise UnstorableResult(
                f"result can be pickled, and not unpickled: {error}",
                path="result",
                hint="return something else in its place, or have its __reduce__ give what its __init__ takes",
            ) from error
        is_first = _looked_at[family] <= _LOOKED_AT
        return unstable_part(value, copy, hashers=step.hashers.value) if is_first else None

    def _file(self, file: File, outputs: list[str]) -> tuple[str, str, bytes]:
        """What counts of a `File` in a result: its path as written and its content."""
        outputs.append(file.path)
        return "jpipe.File", file.path, self.files.content(os.path.abspath(file.path))


@functools.lru_cache(maxsize=64)
def _step_of(function: FunctionType) -> Step[..., Any]:
    """What spreads arguments over the parameters of a function; remembered, because finding a signature takes time."""
    return Step(function, _NO_OPTIONS)


def inputs_of(work: Work, item: ItemWork, source: ValueSource) -> dict[str, Any]:
    """The arguments of an item by name, with every result that they refer to; inside `loaded_with`."""
    arguments = arguments_of(item.arguments, source)
    if item.shared >= 0:
        arguments.update(arguments_of(work.shared[item.shared], source))
    return arguments


def _gives_columns(work: Work) -> bool:
    """Whether nothing is to be said of a plain value but the value itself."""
    step, is_asked = work.step, work.wants_parts or work.tells_result
    return (
        isinstance(work.items, PackedItems) and step.cache and not (is_asked or step.put.compress or step.hashers.value)
    )


def _native(work: Work) -> Descriptors | None:
    """Where what is written below Python goes; None where it is left alone."""
    return native_streams(work.slots) if is_worker() else main_streams()


def _held(value: Any) -> Stored:
    """A result that cannot be stored, for the rest of this run; its digest is of this run alone."""
    return Stored(os.urandom(32), (), None, Held(value), 0)


def _kind_of(error: BaseException) -> str:
    if isinstance(error, ItemTimeoutError):
        return "timeout"
    if isinstance(error, MissingEntry) and not isinstance(error, UnreadableEntry):
        return "missing"
    return "unstorable" if isinstance(error, (UnstorableResult, UndigestibleError)) else "raised"


def _given(value: Any) -> Any:
    """The result of a step; of an asynchronous one what it gives. Other awaitables are values like any other."""
    return _awaited(value) if type(value) is CoroutineType else value


def _awaited(value: Any) -> Any:
    """What an awaitable gives, in a loop of its own; one that runs in this thread, a notebook's, stands still."""
    import asyncio

    async def wait() -> Any:
        return await value

    outer = asyncio._get_running_loop()
    if outer is None:
        return asyncio.run(wait())
    asyncio._set_running_loop(None)
    try:
        return asyncio.run(wait())
    finally:
        asyncio.set_event_loop(outer)
        asyncio._set_running_loop(outer)
