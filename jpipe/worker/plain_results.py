"""What short items give most often: a number or a short text. Many of them travel, and are filed, in columns."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jpipe.digest import digest_scalars
from jpipe.store import Inline, PlainRecords, Stored, inline_scalars

if TYPE_CHECKING:
    from jpipe.worker.messages import ItemReceipt

__all__ = ["PlainResults", "is_plain"]

_CONSTANT = frozenset({float, bool, type(None)})
_LARGEST = 1 << 1024
_LONGEST = 60
"""Longer texts are stored as other values are."""


def is_plain(value: Any) -> bool:
    """Whether a value is a number, a short text or nothing."""
    kind = type(value)
    if kind is int:
        return bool(-_LARGEST < value < _LARGEST)
    return kind in _CONSTANT or (kind in (str, bytes) and len(value) <= _LONGEST)


@dataclass(slots=True, eq=False, repr=False)
class PlainResults:
    """The items of a chunk that gave plain values, and of which nothing else is to be said.

    Attributes
    ----------
    positions
        Their positions in the chunk.
    values
        What they gave, until `finish`.
    contents
        The digests of that, joined.
    payloads
        The values as they stand in the store.
    seconds, peaks
        As in `ItemReceipt`.
    outputs
        By position, what items printed, of those that did.
    records
        Their records, until these are filed.
    """

    positions: list[int] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    contents: bytes = b""
    payloads: list[bytes] = field(default_factory=list)
    seconds: array[float] = field(default_factory=lambda: array("d"))
    peaks: array[int] = field(default_factory=lambda: array("q"))
    outputs: dict[int, str] = field(default_factory=dict)
    records: PlainRecords | None = None

    def add(self, receipt: ItemReceipt) -> None:
        """An item gave a plain value, the last of `values`."""
        self.positions.append(receipt.position)
        self.seconds.append(receipt.seconds)
        self.peaks.append(receipt.peak_memory)
        if receipt.output:
            self.outputs[receipt.position] = receipt.output

    def finish(self, columns: Callable[[Sequence[int]], tuple[bytes, tuple[tuple[str, bytes], ...]]]) -> None:
        """No more are to come: make what is sent and filed.

        Parameters
        ----------
        columns
            Gives keys and arguments as `PlainRecords` has them, for positions.
        """
        values, self.values = self.values, []
        digests = digest_scalars(values)
        assert digests is not None, "plain values are scalars"
        self.contents, self.payloads = b"".join(digests), inline_scalars(values)
        keys, arguments = columns(self.positions)
        self.records = PlainRecords(keys, self.contents, self.payloads, arguments, self.seconds, self.peaks)

    def nbytes(self) -> list[int]:
        """The sizes of the values, as those of others are counted."""
        return [len(payload) - 1 for payload in self.payloads]

    def stored(self) -> Iterator[Stored]:
        """What each item gave, as of others."""
        for number, (payload, nbytes) in enumerate(zip(self.payloads, self.nbytes(), strict=True)):
            yield Stored(self.contents[32 * number : 32 * number + 32], (), None, Inline(payload), nbytes)

    def take_records(self) -> tuple[PlainRecords, ...]:
        """The records that are to be filed, for whoever files them."""
        records, self.records = self.records, None
        return () if records is None else (records,)
