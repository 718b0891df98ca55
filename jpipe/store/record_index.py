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
from typing import overload

from jpipe.store.disk import system
from jpipe.store.disk.signing import SigningKey
from jpipe.store.format.pack import ForeignPack, Segment, TornPack, key_columns, read_pack
from jpipe.store.format.records import MissingEntry, PackPlace, Record, Where

__all__ = ["Family", "Matches"]

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
    count: int = 0
    newest: dict[bytes, int] = field(default_factory=dict)
    older: dict[bytes, list[int]] = field(default_factory=dict)

    def add(self, pack: str, segments: list[Segment]) -> None:
        self.packs[pack] = segments
        for segment in segments:
            self.segments.append(segment)
            self.bases.append(self.count)
            keys = segment.keys()
            numbers = range(self.count, self.count + segment.count)
            self.count += segment.count
            fresh = dict(zip(keys, numbers, strict=True))
            whole = len(fresh) == len(keys) and not segment.damaged
            if whole and self.newest.keys().isdisjoint(fresh):
                self.newest.update(fresh)
            else:
                self._add_one_by_one(segment, keys, numbers)

    def _add_one_by_one(self, segment: Segment, keys: list[bytes], numbers: range) -> None:
        for entry, (key, number) in enumerate(zip(keys, numbers, strict=True)):
            if entry in segment.damaged:
                continue
            other = self.newest.get(key)
            if other is None:
                self.newest[key] = number
                continue
            first, second = (other, number) if self._created(other) > self._created(number) else (number, other)
            self.newest[key] = first
            self.older.setdefault(key, []).append(second)

    def _created(self, number: int) -> float:
        segment, entry = self.locate(number)
        return segment.row(entry).created

    def locate(self, number: int) -> tuple[Segment, int]:
        """The segment of an entry, and its number there."""
        position = bisect_right(self.bases, number) - 1
        return self.segments[position], number - self.bases[position]

    def candidates(self, key: bytes, newest: int) -> tuple[Record, ...]:
        """The records of `key`, newest first; `newest` is the number of the newest."""
        others = self.older.get(key)
        if others is None:
            segment, entry = self.locate(newest)
            return (segment.record(entry),)
        records = [segment.record(entry) for segment, entry in map(self.locate, [newest, *others])]
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

    def find(self, key: bytes) -> tuple[Record, ...]:
        """The records of a call, newest first; several if it read different files."""
        index = self._loaded()
        newest = index.newest.get(key)
        if newest is None:
            return ()
        self._mark_used({index.locate(newest)[0].pack})
        return index.candidates(key, newest)

    def find_many(self, keys: Sequence[bytes]) -> Matches:
        """The records of many calls at once."""
        index = self._loaded()
        matches = Matches(index, keys, list(map(index.newest.get, keys)))
        self._mark_used(matches.packs())
        return matches

    def present(self, keys: Sequence[bytes]) -> set[bytes]:
        """Those of `keys` that have a record, without taking a large family into memory for it.

        Of a large one only the columns of keys are gone through, and nothing vouches for them: for messages only.
        """
        if self._index is None and self._is_large():
            return self._gone_through(keys)
        newest = self._loaded().newest
        return {key for key in keys if key in newest}

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
        return set(self._loaded().newest)

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
        """This process published `pack`: take it in, if the family was read at all."""
        with self._lock:
            if self._index is not None and pack not in self._index.packs:
                self._read_packs(self._index, [pack])

    def locate(self, place: PackPlace) -> PackPlace:
        """Where a value is now whose pack was merged into another one.

        Raises
        ------
        MissingEntry
            If it is nowhere.
        """
        self.refresh()
        index = self._loaded()
        newest = index.newest.get(place.key)
        numbers = [] if newest is None else [newest, *index.older.get(place.key, ())]
        for segment, entry in map(index.locate, numbers):
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
        return self._index

    def _read_folder(self) -> bool:
        changed = False
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
                index.add(name, read_pack(f"{self.folder}/{name}", self.digest, name, self._key))
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


class Matches(Sequence[tuple[Record, ...]]):
    """What `Family.find_many` found: item *i* is what `Family.find` gives for the *i*-th key, made when asked for.

    `plain` and `places` answer for all keys at once without making records.
    """

    def __init__(self, index: _Index, keys: Sequence[bytes], numbers: list[int | None]) -> None:
        self._index = index
        self._keys = keys
        self._numbers = numbers

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
        return () if number is None else self._index.candidates(self._keys[item], number)

    def plain(self) -> Iterator[tuple[bytes, int, float] | None]:
        """By position: digest, bytes and seconds of what needs no closer look: a single record, see `Segment.plain`."""
        older = self._index.older
        for key, (segment, entry) in zip(self._keys, self._located(), strict=True):
            yield None if segment is None or key in older else segment.plain(entry)

    def places(self) -> Iterator[tuple[bytes, Where] | None]:
        """By position: digest and place of the value of a key that has a single record, None for others."""
        older = self._index.older
        for key, (segment, entry) in zip(self._keys, self._located(), strict=True):
            yield None if segment is None or key in older else (segment.content(entry), segment.place_of(entry))

    def packs(self) -> set[str]:
        """The packs that hold the newest records."""
        if len(self._index.packs) == 1:
            return set(self._index.packs)
        return {segment.pack for segment, _ in self._located() if segment is not None}

    def _located(self) -> Iterator[tuple[Segment, int] | tuple[None, int]]:
        """Segment and number of each newest entry, quick for runs of keys that lie in one segment."""
        low, high, segment = 0, 0, None
        for number in self._numbers:
            if number is None:
                yield None, 0
                continue
            if not low <= number < high:
                segment, entry = self._index.locate(number)
                low = number - entry
                high = low + segment.count
            assert segment is not None
            yield segment, number - low
