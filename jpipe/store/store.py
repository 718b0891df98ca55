"""The store: results and the records that name them, kept in a folder so that nothing is lost and nothing is wrong."""

from __future__ import annotations

import contextlib
import functools
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blake3 import blake3

from jpipe.digest import digest
from jpipe.store.best_effort import Saving
from jpipe.store.care.merge_packs import merge_small
from jpipe.store.care.prune import GRACE, Pruned, default_limit, prune
from jpipe.store.care.removal import clear, remove
from jpipe.store.care.roots import mark_reached, pin
from jpipe.store.care.usage import Entry, FamilyUse, Size, entries, families, foreign, measure
from jpipe.store.care.verify import Verified, verify
from jpipe.store.disk.cache_folder import Folder, open_folder
from jpipe.store.disk.locks import Lock
from jpipe.store.disk.signing import SigningKey
from jpipe.store.durability import sync_files
from jpipe.store.format.compress import method_of
from jpipe.store.format.encode import encode, pack_inline, unpack_inline
from jpipe.store.format.memory_map import Mode
from jpipe.store.format.pack import PackBuilder
from jpipe.store.format.records import (
    NO_CODE,
    BlobPlace,
    Held,
    Inline,
    NewRecord,
    PackPlace,
    PlainRecords,
    Published,
    PutOptions,
    Stored,
    UnreadableEntry,
    Where,
)
from jpipe.store.inline_values import PayloadReader, places_in
from jpipe.store.notes import NoteKind, forget_note, note_names, note_place, read_note, write_note
from jpipe.store.open_folder import Disk
from jpipe.store.record_index import SUFFIX, Family

if TYPE_CHECKING:
    from jpipe.store.remote.remote import Remote

__all__ = ["Store"]

INLINE_UP_TO = 16 * 1024
"""Encoded values of at most this many bytes stand in the pack itself."""
_DEFAULTS = PutOptions()


class Store:
    """Results on disk. Made by `Store.open`; picklable, and usable from any thread.

    Parameters
    ----------
    disk
        The checked folder and what writes there.

    Attributes
    ----------
    saving
        What bears a full disk and the like; a run has it keep its complaints to itself, and tells them as its own.
    remote
        The remote cache, where there is one: it does not go along to workers.
    carried
        The bytes of small values that are in packs of another cache, by their places there.
    """

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self.saving = Saving(disk)
        self.remote: Remote | None = None
        self.carried: dict[Where, bytes] = {}
        self._families: dict[bytes, Family] = {}
        self._pending: dict[str, None] = {}
        self._durable_folders: set[str] = set()
        self._lock = threading.Lock()
        self._pin: Lock | None = None

    @classmethod
    def open(cls, folder: Path, *, create: bool = True, key: SigningKey | None = None) -> Store:
        """The store in `folder`.

        Parameters
        ----------
        folder
            The cache folder.
        create
            Whether to make it if it is not there.
        key
            The signing key. Default: this user's, `SigningKey.load`.

        Raises
        ------
        CacheFolderError
            If the folder is not jpipe's or not safe; the hint says what to do.
        NewerFormatError
            If a newer jpipe wrote it.
        CacheError
            If the signing key cannot be used.
        """
        key = key or SigningKey.load()
        return cls(Disk.of(open_folder(folder, create=create, shared=key.shared), key))

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopened, (self.disk.folder, self.disk.key, self.saving.quiet, self.carried)

    @functools.cached_property
    def root(self) -> Path:
        """The cache folder."""
        return Path(self.disk.folder.root)

    @property
    def parsed(self) -> str:
        """Where what parsing told of the user's source files is kept."""
        return self.disk.folder.path("parsed")

    def family(self, digest: bytes) -> Family:
        """The records of a fingerprint; the same object for the life of this store."""
        family = self._families.get(digest)
        if family is None:
            if len(digest) != 32:
                raise ValueError(f"a fingerprint has 32 bytes, not {len(digest)}")
            fresh = Family(digest, self.disk.family_folder(digest), self.disk.key)
            family = self._families.setdefault(digest, fresh)
        return family

    def put(
        self,
        value: Any,
        *,
        options: PutOptions = _DEFAULTS,
        parts: bool = False,
        hashers: Mapping[type, Callable[[Any], Any]] | None = None,
        fingerprint: Any = None,
    ) -> Stored:
        """Write a value; no record names it yet.

        Parameters
        ----------
        value
            Any value that can be pickled.
        options
            How to write it.
        parts, hashers, fingerprint
            As in `jpipe.digest.digest`.

        Returns
        -------
        What `publish` needs. If the value could not be written (disk full, read-only cache), there is a warning and it
        is kept in memory.

        Raises
        ------
        UnstorableResult
            If it cannot be pickled.
        UndigestibleError
            If it cannot be told from other values.
        """
        encoded = encode(value, method_of(options.compress) if options.compress else None)
        size = encoded.nbytes
        in_buffers = size - len(encoded.stream)
        mapped = bool(encoded.buffers) and options.max_nbytes is not None and in_buffers >= options.max_nbytes
        where: Where
        paths: tuple[str, ...] = ()
        if size <= INLINE_UP_TO and not mapped:
            where = Inline(pack_inline(encoded))
        else:
            blob = self.saving(lambda: self.disk.blobs.write(encoded, mapped=mapped), size)
            where = Held(pack_inline(encoded), is_encoded=True) if blob is None else BlobPlace(blob)
            paths = () if blob is None else (self.disk.relative(self.disk.blobs.path(blob)),)
            self._pending.update(dict.fromkeys(paths))
        told = digest(value, fingerprint=fingerprint, hashers=hashers, parts=parts, buffers=encoded.addresses())
        return Stored(told.content, told.code, told.parts, where, size, paths, told.part_code or NO_CODE)

    def load(self, where: Where, *, mmap_mode: Mode = "c") -> Any:
        """The value at a place.

        Parameters
        ----------
        where
            From a `Record` or a `Stored`.
        mmap_mode
            How large arrays come: ``"c"`` mapped, and writable without effect on the store; ``"r"`` mapped, read-only;
            None as copies in memory.

        Raises
        ------
        MissingEntry
            If it is not there. `CorruptEntry` if it was damaged and was set aside; `UnreadableEntry` if it is sound
            but cannot be unpickled here. To a reader all are misses.
        """
        self.bring([where])
        with PayloadReader(self.disk, self.family) as reader:
            return self._load(where, mmap_mode, reader)

    def load_many(self, places: Iterable[Where], *, mmap_mode: Mode = "c") -> list[Any]:
        """The values at many places, as `load` gives each; quick for small ones that were written together."""
        places = list(places)
        self.bring(places)
        with PayloadReader(self.disk, self.family) as reader:
            return [self._load(where, mmap_mode, reader) for where in places]

    def bring(self, places: Iterable[Where]) -> None:
        """Have values here that are only in the remote cache; those that cannot be had stay missing."""
        if self.remote is not None:
            self.remote.fetch(places)

    def has(self, where: Where) -> bool:
        """Whether a value can be had: a blob is looked into only if its file was touched since it was written."""
        if not isinstance(where, BlobPlace) or self.disk.blobs.is_sound(where.id):
            return True
        return self.remote is not None and self.remote.offers(where.id)

    def publish(self, family: bytes, entries: Sequence[NewRecord], columns: Iterable[PlainRecords] = ()) -> Published:
        """Write records of finished calls, all in one pack.

        Parameters
        ----------
        family
            The fingerprint that they have in common.
        entries
            Records to write; those whose value is only held in memory are left out.
        columns
            More of them, whose places are not asked for.
        """
        builder = PackBuilder(family)
        now = time.time()
        for entry in entries:
            where = entry.stored.where
            if isinstance(where, Inline):
                builder.add(entry, where.payload, blake3(where.payload).digest(), now)
            elif isinstance(where, BlobPlace):
                builder.add(entry, None, where.id, now)
            elif isinstance(where, PackPlace):
                builder.add(entry, self.payload(where), where.check, now)
        for column in columns:
            builder.add_plain(column, now)
        places = [entry.stored.where for entry in entries]
        paths = [path for entry in entries for path in entry.stored.paths]
        pack = self.saving(lambda: self._write_pack(builder), 4096) if builder.keys else None
        if pack is not None:
            paths.append(self.disk.relative(f"{self.disk.family_folder(family)}/{pack}"))
            self._pending[paths[-1]] = None
            places = places_in(entries, pack, builder)
        return Published(places, paths)

    def sync(self, paths: Iterable[str] | None = None) -> tuple[str, ...]:
        """Wait until files are on the disk.

        Parameters
        ----------
        paths
            What `publish` returned, in this process or in another. Default: all that this process wrote.

        Returns
        -------
        Those that the disk lost; what they held is a miss from now on.
        """
        wanted = self.take_pending() if paths is None else tuple(paths)
        for path in wanted:
            self._pending.pop(path, None)
        lost = sync_files(self.disk, wanted, self._durable_folders)
        self.merge({self.disk.family_of(path) for path in wanted if path.startswith("families/")})
        return lost

    def take_pending(self) -> tuple[str, ...]:
        """The files written by this process since the last time, for another process to `sync`."""
        with self._lock:
            pending, self._pending = self._pending, {}
        return tuple(pending)

    def write_note(self, kind: NoteKind, name: bytes, data: bytes) -> bool:
        """Write a small signed file in place of an older one; says whether that was possible."""
        return self.saving(lambda: write_note(self.disk, kind, name, data), len(data)) is not None

    def read_note(self, kind: NoteKind, name: bytes) -> bytes | None:
        """The content of a note; None if there is none that this user's key has signed."""
        return read_note(self.disk, kind, name)

    def note_place(self, kind: NoteKind, name: bytes) -> str:
        """The file of a note."""
        return note_place(self.disk, kind, name)

    def forget_note(self, kind: NoteKind, name: bytes) -> None:
        """Remove a note, if it is there."""
        with contextlib.suppress(OSError):
            forget_note(self.disk, kind, name)

    def notes(self, kind: NoteKind) -> Iterator[bytes]:
        """The names of all notes of a kind."""
        return note_names(self.disk, kind)

    def pin(self) -> None:
        """Show as long as this store is in use that a run is alive: pruning leaves alone what it may be using."""
        if self._pin is None:
            self._pin = pin(self.disk)
            if self._pin is not None:
                weakref.finalize(self, self._pin.release, remove=True)

    def mark_reached(self, pipeline: bytes, run: bytes, families: Mapping[bytes, Iterable[bytes] | None]) -> None:
        """Note what a run reached: keys by family, None for all of a family. The last three of a pipeline are kept."""
        self.saving(lambda: mark_reached(self.disk, pipeline, run, families), 0)

    def size(self) -> Size:
        """How large the cache is."""
        return measure(self.disk)

    def entries(self) -> Iterator[Entry]:
        """All records."""
        return entries(self.disk)

    def families(self) -> dict[bytes, FamilyUse]:
        """All families, with how many records they have, how large, and when they were used."""
        return families(self.disk)

    def foreign(self) -> tuple[int, int]:
        """How many packs are signed with another key than this user's, and how many results they say to have."""
        return foreign(self.disk)

    def prune(self, limit: int | None = None, *, grace: float = GRACE) -> Pruned:
        """Make the cache at most `limit` bytes large; default: the lesser of 50 GiB and a fifth of the disk.

        What was used in the last `grace` seconds stays, what the last runs reached, and what other runs may be using.
        """
        most = default_limit(self.disk) if limit is None else limit
        return prune(self.disk, most, grace=grace, own_pin=self._pin.path if self._pin else None)

    def verify(self, *, repair: bool = False) -> Verified:
        """Check every byte, and mend what can be mended; see `jpipe.store.care.verify.verify`."""
        verified = verify(self.disk, repair=repair, elsewhere=None if self.remote is None else self.remote.keeps)
        if repair:
            self._families.clear()
        return verified

    def remove(self, family: bytes, keys: set[bytes]) -> None:
        """Remove records, and the values that no other record has."""
        remove(self.disk, family, keys)
        self._families.pop(family, None)

    def clear(self, families: Iterable[bytes] | None = None) -> None:
        """Remove all records of some families, or everything."""
        clear(self.disk, families)
        self._families.clear()

    def merge(self, families: Iterable[bytes]) -> None:
        """Merge the packs of families that have very many."""
        for family in families:
            with contextlib.suppress(OSError):
                merge_small(self.disk, family)

    def _write_pack(self, builder: PackBuilder) -> str:
        chunks = builder.chunks(self.disk.key)
        name = blake3(chunks[0] + chunks[1]).hexdigest(20) + SUFFIX
        self.disk.writer.publish(self.disk.family_folder(builder.family), name, chunks)
        family = self._families.get(builder.family)
        if family is not None:
            family.added(name)
        return name

    def _load(self, where: Where, mmap_mode: Mode, reader: PayloadReader) -> Any:
        if isinstance(where, BlobPlace):
            return self.disk.blobs.load(where.id, mmap_mode)
        if isinstance(where, Held) and not where.is_encoded:
            return where.value
        payload = self.carried.get(where) if self.carried else None
        if payload is None:
            payload = reader.payload(where) if isinstance(where, PackPlace) else _bytes_in(where)
        try:
            return unpack_inline(payload)
        except MemoryError:
            raise
        except Exception as error:
            raise UnreadableEntry(f"the result cannot be unpickled: {type(error).__name__}: {error}") from error

    def payload(self, place: PackPlace) -> bytes:
        """The bytes of a small value."""
        with PayloadReader(self.disk, self.family) as reader:
            return reader.payload(place)


def _reopened(folder: Folder, key: SigningKey, quiet: bool, carried: dict[Where, bytes]) -> Store:
    store = Store(Disk.of(folder, key))
    store.saving.quiet, store.carried = quiet, carried
    return store


def _bytes_in(where: Inline | Held) -> bytes:
    return where.payload if isinstance(where, Inline) else where.value
