"""A family: all records of calls with one fingerprint of code, indexed by key in memory."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, overload

from jpipe.store.disk import system
from jpipe.store.disk.signing import SigningKey
from jpipe.store.format.pack import ForeignPack, Segment, TornPack, read_pack
from jpipe.store.format.plain_columns import key_columns, plain_columns
from jpipe.store.format.records import MissingEntry, PackPlace, Record, Where
from jpipe.store.key_table import NONE, SEVERAL, KeyTable

__all__ = ["Family", "Matches", "Together"]

SUFFIX = ".pack"
_LARGE = 4 << 20
_MARK_USED_EVERY = 3600.0
_TRIES = 10


@dataclass(slots=True, eq=False, repr=False)
class _Index:
    """Entries are numbered through all segments: `bases` holds the first number of each."""

    packs: dict[str, list[Segment]] = field(default_factory=dict)
    segments: list[Segment] = field(default_factory=list)
    bases: list[int] = field(default_factory=list)
    table: KeyTable = field(default_factory=KeyTable)
    damaged: set[int] = field(default_factory=set)

    @property
    def count(self) -> int:
        """How many entries there are."""
        return len(self.table)

    def add(self, pack: str, segments: list[Segment]) -> None:
        self.packs[pack] = segments
        for segment in segments:
            self.segments.append(segment)
            self.bases.append(self.count)
            self.damaged.update(self.count + entry for entry in segment.damaged)
            self.table.add(segment.key_column())

    def locate(self, number: int) -> tuple[Segment, int]:
        """The segment of an entry, and its number there."""
        position = bisect_right(self.bases, number) - 1
        return self.segments[position], number - self.bases[position]

    def numbers(self, key: bytes) -> list[int]:
        """The sound entries of a key."""
        return [number for number in self.table.numbers(key) if number not in self.damaged]

    def candidates(self, numbers: Sequence[int]) -> tuple[Record, ...]:
        """The records of entries of one key, newest first."""
        records = [segment.record(entry) for segment, entry in map(self.locate, numbers)]
        if len(records) < 2:
            return tuple(records)
        records.sort(key=lambda record: record.created, reverse=True)
        different = {(r.created, r.content, r.reads): r for r in reversed(records)}
        return tuple(sorted(different.values(), key=lambda record: record.created, reverse=True))


class Family:
    """The records of one fingerprint, as last read from disk.

    Parameters
    ----------
    digest
        The fingerprint, 32 bytes.
    folder
        Where its packs are; it need not exist.
    key
        The key that has signed them.

    Notes
    -----
    Nothing is read before the first question; after that only `refresh` looks at the disk again.
    """

    def __init__(self, digest: bytes, folder: str, key: SigningKey) -> None:
        self.digest = digest
        self.folder = folder
        self._key = key
        self._lock = threading.RLock()
        self._index: _Index | None = None
        self._refused: set[str] = set()
        self._foreign: list[str] = []
        self._foreign_keys: set[bytes] | None = None
        self._used: dict[str, float] = {}
        self._added: list[str] = []

    def find(self, key: bytes) -> tuple[Record, ...]:
        """The records of a call, newest first; several if it read different files."""
        index = self._loaded()
        numbers = index.numbers(key)
        self._mark_used({index.locate(number)[0].pack for number in numbers})
        return index.candidates(numbers)

    def find_many(self, keys: Sequence[bytes]) -> Matches:
        """The records of many calls at once."""
        index = self._loaded()
        matches = Matches(index, keys, index.table.find(keys))
        self._mark_used(matches.packs())
        return matches

    def present(self, keys: Sequence[bytes]) -> set[bytes]:
        """Those of `keys` that have a record, without taking a large family into memory for it.

        Of a large one only the columns of keys are gone through, and nothing vouches for them: for messages only.
        """
        if self._index is None and self._is_large():
            return self._gone_through(keys)
        index = self._loaded()
        return {key for key in keys if index.numbers(key)}

    def _is_large(self) -> bool:
        sizes = (entry.stat().st_size for entry in system.scan(self.folder) if entry.name.endswith(SUFFIX))
        try:
            return sum(sizes) > _LARGE
        except OSError:
            return False

    def _gone_through(self, keys: Sequence[bytes]) -> set[bytes]:
        starts = {int.from_bytes(key[:8], sys.byteorder) for key in keys}
        found: set[bytes] = set()
        for name in self._listed():
            with contextlib.suppress(OSError, TornPack):
                for column in key_columns(f"{self.folder}/{name}"):
                    words = array("Q")
                    words.frombytes(column)
                    hits = [number for number, start in enumerate(words[::4]) if start in starts]
                    found.update(column[32 * number : 32 * number + 32] for number in hits)
        return found.intersection(keys)

    def is_foreign(self, key: bytes | None) -> bool:
        """Whether a record of the call was signed with another key; for None, whether one of any call was.

        Nothing vouches for such a record, so this is for messages only.
        """
        self._loaded()
        if key is None or not self._foreign:
            return bool(self._foreign)
        if self._foreign_keys is None:
            self._foreign_keys = set()
            for name in self._foreign:
                with contextlib.suppress(OSError, TornPack):
                    for segment in read_pack(f"{self.folder}/{name}", self.digest, name, None):
                        self._foreign_keys.update(segment.keys())
        return key in self._foreign_keys

    def records(self) -> Iterator[Record]:
        """All records, in no order."""
        for segment in list(self._loaded().segments):
            for entry in range(segment.count):
                if entry not in segment.damaged:
                    yield segment.record(entry)

    def keys(self) -> set[bytes]:
        """The keys of all records."""
        index = self._loaded()
        keys = index.table.distinct()
        return keys if not index.damaged else {key for key in keys if index.numbers(key)}

    def __len__(self) -> int:
        return self._loaded().count

    def packs(self) -> list[str]:
        """The names of the packs that were read."""
        return list(self._loaded().packs)

    def segments(self, pack: str) -> list[Segment]:
        """What is in a pack that was read; nothing where it is gone."""
        return self._loaded().packs.get(pack, [])

    def refresh(self) -> bool:
        """Read packs that other processes published since the last time; says whether anything is different."""
        with self._lock:
            return self._read_folder()

    def added(self, pack: str) -> None:
        """This process published `pack`: it is taken in with the next question, if the family was read at all."""
        with self._lock:
            if self._index is not None and pack not in self._index.packs:
                self._added.append(pack)

    def locate(self, place: PackPlace) -> PackPlace:
        """Where a value is now whose pack was merged into another one.

        Raises
        ------
        MissingEntry
            If it is nowhere.
        """
        self.refresh()
        index = self._loaded()
        for segment, entry in map(index.locate, index.numbers(place.key)):
            row = segment.row(entry)
            if row.check == place.check and row.offset is not None and segment.pack != place.pack:
                found = segment.place_of(entry)
                assert isinstance(found, PackPlace)
                return found
        raise MissingEntry(f"no record has the value {place.check.hex()} any more")

    def _loaded(self) -> _Index:
        if self._index is None:
            self.refresh()
            assert self._index is not None
        elif self._added:
            with self._lock:
                added, self._added = self._added, []
                self._read_packs(self._index, [pack for pack in added if pack not in self._index.packs])
        return self._index

    def _read_folder(self) -> bool:
        changed = False
        self._added = []
        for _ in range(_TRIES):
            names = self._listed()
            index = self._index
            if index is None or index.packs.keys() - names:
                index = self._without_vanished(names)
                changed = True
            count = index.count
            vanished = self._read_packs(index, sorted(names - index.packs.keys() - self._refused))
            changed = changed or index.count != count
            self._index = index
            if not vanished:
                break
        return changed

    def _listed(self) -> set[str]:
        try:
            return {name for name in system.listdir(self.folder) if name.endswith(SUFFIX)}
        except (FileNotFoundError, NotADirectoryError):
            return set()
        except OSError:
            return set(self._index.packs) if self._index else set()

    def _without_vanished(self, names: set[str]) -> _Index:
        fresh = _Index()
        for pack, segments in self._index.packs.items() if self._index else ():
            if pack in names:
                fresh.add(pack, segments)
        return fresh

    def _read_packs(self, index: _Index, names: list[str]) -> bool:
        """Take packs into `index`; says whether one had vanished. What cannot be read now may be readable later."""
        missed = False
        for name in names:
            try:
                index.add(name, read_pack(f"{self.folder}/{name}", self.digest, name, self._key, has_readers=True))
            except ForeignPack:
                self._refused.add(name)
                self._foreign.append(name)
                self._foreign_keys = None
            except TornPack:
                self._refused.add(name)
                self._set_aside(name)
            except FileNotFoundError:
                missed = True
            except OSError:
                continue
        index.table.settle()
        return missed

    def _set_aside(self, name: str) -> None:
        """Move a damaged pack out of the way; its results are computed again."""
        quarantine = f"{self.folder.rsplit('/', 3)[0]}/quarantine"
        with contextlib.suppress(OSError):
            system.replace(f"{self.folder}/{name}", f"{quarantine}/{name}")

    def _mark_used(self, packs: set[str]) -> None:
        """Note on disk, at most once an hour, that packs are in use: what was not used for longest is pruned first."""
        now = time.time()
        for pack in packs:
            if now - self._used.get(pack, 0.0) < _MARK_USED_EVERY:
                continue
            self._used[pack] = now
            path = f"{self.folder}/{pack}"
            try:
                if now - system.lstat(path).st_mtime > _MARK_USED_EVERY:
                    system.utime(path)
            except OSError:
                continue


class Together(NamedTuple):
    """What is known of very many keys at once; keys by their position.

    Parameters
    ----------
    unrecorded
        Those that have no record.
    plain
        Those that have a single one that needs no closer look.
    contents, nbytes, seconds
        Of these, the digests, joined, and the sums of bytes and seconds.
    others
        All others.
    """

    unrecorded: list[int]
    plain: list[int]
    contents: bytes
    others: list[int]
    nbytes: int
    seconds: float


class Matches(Sequence[tuple[Record, ...]]):
    """What `Family.find_many` found: item *i* is what `Family.find` gives for the *i*-th key, made when asked for.

    `plain` and `places` answer for all keys at once without making records.
    """

    def __init__(self, index: _Index, keys: Sequence[bytes], numbers: list[int]) -> None:
        self._index = index
        self._keys = keys
        self._numbers = numbers if not index.damaged else [SEVERAL if n in index.damaged else n for n in numbers]

    def __len__(self) -> int:
        return len(self._keys)

    @overload
    def __getitem__(self, item: int) -> tuple[Record, ...]: ...
    @overload
    def __getitem__(self, item: slice) -> list[tuple[Record, ...]]: ...
    def __getitem__(self, item: int | slice) -> tuple[Record, ...] | list[tuple[Record, ...]]:
        if isinstance(item, slice):
            return [self[i] for i in range(*item.indices(len(self)))]
        number = self._numbers[item]
        if number == NONE:
            return ()
        return self._index.candidates([number] if number != SEVERAL else self._index.numbers(self._keys[item]))

    @property
    def is_empty(self) -> bool:
        """Whether none of the keys has a record."""
        return not self._index.count or self._numbers.count(NONE) == len(self._numbers)

    def together(self) -> Together:
        """Of very many keys at once, which have no record, and what `plain` says of the others."""
        import numpy as np

        numbers = np.array(self._numbers, np.int64)
        single = np.flatnonzero(numbers >= 0)
        owners = np.searchsorted(np.array(self._index.bases), numbers[single], "right") - 1
        is_plain = np.zeros(len(numbers), bool)
        contents = np.zeros(len(numbers), "V32")
        nbytes, seconds = 0, 0.0
        for owner in np.unique(owners).tolist():
            positions = single[owners == owner]
            columns = plain_columns(self._index.segments[owner], numbers[positions] - self._index.bases[owner])
            is_plain[positions], contents[positions] = columns.is_plain, columns.contents
            nbytes, seconds = nbytes + columns.nbytes, seconds + columns.seconds
        is_open = ~is_plain & (numbers != NONE)
        unrecorded, plain, others = (np.flatnonzero(which).tolist() for which in (numbers == NONE, is_plain, is_open))
        return Together(unrecorded, plain, contents[is_plain].tobytes(), others, nbytes, seconds)

    def plain(self) -> Iterator[tuple[bytes, int, float] | None]:
        """By position: digest, bytes and seconds of what needs no closer look: a single record, see `Segment.plain`."""
        return (None if segment is None else segment.plain(entry) for segment, entry in self._located())

    def places(self) -> Iterator[tuple[bytes, Where] | None]:
        """By position: digest and place of the value of a key that has a single record, None for others."""
        for segment, entry in self._located():
            yield None if segment is None else (segment.content(entry), segment.place_of(entry))

    def packs(self) -> set[str]:
        """The packs that hold the records."""
        if len(self._index.packs) == 1:
            return set(self._index.packs)
        found = {segment.pack for segment, _ in self._located() if segment is not None}
        several = [key for key, number in zip(self._keys, self._numbers, strict=True) if number == SEVERAL]
        return found.union(self._index.locate(n)[0].pack for key in several for n in self._index.numbers(key))

    def _located(self) -> Iterator[tuple[Segment, int] | tuple[None, int]]:
        """Segment and number of each single entry, quick for runs of keys that lie in one segment."""
        low, high, segment = 0, 0, None
        for number in self._numbers:
            if number < 0:
                yield None, 0
                continue
            if not low <= number < high:
                segment, entry = self._index.locate(number)
                low = number - entry
                high = low + segment.count
            assert segment is not None
            yield segment, number - low
