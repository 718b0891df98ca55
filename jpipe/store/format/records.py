"""The values that pass between the store and the rest of jpipe: records, places, and what was stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from jpipe.digest import Code
from jpipe.files import Read

__all__ = [
    "NO_CODE",
    "BlobPlace",
    "CacheWarning",
    "Code",
    "CorruptEntry",
    "Held",
    "Inline",
    "MissingEntry",
    "NewRecord",
    "PackPlace",
    "PlainRecords",
    "Published",
    "PutOptions",
    "Read",
    "Record",
    "Stored",
    "UnreadableEntry",
    "Where",
]

Arguments = tuple[tuple[str, bytes], ...]


class MissingEntry(LookupError):
    """A result that is not in the store: for its reader a miss."""


class CorruptEntry(MissingEntry):
    """A result whose bytes are not what was written; it has been set aside, so that a new one can take its place."""


class UnreadableEntry(MissingEntry):
    """A sound result that cannot be unpickled here, most often because a class of it was renamed or removed."""


class CacheWarning(UserWarning):
    """The cache could not keep something; the results themselves are not affected."""


class Inline(NamedTuple):
    """A small value, as its encoded bytes."""

    payload: bytes
    kind: str = "inline"
    """Keeps it apart from another kind of place with equal fields."""


class PackPlace(NamedTuple):
    """A small value in a pack: `length` bytes at `offset` of the file, whose BLAKE3 is `check`.

    A tuple, like `Record`, because a hundred thousand of them are made at once: a frozen dataclass takes five times
    as long to make.
    """

    family: bytes
    key: bytes
    pack: str
    offset: int
    length: int
    check: bytes


class BlobPlace(NamedTuple):
    """A value in a blob file of its own; `id` is the BLAKE3 of its control section."""

    id: bytes
    kind: str = "blob"


@dataclass(frozen=True, slots=True)
class Held:
    """A value that could not be written and is kept in memory; it goes wherever its `Stored` goes.

    Where it could at least be encoded, it is: then it can be loaded like any other, each time as an object of its own,
    so that a step which changes it changes it for nobody else.
    """

    value: Any
    is_encoded: bool = False


Where = Inline | PackPlace | BlobPlace | Held

NO_CODE: Mapping[Any, Code] = {}
"""One for all values without code in their parts, so that it is sent and kept once."""


class PutOptions(NamedTuple):
    """How a value is written.

    Parameters
    ----------
    max_nbytes
        Values whose arrays are of this size or more together, in bytes, are memory-mapped when loaded; None: never.
    compress
        joblib's: 0 to 9, a method name, or (method, level). Compressed values are not mapped.
    """

    max_nbytes: int | None = 1024**2
    compress: bool | int | str | tuple[str, int] = 0


class Stored(NamedTuple):
    """A value that was put into the store and that no record names yet.

    Parameters
    ----------
    content
        Digest of the value, 32 bytes.
    code
        (module, qualified name) of the user's own classes and functions inside.
    parts
        Digests of the value's parts by index or name, where they were asked for.
    where
        Where its bytes are.
    nbytes
        Size of the encoded value in bytes.
    paths
        Files written for it that are not known to be on the disk yet, for `Store.sync`.
    part_code
        The code inside each part that has some.
    """

    content: bytes
    code: Code
    parts: dict[Any, bytes] | None
    where: Where
    nbytes: int
    paths: tuple[str, ...] = ()
    part_code: Mapping[Any, Code] = NO_CODE

    def at(self, where: Where) -> Stored:
        """The same value after it got a place."""
        return self._replace(where=where)


class NewRecord(NamedTuple):
    """A record to be published: the call `key` gave `stored`.

    `arguments` are (parameter name, digest); `seconds` wall time; `peak_memory` bytes; `extra` anything small that
    shall come back with the record.
    """

    key: bytes
    stored: Stored
    arguments: Arguments = ()
    reads: tuple[Read, ...] = ()
    seconds: float = 0.0
    peak_memory: int = 0
    extra: bytes = b""


class PlainRecords(NamedTuple):
    """Records of many calls that gave small values and read no file, in columns.

    Parameters
    ----------
    keys, contents
        As in `NewRecord` and `Stored`, joined.
    payloads
        The values as `Inline` has them.
    arguments
        (parameter name, the digests of all calls, joined).
    seconds, peaks
        As in `NewRecord`.
    """

    keys: bytes
    contents: bytes
    payloads: Sequence[bytes]
    arguments: tuple[tuple[str, bytes], ...]
    seconds: Sequence[float]
    peaks: Sequence[int]


class Published(NamedTuple):
    """What became of records that were published.

    Parameters
    ----------
    places
        For each of them, where its value is now.
    paths
        The files that `Store.sync` has to wait for before the results count as safe.
    """

    places: list[Where]
    paths: list[str]


class Record(NamedTuple):
    """A finished call: its key and its result.

    `created` is seconds since 1970; the rest is as in `NewRecord` and `Stored`.
    """

    key: bytes
    content: bytes
    code: Code
    parts: dict[Any, bytes] | None
    part_code: dict[Any, Code]
    arguments: Arguments
    reads: tuple[Read, ...]
    seconds: float
    peak_memory: int
    nbytes: int
    created: float
    where: Where
    extra: bytes
