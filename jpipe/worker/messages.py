"""What is sent to a worker, and what comes back: a chunk of items arrives as a `Work` and leaves as a `Receipt`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from jpipe.files import Read
from jpipe.store import Inline, NewRecord, PutOptions, Store, Stored
from jpipe.system.by_value import ByValue
from jpipe.system.code_tracer import Code
from jpipe.system.error_record import ErrorRecord
from jpipe.worker.function_reference import FunctionReference, SourceStamp
from jpipe.worker.plain_results import PlainResults
from jpipe.worker.process_state import digests_below
from jpipe.worker.seeds import seed_of
from jpipe.worker.surroundings import Surroundings
from jpipe.worker.value_references import Payload

__all__ = ["ItemReceipt", "ItemWork", "Receipt", "StepWork", "Work", "stored_of"]

CARRIED = 512
"""Results whose stored form is larger stay on disk; smaller ones travel in the receipt, bytes."""


class StepWork(NamedTuple):
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
    reads_unseen
        Whether it is seen to open files where nothing tells of it.
    reached
        What stands for the code that it reaches, as `jpipe.system.memoised` has it.
    root
        The project root.
    sources
        The user's modules as the main process imported them.
    surroundings
        The state that its keys were made of; None where no other process runs its items.
    is_random
        Whether its code may draw random numbers.
    owns_arrays
        Whether arrays have to own their memory when they arrive.
    traces
        Whether to follow which code its items run.
    calls_imports
        Whether it imports modules by calling for them under computed names.
    packages
        (name, version) of the installed packages that its code reaches.
    """

    name: str
    function: FunctionReference
    family: bytes
    put: PutOptions
    mmap_mode: str | None
    hashers: ByValue
    timeout: float | None
    cache: bool
    returns_file: bool
    reads_unseen: bool
    reached: frozenset[int]
    root: str
    sources: tuple[SourceStamp, ...]
    surroundings: Surroundings | None = None
    is_random: bool = True
    owns_arrays: bool = False
    traces: bool = False
    calls_imports: bool = False
    packages: tuple[tuple[str, str], ...] = ()


class ItemWork(NamedTuple):
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
    occurrence
        Which of several calls with the same arguments it is; nothing for the first.
    """

    key: bytes
    arguments: Payload
    shared: int
    digests: tuple[tuple[str, bytes], ...]
    keep: bool = True
    occurrence: bytes = b""

    @property
    def seed(self) -> int:
        """What generators of random numbers are seeded with."""
        return seed_of(self.digests, self.occurrence)


@dataclass(slots=True, eq=False, repr=False)
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
    tells_result
        Whether its result may be what the run is for.
    """

    number: int
    key: str
    store: Store
    step: StepWork
    items: Sequence[ItemWork]
    shared: list[Payload]
    wants_parts: bool = False
    slots: str | None = None
    capture: bool = True
    in_main: bool = False
    is_own: bool = False
    tells_result: bool = False

    def find(self, store: Store) -> Receipt | None:
        """The receipt that an execution would give, when all results are in the cache meanwhile."""
        if self.is_own or not self.step.cache or not all(item.keep for item in self.items):
            return None
        family = store.family(self.step.family)
        if not family.refresh():
            return None
        digests = digests_below(self.step.root, store)
        found = []
        for position, item in enumerate(self.items):
            records = [r for r in family.find(item.key) if all(map(digests.unchanged, r.reads))]
            if not records or (self.wants_parts and records[0].parts is None):
                return None
            found.append(ItemReceipt(position, stored=stored_of(records[0]), reads=records[0].reads, found=True))
        return Receipt(self.number, os.getpid(), self.step.family, found)


@dataclass(slots=True, eq=False, repr=False)
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
    summary
        What the result is, in a few words, where `Work.tells_result`.
    unstable
        A part of the result whose digest is another one in a copy.
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
    summary: str = ""
    unstable: str | None = None

    @property
    def is_for_main(self) -> bool:
        """Whether a worker cannot do it, and the main process can: what it gives cannot be sent, or differs there."""
        return self.error is not None and self.error.kind in ("unstorable", "differs")


@dataclass(slots=True, eq=False, repr=False)
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
    complaints
        Why results are not in the cache, where they could not be written.
    executed
        Which of the user's code ran in its items, and which in others whose doings they may have found; or why that is
        not known; None where it was not asked for.
    worker
        What a worker on a cluster is called there.
    blobs
        The large results of one that does not see the cache, by their ids.
    is_blind
        Whether it was refused because it does not see the cache.
    is_unfit
        Whether it was refused because of what its worker is, and so will all others be.
    plain
        The items that gave plain values, which are not among `items`.
    """

    chunk: int
    pid: int
    family: bytes
    items: list[ItemReceipt]
    records: list[tuple[int, NewRecord]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    together: bool = False
    complaints: list[str] = field(default_factory=list)
    executed: tuple[frozenset[Code], frozenset[Code], frozenset[Code]] | str | None = None
    worker: str = ""
    blobs: dict[bytes, bytes] = field(default_factory=dict)
    is_blind: bool = False
    is_unfit: bool = False
    plain: PlainResults | None = None

    @property
    def seconds(self) -> float:
        """What all items took together."""
        one_by_one = sum([item.seconds for item in self.items])
        return one_by_one if self.plain is None else one_by_one + sum(self.plain.seconds)

    def plain_items(self) -> list[ItemReceipt]:
        """The items that gave plain values, as if each had been told by itself."""
        plain = self.plain
        if plain is None:
            return []
        columns = zip(plain.positions, plain.stored(), plain.seconds, plain.peaks, strict=True)
        return [
            ItemReceipt(position, stored, (), seconds, peak, plain.outputs.get(position, ""))
            for position, stored, seconds, peak in columns
        ]

    @property
    def is_refused(self) -> bool:
        """Whether the process had not what the keys were made of: nothing was run."""
        return any(item.error is not None and item.error.kind == "differs" for item in self.items)

    def refuse(self, items: int, why: str) -> None:
        """Say that this process has not what the keys were made of."""
        error = ErrorRecord("differs", "WorkerDiffers", why)
        self.items = [ItemReceipt(position, error=error) for position in range(items)]
        self.records, self.plain = [], None

    def publish(self, store: Store) -> None:
        """File the results. joblib.Memory calls it, through the store backend, when the execution is over."""
        if self.together and all(_is_small(record) for _, record in self.records):
            return
        records, self.records = self.records, []
        columns = self.plain.take_records() if self.plain is not None else ()
        if not (records or columns):
            return
        published = store.publish(self.family, [record for _, record in records], columns)
        self.paths += published.paths
        for (position, record), place in zip(records, published.places, strict=True):
            if not _is_small(record):
                self.items[position].stored = record.stored._replace(where=place, paths=())


def _is_small(record: NewRecord) -> bool:
    where = record.stored.where
    return isinstance(where, Inline) and len(where.payload) <= CARRIED


def stored_of(record: Any) -> Stored:
    """A record's result as if it had just been stored."""
    return Stored(record.content, record.code, record.parts, record.where, record.nbytes, (), record.part_code)
