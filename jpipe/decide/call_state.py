"""What is known of one call and its items, and every way in which that can change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum
from typing import Any

from jpipe.decide.item_columns import Digests, Places, digests_of, unknown_digests, unknown_places
from jpipe.define.layout import Call
from jpipe.digest import Code
from jpipe.files import Read
from jpipe.fingerprint import Fingerprint
from jpipe.store import Held, Record, Stored, Where

__all__ = ["CallState", "Status"]


class Status(IntEnum):
    """How far an item is.

    ::

        WAITING ──┬─ a record counts ─────────────────────▶ CACHED
                  └─ none does ─▶ STALE ──┬─ it ran ──────▶ RAN
                                          ├─ an equal item ran, or another run was faster ─▶ CACHED
                                          ├─ no try is left ─▶ FAILED
                                          └─ it may not run ─▶ UNASKED

    Where the run ends first, WAITING and STALE become BLOCKED, INTERRUPTED or UNASKED.
    """

    WAITING = 0
    STALE = 1
    CACHED = 2
    RAN = 3
    FAILED = 4
    BLOCKED = 5
    INTERRUPTED = 6
    UNASKED = 7


class CallState:
    """What is known of one call. Its fields are changed by its methods only, others read them.

    ::

        waiting ── every need is known ──▶ open ── every list is known ──▶ sized ── every item is done ──▶ done
        (needs)      `wait_for`,         (fixed)         `size`            (count)     `items_done`,      (whole)
                   `need_is_known`,         │                            `item_...`      `finish`
                        `open`              └── one record answers for all items: `answer_as_whole` ──▶ done

    `PipelineState` moves a call from one to the next, as results come in. The scheduler says what became of the items
    that ran or failed, and at the end of a run what is left (`settle`).

    Attributes
    ----------
    call, fingerprint, rules
        The call, the code of its step, and what the step says of how arguments count. They never change.
    count
        How many items it has; None until its lists are known. A plain call has one.
    status, keys, contents, places
        By item: how far it is, its key, the digest of its result (without code), and where that is.
    codes
        By item: the user's own code inside the result, where there is any.
    parts, part_code
        Of a plain call's result, where they are wanted: the digests of its parts, and the code inside each.
    whole, whole_key
        The digest of the whole result, once every item is done, and of a mapped call the key of its record as a whole.
    record
        The record that answered: of a plain call, or of a mapped call as a whole.
    open_items
        How many items are not done.
    needs
        Numbers of the calls whose whole results it waits for.
    fixed, sources
        The digests of its arguments: (name, digest) of those that are the same for all items, and by name those of the
        elements that are mapped over, as far as they are known.
    reads
        Files that its items read.
    seconds, nbytes
        What the items took when they ran, and the size of all results.
    is_open
        All of `needs` are known, and what follows from them.
    was_pending
        It had to wait for a result that was not known before the run.
    held
        A result of it could not be stored and is in memory: what takes it cannot be recorded.
    is_complete
        Whether every item that ran was recorded; one that read a file that was edited meanwhile was not.
    accepted, accepted_whole
        The (fingerprint, key) of records of older code that answered because the user accepted them: by item, and for
        the call as a whole.
    labels
        What `item_labels.label_of` has called items: the screen, the journal and the record of the run ask for them.
    """

    __slots__ = (
        "accepted", "accepted_whole", "call", "codes", "contents", "count", "fingerprint", "fixed", "held",
        "is_complete", "is_open", "keys", "labels", "nbytes", "needs", "open_items", "part_code", "parts", "places",
        "reads", "record", "rules", "seconds", "sources", "status", "was_pending", "whole", "whole_key",
    )  # fmt: skip

    # Written out: every command that plans waits for this class, and as a dataclass it takes 4 ms to define.
    def __init__(self, call: Call, fingerprint: Fingerprint, rules: bytes = b"") -> None:
        self.call = call
        self.fingerprint = fingerprint
        self.rules = rules
        self.count: int | None = None
        self.status = bytearray()
        self.keys: Digests = unknown_digests(0)
        self.contents: Digests = unknown_digests(0)
        self.places: Places = unknown_places(0)
        self.codes: dict[int, Code] = {}
        self.parts: dict[Any, bytes] | None = None
        self.part_code: Mapping[Any, Code] = {}
        self.whole: bytes | None = None
        self.whole_key: bytes | None = None
        self.record: Record | None = None
        self.open_items = 0
        self.needs: set[int] = set()
        self.fixed: list[tuple[str, bytes]] = []
        self.sources: dict[str, Digests] = {}
        self.reads: dict[Read, None] = {}
        self.seconds = 0.0
        self.nbytes = 0
        self.is_open = False
        self.was_pending = False
        self.held = False
        self.is_complete = True
        self.accepted: dict[int, tuple[bytes, bytes]] = {}
        self.accepted_whole: tuple[bytes, bytes] | None = None
        self.labels: dict[int, str] = {}

    @property
    def is_done(self) -> bool:
        """Whether the result of every item is known."""
        return self.whole is not None

    def items(self, *wanted: Status) -> list[int]:
        """The items that are as far as one of `wanted`."""
        if not any(map(self.status.__contains__, wanted)):
            return []
        return [index for index, status in enumerate(self.status) if status in wanted]

    def arguments_of(self, index: int) -> dict[str, bytes]:
        """The digests of an item's arguments, as far as they are known and count, in the order of the signature."""
        known = dict(self.fixed)
        if not self.call.over:
            return known
        for name in self.call.over:
            digest = self.sources[name][index]
            if digest is not None and name not in self.call.step.declared.ignore:
                known[name] = digest
        return {name: known[name] for name in self.call.arguments if name in known}

    # -- from waiting to sized -----------------------------------------------------------------------------------

    def wait_for(self, needs: Iterable[int], *, is_pending: bool) -> None:
        """Note the calls whose whole results it waits for; `is_pending` where it waits for items of others too."""
        self.needs = set(needs)
        self.was_pending = is_pending or bool(self.needs)

    def need_is_known(self, number: int) -> bool:
        """Note that a call it waits for is done; return whether it waits for no other."""
        self.needs.discard(number)
        return not self.needs and self.count is None

    def open(self, fixed: Sequence[tuple[str, bytes]]) -> None:
        """Set the digests of the arguments that are the same for all items."""
        assert not self.needs, "a call is open when nothing is missing that it needs as a whole"
        self.is_open = True
        self.fixed = list(fixed)

    def list_elements(self, name: str, digests: Digests) -> None:
        """Set the digests of the elements of a mapped list, as far as they are known."""
        self.sources[name] = digests

    def set_element(self, name: str, index: int, digest: bytes | None) -> None:
        """Set the digest of one element of a mapped list."""
        self.sources[name][index] = digest

    def size(self, count: int) -> None:
        """Set the number of items, and begin with nothing known of each."""
        assert self.is_open, "the items of a call are counted once its constants are known"
        self.count = self.open_items = count
        self.status = bytearray(count)
        self.keys, self.contents = unknown_digests(count), unknown_digests(count)
        self.places = unknown_places(count)

    def set_whole_key(self, key: bytes) -> None:
        """Set the key of the record that stands for all items of a mapped call."""
        self.whole_key = key

    # -- items ---------------------------------------------------------------------------------------------------

    def set_keys(self, indices: Sequence[int], keys: Sequence[bytes]) -> None:
        """Set the keys of items whose arguments are known."""
        self.keys.fill(indices, b"".join(keys))

    def item_cached(self, index: int, content: bytes, nbytes: int, seconds: float) -> None:
        """Answer an item by a record of which only this was read."""
        self._move(index, Status.CACHED, Status.WAITING, Status.STALE)
        self.contents[index] = content
        self.nbytes += nbytes
        self.seconds += seconds

    def items_cached(self, indices: Sequence[int], contents: bytes, nbytes: int, seconds: float) -> None:
        """Answer many items by their records, of which only this was read: the digests, joined, and the sums."""
        self._move_all(indices, Status.CACHED, Status.WAITING, Status.STALE)
        self.contents.fill(indices, contents)
        self.nbytes += nbytes
        self.seconds += seconds

    def item_recorded(self, index: int, record: Record, accepted: tuple[bytes, bytes] | None = None) -> None:
        """Answer an item by a record; `accepted` is its fingerprint and key where it is one of older code."""
        self.item_cached(index, record.content, record.nbytes, record.seconds)
        self._take(index, record)
        if record.reads:
            self.reads.update(dict.fromkeys(record.reads))
        if not self.call.is_mapped:
            self.parts, self.part_code = record.parts, record.part_code
            self.record = record
        if accepted is not None:
            self.accepted[index] = accepted

    def item_stale(self, index: int) -> None:
        """Mark an item that must run."""
        self._move(index, Status.STALE, Status.WAITING, Status.STALE)

    def items_stale(self, indices: Sequence[int]) -> None:
        """Mark many items that must run."""
        self._move_all(indices, Status.STALE, Status.WAITING, Status.STALE)

    def item_ran(self, index: int, stored: Stored, reads: Sequence[Read], seconds: float, *, is_kept: bool) -> None:
        """Set the result of an item that ran; `is_kept` where it was recorded."""
        self._move(index, Status.RAN, Status.STALE)
        self._has(index, stored, reads, is_kept=is_kept)
        self.seconds += seconds

    def items_ran(
        self, indices: Sequence[int], contents: bytes, payloads: Sequence[bytes], nbytes: int, seconds: float
    ) -> None:
        """Set the results of many items that ran and gave plain values: the digests, joined, and the sums."""
        self._move_all(indices, Status.RAN, Status.STALE)
        self.contents.fill(indices, contents)
        self.places.fill(indices, payloads)
        self.nbytes += nbytes
        self.seconds += seconds

    def item_shared(self, index: int, stored: Stored, reads: Sequence[Read], *, is_kept: bool) -> None:
        """Give an item the result of an equal one that ran."""
        self._move(index, Status.CACHED, Status.WAITING, Status.STALE)
        self._has(index, stored, reads, is_kept=is_kept)

    def _has(self, index: int, stored: Stored, reads: Sequence[Read], *, is_kept: bool) -> None:
        self.contents[index] = stored.content
        self.places[index] = stored.where
        self.nbytes += stored.nbytes
        self.held |= isinstance(stored.where, Held)
        self.is_complete &= is_kept
        if stored.code:
            self.codes[index] = stored.code
        if not self.call.is_mapped:
            self.parts, self.part_code = stored.parts, stored.part_code
        if reads:
            self.reads.update(dict.fromkeys(reads))

    def item_was_own(self, index: int) -> None:
        """Count a recorded item as run: a worker of this run did it, and was lost before it could say so."""
        self._move(index, Status.RAN, Status.CACHED)

    def item_failed(self, index: int) -> None:
        """Mark an item that failed and has no tries left."""
        self._move(index, Status.FAILED, Status.STALE)

    def item_unasked(self, index: int) -> None:
        """Mark a stale item that is not among those that may run."""
        self._move(index, Status.UNASKED, Status.STALE)

    def name_item(self, index: int, label: str) -> None:
        """Keep what an item is called."""
        self.labels[index] = label

    def found_at(self, index: int, where: Where) -> None:
        """Set the place of a result that was answered by its digest alone."""
        self.places[index] = where

    def _take(self, index: int, record: Record) -> None:
        self.contents[index] = record.content
        self.places[index] = record.where
        if record.code:
            self.codes[index] = record.code

    def _move(self, index: int, to: Status, *before: Status) -> None:
        assert self.status[index] in before, f"an item does not go from {Status(self.status[index])!r} to {to!r}"
        self.status[index] = to

    def _move_all(self, indices: Sequence[int], to: Status, *before: Status) -> None:
        if not (isinstance(indices, range) and indices.step == 1):
            for index in indices:
                self._move(index, to, *before)
            return
        piece = self.status[indices.start : indices.stop]
        assert sum(map(piece.count, before)) == len(indices), f"items do not go to {to!r} from where they are"
        self.status[indices.start : indices.stop] = bytes([to]) * len(indices)

    # -- from sized to done --------------------------------------------------------------------------------------

    def items_done(self, count: int) -> bool:
        """Count items that have a result; return whether all have."""
        self.open_items -= count
        return self.open_items == 0

    def finish(self, whole: bytes) -> None:
        """Set the digest of the whole result, once every item is done."""
        self.whole = whole

    def answer_as_whole(
        self, record: Record, count: int, whole: bytes, accepted: tuple[bytes, bytes] | None = None
    ) -> None:
        """Answer all items of a mapped call by one record; `accepted` as in `item_recorded`."""
        self.record = record
        self.count = count
        self.status = bytearray([Status.CACHED]) * count
        self.seconds, self.nbytes = record.seconds, record.nbytes
        self.whole = whole
        self.accepted_whole = accepted

    def list_items(self, keys: Sequence[bytes], records: Sequence[Record]) -> None:
        """Set keys and records of the items of a call that was answered as a whole."""
        self.keys, self.contents = digests_of(keys), unknown_digests(len(keys))
        self.places = unknown_places(len(keys))
        for index, record in enumerate(records):
            self._take(index, record)

    def settle(self, left: Status, count: int) -> None:
        """Mark what has no result when the run is over; `count` items where their number was not known."""
        if self.count is None:
            self.count = count
            self.status = bytearray([left]) * count
            return
        if any(status in self.status for status in _UNDONE):
            self.status = self.status.translate(bytes(left if s in _UNDONE else s for s in range(256)))


_UNDONE = (Status.WAITING, Status.STALE)
