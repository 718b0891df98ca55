"""What happens where items run: resolve arguments, seed, call, write the result, answer with a receipt.

A chunk of items arrives as a `Work` and leaves as a `Receipt`. The execution goes through
``joblib.Memory(cache_dir, backend="jpipe").cache(execute)``: a chunk whose results appeared in the cache meanwhile is
not executed again, and what was executed is filed by the store backend. Nothing that a step does may escape: an
exception becomes an `ErrorRecord` in the receipt, and the other items go on.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from jpipe.belonging import is_worker
from jpipe.capture import Capture, captured, forget_warnings
from jpipe.descriptors import Descriptors
from jpipe.errors import ItemTimeoutError, UndigestibleError, UnstorableResult
from jpipe.files import Boundary, File, FileDigests, Read, Watch, watching
from jpipe.functions import FunctionReference, SourceStamp, stale_sources
from jpipe.interrupts import interruptible
from jpipe.options import StepOptions
from jpipe.references import Payload, ValueSource, arguments_of, loaded_with
from jpipe.seeds import preserved, seeded
from jpipe.slots import Slot
from jpipe.step import Step
from jpipe.store import Held, Inline, MissingEntry, NewRecord, PutOptions, Store, Stored
from jpipe.timeouts import limit
from jpipe.trace import ErrorRecord, record_error

__all__ = ["ItemReceipt", "ItemWork", "Receipt", "StepWork", "Work", "inputs_of", "run_work"]


CARRIED = 512
"""Results whose stored form is larger stay on disk; smaller ones travel in the receipt, bytes."""


@dataclass(frozen=True, slots=True)
class StepWork:
    """What all chunks of one step share.

    Parameters
    ----------
    name
        The step's name.
    function
        How the worker finds the function.
    family
        The fingerprint of its code.
    put
        How its results are stored.
    mmap_mode
        How large arrays arrive.
    hashers
        The step's own digests by type (`hash=`).
    timeout
        Seconds that an item may take.
    cache
        Whether its results are kept beyond the run.
    returns_file
        Whether its annotation says that it returns the path of a `File`.
    root
        The project root.
    sources
        The user's modules as the main process imported them.
    """

    name: str
    function: FunctionReference
    family: bytes
    put: PutOptions
    mmap_mode: str | None
    hashers: Any
    timeout: float | None
    cache: bool
    returns_file: bool
    root: str
    sources: tuple[SourceStamp, ...]


@dataclass(frozen=True, slots=True)
class ItemWork:
    """One item to run.

    Parameters
    ----------
    key
        Its key.
    arguments
        What is its own among the arguments.
    shared
        Position in `Work.shared` of what it has in common with others, or -1.
    digests
        (parameter, digest) of its arguments, for its record.
    keep
        Whether its result may be recorded; False when an argument has no digest that outlives the run.
    """

    key: bytes
    arguments: Payload
    shared: int
    digests: tuple[tuple[str, bytes], ...]
    keep: bool = True


@dataclass(slots=True)
class Work:
    """A chunk of items of one step.

    Attributes
    ----------
    number
        Number of the chunk in the run.
    key
        What joblib.Memory files the execution under.
    slots
        The folder where workers say what they are doing, or None.
    in_main
        Whether it runs in the user's own process and thread.
    is_own
        Whether it is known that no other run has computed it or does so now.
    """

    number: int
    key: str
    store: Store
    step: StepWork
    items: list[ItemWork]
    shared: list[Payload]
    wants_parts: bool = False
    slots: str | None = None
    capture: bool = True
    in_main: bool = False
    is_own: bool = False

    def find(self, store: Store) -> Receipt | None:
        """The receipt that an execution would give, when all results are in the cache meanwhile."""
        if self.is_own or not self.step.cache or not all(item.keep for item in self.items):
            return None
        family = store.family(self.step.family)
        if not family.refresh():
            return None
        digests = _digests_below(self.step.root)
        found = []
        for position, item in enumerate(self.items):
            records = [r for r in family.find(item.key) if all(map(digests.unchanged, r.reads))]
            if not records or (self.wants_parts and records[0].parts is None):
                return None
            found.append(ItemReceipt(position, stored=stored_of(records[0]), reads=records[0].reads, found=True))
        return Receipt(self.number, os.getpid(), self.step.family, found)


@dataclass(slots=True)
class ItemReceipt:
    """What became of one item.

    Attributes
    ----------
    position
        Its position in the chunk.
    stored
        Where its result is; None when it has none.
    reads
        The files that it depended on.
    seconds, peak_memory
        Wall time, and bytes of resident memory of the worker at its end.
    output
        What it printed.
    error
        What it failed with.
    changed
        A file that was edited while the item ran: its result is not kept then.
    found
        It was not executed: another run had finished it meanwhile.
    interrupted
        Ctrl-C stopped it, or it was not started because the run is to stop.
    """

    position: int
    stored: Stored | None = None
    reads: tuple[Read, ...] = ()
    seconds: float = 0.0
    peak_memory: int = 0
    output: str = ""
    error: ErrorRecord | None = None
    changed: str | None = None
    found: bool = False
    interrupted: bool = False


@dataclass(slots=True)
class Receipt:
    """What became of a chunk: light, whatever its results weigh.

    Attributes
    ----------
    chunk
        Number of the chunk.
    pid
        The worker's process.
    family
        What the results are filed under.
    records
        Records that are to be filed.
    paths
        Files that were written and are not known to be on the disk yet.
    together
        Whether small results wait here, to be filed with others by the main process.
    """

    chunk: int
    pid: int
    family: bytes
    items: list[ItemReceipt]
    records: list[tuple[int, NewRecord]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    together: bool = False

    def publish(self, store: Store) -> None:
        """File the results. joblib.Memory calls it, through the store backend, when the execution is over."""
        if self.together and all(_is_small(record) for _, record in self.records):
            return
        records, self.records = self.records, []
        if not records:
            return
        published = store.publish(self.family, [record for _, record in records])
        self.paths += published.paths
        for (position, record), place in zip(records, published.places, strict=True):
            if not _is_small(record):
                self.items[position].stored = replace(record.stored, where=place, paths=())


def _is_small(record: NewRecord) -> bool:
    where = record.stored.where
    return isinstance(where, Inline) and len(where.payload) <= CARRIED


def stored_of(record: Any) -> Stored:
    """A record's result as if it had just been stored."""
    return Stored(record.content, record.code, record.parts, record.where, record.nbytes, (), record.part_code)


def run_work(work: Work) -> Receipt:
    """Run a chunk in this process."""
    memory = _Front.of(work.store)
    with memory.backend.serving(work):
        receipt: Receipt = memory.execute(work.key, work)
    return receipt


class _Front:
    """joblib.Memory over one store, in this process."""

    _known: ClassVar[dict[str, _Front]] = {}

    def __init__(self, store: Store) -> None:
        from joblib import Memory

        from jpipe.store import joblib_backend

        joblib_backend.register()
        memory = Memory(str(store.root), backend="jpipe", verbose=0, backend_options={"store": store})
        self.backend: joblib_backend.JpipeStoreBackend = memory.store_backend
        self.execute: Callable[[str, Work], Receipt] = memory.cache(_execute, ignore=["work"])

    @classmethod
    def of(cls, store: Store) -> _Front:
        known = cls._known.get(str(store.root))
        if known is None:
            known = cls._known[str(store.root)] = cls(store)
        return known


def _execute(key: str, work: Work) -> Receipt:
    """Execute all items of a chunk; what joblib.Memory remembers under `key`."""
    receipt = Receipt(work.number, os.getpid(), work.step.family, [], together=work.in_main and work.is_own)
    try:
        function = work.step.function.resolve()
    except BaseException as error:
        receipt.items = [ItemReceipt(p, error=record_error(error)) for p in range(len(work.items))]
        return receipt
    if edited := stale_sources(work.step.sources):
        return _refused(work, receipt, edited)
    execution = _Execution(work, function, receipt)
    native = execution.native
    with (
        captured(work.capture) as capture,
        native.redirected() if native is not None else nullcontext(),
        preserved() if work.in_main else nullcontext(),
    ):
        for position, item in enumerate(work.items):
            if execution.stopped():
                receipt.items.append(ItemReceipt(position, interrupted=True))
                continue
            receipt.items.append(execution.run(position, item, capture))
    if edited := stale_sources(work.step.sources):
        receipt.records = []
        return _refused(work, receipt, edited)
    return receipt


def _refused(work: Work, receipt: Receipt, edited: Sequence[str]) -> Receipt:
    error = ErrorRecord("edited", "SourceEdited", f"{edited[0]} was edited after the run had begun")
    receipt.items = [ItemReceipt(p, error=error) for p in range(len(work.items))]
    return receipt


class _Execution:
    """The items of one chunk, one after the other."""

    def __init__(self, work: Work, function: Callable[..., Any], receipt: Receipt) -> None:
        self.work = work
        self.step: Step[..., Any] = Step(function, _NO_OPTIONS)
        self.receipt = receipt
        self.source = ValueSource(work.store, work.step.mmap_mode)
        self.slot = _slot(work.slots)
        self.native = _native(work.slots) if work.capture and is_worker() else None
        self.files = _digests_below(work.step.root)
        self.boundary = _boundary(work.step.root, str(work.store.root))
        self._stop = False

    def stopped(self) -> bool:
        return self._stop or (self.slot is not None and self.slot.should_stop())

    def run(self, position: int, item: ItemWork, capture: Capture) -> ItemReceipt:
        receipt = ItemReceipt(position)
        if self.work.capture:
            forget_warnings()
        started = time.time()
        clock = time.perf_counter()
        if self.slot is not None:
            self.slot.begin(self.work.number, position, started)
        try:
            with watching() as watch:
                value = self._call(item)
            receipt.seconds = time.perf_counter() - clock
            self._keep(receipt, item, value, watch, int(started * 1e9))
        except KeyboardInterrupt:
            receipt.interrupted = self._stop = True
        except BaseException as error:
            receipt.seconds = time.perf_counter() - clock
            receipt.error = record_error(error, _kind_of(error), receipt.seconds)
        receipt.output = capture.take() + (self.native.take() if self.native is not None else "")
        receipt.peak_memory = _peak_memory()
        if self.slot is not None:
            self.slot.end(self.work.number, started, receipt.peak_memory)
        return receipt

    def _call(self, item: ItemWork) -> Any:
        args, kwargs = self.step.spread(inputs_of(self.work, item, self.source))
        seeded(item.key)
        with interruptible(self.work.in_main), limit(self.work.step.timeout):
            value = self.step.function(*args, **kwargs)
            return _awaited(value) if hasattr(value, "__await__") else value

    def _keep(self, receipt: ItemReceipt, item: ItemWork, value: Any, watch: Watch, started_ns: int) -> None:
        step = self.work.step
        outputs: list[str] = []
        hashers = step.hashers or {}
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
                fingerprint=_code_below(step.root),
            )
        except (UnstorableResult, UndigestibleError) as error:
            if not self.work.in_main:
                raise
            receipt.error = record_error(error, "unstorable")
            receipt.stored = held(value)
            return
        reads, receipt.changed = watch.reads(self.files, self.boundary, started_ns)
        written = {self.files.full(os.path.abspath(path)) for path in outputs}
        reads = tuple(read for read in reads if self.files.full(read.path) not in written)
        receipt.reads = reads + tuple(self.files.read(path, written=True) for path in sorted(written))
        receipt.stored = stored
        self.receipt.paths += stored.paths
        if step.cache and item.keep and receipt.changed is None:
            record = NewRecord(item.key, stored, item.digests, receipt.reads, receipt.seconds, _peak_memory())
            self.receipt.records.append((receipt.position, record))

    def _file(self, file: File, outputs: list[str]) -> tuple[str, str, bytes]:
        """What counts of a `File` in a result: its path as written and its content."""
        outputs.append(file.path)
        return "jpipe.File", file.path, self.files.content(os.path.abspath(file.path))


def inputs_of(work: Work, item: ItemWork, source: ValueSource) -> dict[str, Any]:
    """The arguments of an item by name, with every result that they refer to."""
    with loaded_with(source):
        arguments = arguments_of(item.arguments, source)
        if item.shared >= 0:
            arguments.update(arguments_of(work.shared[item.shared], source))
    return arguments


def held(value: Any) -> Stored:
    """A result that cannot be stored, for the rest of this run; its digest is of this run alone."""
    return Stored(os.urandom(32), (), None, Held(value), 0)


def _kind_of(error: BaseException) -> str:
    if isinstance(error, ItemTimeoutError):
        return "timeout"
    if isinstance(error, MissingEntry):
        return "missing"
    return "unstorable" if isinstance(error, (UnstorableResult, UndigestibleError)) else "raised"


def _awaited(value: Any) -> Any:
    import asyncio

    async def wait() -> Any:
        return await value

    return asyncio.run(wait())


def _peak_memory() -> int:
    if _usage is None:
        return 0
    peak = _usage(_SELF).ru_maxrss
    return int(peak if _IN_BYTES else peak * 1024)


try:
    import resource as _resource
    import sys as _sys

    _usage: Callable[[int], Any] | None = _resource.getrusage
    _SELF = _resource.RUSAGE_SELF
    _IN_BYTES = _sys.platform == "darwin"
except ImportError:  # Windows has no resource module
    _usage, _SELF, _IN_BYTES = None, 0, False

_PLAIN = (int, float, str, bytes, bool, type(None))
_NO_OPTIONS = StepOptions()
_folders: dict[str, FileDigests] = {}
_boundaries: dict[tuple[str, str], Boundary] = {}
_slots: dict[tuple[str, int], Slot] = {}
_own_code: dict[str, _OwnCode] = {}
_natives: dict[str, Descriptors] = {}


class _OwnCode:
    """Fingerprints of code inside results: most results hold none, and then a worker need not import the room."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._fingerprinter: Any = None

    def _loaded(self) -> Any:
        if self._fingerprinter is None:
            from jpipe.fingerprint import Fingerprinter

            self._fingerprinter = Fingerprinter(Path(self._root))
        return self._fingerprinter

    def of_object(self, obj: Any) -> bytes:
        """As in `Fingerprinter`."""
        return self._loaded().of_object(obj)  # type: ignore[no-any-return]

    def is_own(self, obj: Any) -> bool:
        """As in `Fingerprinter`."""
        return self._loaded().is_own(obj)  # type: ignore[no-any-return]


def _code_below(root: str) -> _OwnCode:
    return _own_code.setdefault(root, _OwnCode(root))


def _digests_below(root: str) -> FileDigests:
    return _folders.setdefault(root, FileDigests(Path(root)))


def _boundary(root: str, cache: str) -> Boundary:
    known = _boundaries.get((root, cache))
    if known is None:
        known = _boundaries[root, cache] = Boundary(Path(root), Path(cache))
    return known


def _slot(folder: str | None) -> Slot | None:
    """This thread's slot; None where the run's folder is on another machine."""
    if folder is None:
        return None
    place = folder, threading.get_ident()
    if place not in _slots:
        for other in [known for known in _slots if known[0] != folder]:
            _slots.pop(other, None)
        try:
            _slots[place] = Slot(folder)
        except OSError:
            return None
    return _slots[place]


def _native(folder: str | None) -> Descriptors | None:
    """Where this worker's streams go; None where the run's folder is on another machine."""
    if folder is None:
        return None
    if folder not in _natives:
        while _natives:
            _natives.popitem()[1].close()
        try:
            _natives[folder] = Descriptors(folder)
        except OSError:
            return None
    return _natives[folder]
