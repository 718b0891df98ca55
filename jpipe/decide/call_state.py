"""What is known of one call and its items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from jpipe.define.layout import Call
from jpipe.digest import Code
from jpipe.files import Read
from jpipe.fingerprint import Fingerprint
from jpipe.store import Held, Record, Stored, Where

__all__ = ["CallState", "Status"]


class Status(IntEnum):
    """How far an item is."""

    WAITING = 0
    STALE = 1
    CACHED = 2
    RAN = 3
    FAILED = 4
    BLOCKED = 5
    INTERRUPTED = 6
    UNASKED = 7


@dataclass(slots=True, eq=False)
class CallState:
    """What is known of one call.

    Attributes
    ----------
    call, fingerprint
        The call, and the code of its step.
    rules
        What its step says of how arguments count, as a part of its keys.
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
        Files that items of a mapped call read.
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
    """

    call: Call
    fingerprint: Fingerprint
    rules: bytes = b""
    count: int | None = None
    status: bytearray = field(default_factory=bytearray)
    keys: list[bytes | None] = field(default_factory=list)
    contents: list[bytes | None] = field(default_factory=list)
    places: list[Where | None] = field(default_factory=list)
    codes: dict[int, Code] = field(default_factory=dict)
    parts: dict[Any, bytes] | None = None
    part_code: Mapping[Any, Code] = field(default_factory=dict)
    whole: bytes | None = None
    whole_key: bytes | None = None
    record: Record | None = None
    open_items: int = 0
    needs: set[int] = field(default_factory=set)
    fixed: list[tuple[str, bytes]] = field(default_factory=list)
    sources: dict[str, list[bytes | None]] = field(default_factory=dict)
    reads: dict[Read, None] = field(default_factory=dict)
    seconds: float = 0.0
    nbytes: int = 0
    is_open: bool = False
    was_pending: bool = False
    held: bool = False
    is_complete: bool = True
    accepted: dict[int, tuple[bytes, bytes]] = field(default_factory=dict)
    accepted_whole: tuple[bytes, bytes] | None = None

    @property
    def is_done(self) -> bool:
        """Whether the result of every item is known."""
        return self.whole is not None

    def items(self, *wanted: Status) -> list[int]:
        """The items that are as far as one of `wanted`."""
        return [index for index, status in enumerate(self.status) if status in wanted]

    def size(self, count: int) -> None:
        """It has so many items, of which nothing is known."""
        self.count = self.open_items = count
        self.status = bytearray(count)
        self.keys = [None] * count
        self.contents = [None] * count
        self.places = [None] * count

    def ran(
        self,
        index: int,
        stored: Stored,
        reads: Sequence[Read],
        seconds: float,
        *,
        is_kept: bool,
        status: Status = Status.RAN,
    ) -> None:
        """An item has this result; `is_kept` where it was recorded."""
        self.status[index] = status
        self.contents[index] = stored.content
        self.places[index] = stored.where
        self.nbytes += stored.nbytes
        self.seconds += seconds
        self.held |= isinstance(stored.where, Held)
        self.is_complete &= is_kept
        if stored.code:
            self.codes[index] = stored.code
        if not self.call.is_mapped:
            self.parts, self.part_code = stored.parts, stored.part_code
        elif reads:
            self.reads.update(dict.fromkeys(reads))
