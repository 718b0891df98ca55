"""The remote cache of a store: what it has of the families in use, and values that come when they are needed.

::

    <address>/v1/packs/<family>/<BLAKE3 of its bytes>.pack      records and small results, signed with the team's key
                 blobs/<2 digits>/<the other 62>                large results, named by their content

Both are written once and never changed. Nothing that comes from there counts before it was checked: a pack by its
name, its signature, which names its family too, and the digest of each value; a blob by its id, which a signed record
holds. What was checked is signed anew with this user's own key, and is a result of this cache from then on.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from blake3 import blake3

from jpipe.errors import RemoteCacheError
from jpipe.store.best_effort import Saving
from jpipe.store.disk import system
from jpipe.store.disk.signing import SigningKey
from jpipe.store.format.blob import blob_name
from jpipe.store.format.pack import ForeignPack, Segment, TornPack, parse_pack, resigned
from jpipe.store.format.records import BlobPlace, MissingEntry, PackPlace, Where
from jpipe.store.open_folder import Disk
from jpipe.store.record_index import SUFFIX, Family
from jpipe.store.remote.address import Address
from jpipe.store.remote.known import Known, marks_of, read_known, write_known
from jpipe.store.remote.transfers import SILENCE, in_parallel

__all__ = ["PURPOSE", "Arrived", "Refusal", "Remote", "Tell", "blob_object", "pack_object", "quiet"]

PURPOSE = "remote cache 1"
FIRST = 12.0
"""How long to wait for the first answer, seconds."""
MOST = 1 << 30
"""Packs of more bytes are not taken; none are written beyond a thirtieth of it."""
_PACK = re.compile(r"[0-9a-f]{40}\.pack")

Tell = Callable[[int, int, int], None]
"""Told of progress: transfers that ended, all of them, bytes so far."""


class Refusal(NamedTuple):
    """An object that was not taken, and why; `is_foreign` where it is sound, but another key's."""

    name: str
    why: str
    is_foreign: bool = False


class Arrived(NamedTuple):
    """What came: results and bytes."""

    results: int = 0
    nbytes: int = 0


def pack_object(family: bytes, pack: str) -> str:
    """The name of a pack there."""
    return f"v1/packs/{family.hex()}/{pack}"


def blob_object(blob: bytes) -> str:
    """The name of a blob there."""
    return "/".join(("v1/blobs", *blob_name(blob)))


def quiet(done: int, of: int, nbytes: int) -> None:
    """Tell nobody."""


class Remote:
    """What is at a remote address, as seen from one cache.

    Parameters
    ----------
    disk, saving, family
        Of the cache: what writes there, and gives the records of a family.
    address, key
        Where the remote cache is, and the key that its entries are signed with.

    Attributes
    ----------
    refused
        What was not taken.
    offline
        Why nothing can be had from there in this process any more; empty while it can.
    arrived
        What came.
    damaged
        Values there that are not what their name stands for.
    told
        The complaints that were told.
    """

    def __init__(
        self, disk: Disk, saving: Saving, family: Callable[[bytes], Family], address: Address, key: SigningKey
    ) -> None:
        self.disk = disk
        self.address = address
        self.key = key.for_use(PURPOSE)
        self.family = family
        self.refused: dict[str, Refusal] = {}
        self.offline = ""
        self.arrived = Arrived()
        self.damaged: set[bytes] = set()
        self.told: set[str] = set()
        self._saving = saving
        self._known: dict[bytes, Known] = {}
        self._offered: dict[bytes, None] = {}
        self._fetched: set[bytes] = set()
        self._absent: set[bytes] = set()
        self._was_heard = False

    # -- records -------------------------------------------------------------------------------------------------

    def bring(self, families: Iterable[bytes], tell: Tell = quiet) -> None:
        """Take in the records of families that this cache does not have; once a family, and nothing when offline."""
        wanted = [family for family in dict.fromkeys(families) if family not in self._known]
        if not wanted or self.offline:
            return
        try:
            self._bring(wanted, tell)
        except RemoteCacheError as error:
            self.offline = str(error)

    def known(self, family: bytes) -> Known:
        """What is known of a family there."""
        return self._known.get(family) or Known()

    def note(self, family: bytes, known: Known) -> None:
        """Keep what became known of a family."""
        self._known[family] = known
        with contextlib.suppress(OSError):
            write_known(self.disk, self.address.url, family, known)

    def _bring(self, wanted: Sequence[bytes], tell: Tell) -> None:
        self.address.open()
        silence = SILENCE if self._was_heard else FIRST
        news: list[tuple[bytes, str]] = []
        before = {family: self._still_known(family) for family in wanted}
        listed = in_parallel(lambda family: self.address.objects(f"v1/packs/{family.hex()}"), wanted, silence=silence)
        for family, names in listed:
            if isinstance(names, BaseException):
                raise names
            self._was_heard = True
            for name, size in names.items():
                if _PACK.fullmatch(name) and name not in before[family].packs:
                    if size <= MOST:
                        news.append((family, name))
                    else:
                        self._refuse(pack_object(family, name), "too large")
        nbytes = 0
        changed = set()
        read = in_parallel(lambda new: self.address.read(pack_object(*new)), news)
        for done, ((family, name), data) in enumerate(read):
            if isinstance(data, FileNotFoundError):
                continue
            if isinstance(data, BaseException):
                raise data
            nbytes += len(data)
            if self._adopt(family, name, data, before[family]):
                changed.add(family)
            tell(done + 1, len(news), nbytes)
        for family, known in before.items():
            self._known[family] = known
            if family in changed:
                self.note(family, known)
            self._offer(family, known)

    def _still_known(self, family: bytes) -> Known:
        """What is known of a family, without the packs there of which this cache has lost something."""
        known = read_known(self.disk, self.address.url, family)
        here = self.family(family)
        here.refresh()
        if known.settled <= set(here.packs()):
            return known
        mine = {mark for pack in here.packs() for mark in marks_of(here.segments(pack))}
        return known.without(known.marks() - mine)

    def _adopt(self, family: bytes, name: str, data: bytes, known: Known) -> bool:
        """Check a pack from there and make it one of this cache."""
        there = pack_object(family, name)
        try:
            if blake3(data).hexdigest(20) + SUFFIX != name:
                raise TornPack("it is cut off, or was changed after it was pushed")
            segments = parse_pack(data, family, name, self.key)
        except ForeignPack:
            return self._refuse(there, "it is signed with another key than remote_key", is_foreign=True)
        except TornPack as error:
            return self._refuse(there, "its signature is wrong" if "signature" in str(error) else str(error))
        chunks = resigned(data, segments, self.disk.key)
        pack = blake3(b"".join(chunks[:2])).hexdigest(20) + SUFFIX
        folder = self.disk.family_folder(family)
        if self._saving(lambda: (self.disk.writer.publish(folder, pack, chunks), True), len(data)) is None:
            return False
        self.family(family).added(pack)
        known.packs[name] = b"".join(marks_of(segments))
        known.settled.add(pack)
        known.unused.add(pack)
        self._count(sum(segment.count for segment in segments), len(data))
        return True

    # -- values --------------------------------------------------------------------------------------------------

    def offers(self, blob: bytes) -> bool:
        """Whether a value that is not here can be had from there."""
        return blob in self._offered and not self.offline

    def offered(self, families: Iterable[bytes]) -> list[bytes]:
        """The values of families that are there and not here."""
        blobs = {
            blob
            for family in families
            for pack in self.family(family).packs()
            for segment in self.family(family).segments(pack)
            for blob in segment.blobs()
        }
        return [blob for blob in blobs if self.offers(blob)]

    def fetch(self, places: Iterable[Where], tell: Tell = quiet) -> None:
        """Have values here that are only there; those that cannot be had are missing from now on."""
        wanted = dict.fromkeys(place.id for place in places if isinstance(place, BlobPlace))
        blobs = [b for b in wanted if b not in self._absent and not system.exists(self.disk.blobs.path(b))]
        if not blobs or self.offline:
            return
        nbytes = 0
        try:
            self.address.open()
            for done, (blob, problem) in enumerate(in_parallel(self._fetch, blobs)):
                if isinstance(problem, RemoteCacheError):
                    raise problem
                if isinstance(problem, BaseException):
                    self._missing(blob, problem)
                    self._offered.pop(blob, None)
                    self._absent.add(blob)
                    continue
                self._offered.pop(blob, None)
                size = system.lstat(self.disk.blobs.path(blob)).st_size
                nbytes += size
                self._fetched.add(blob)
                self._count(0, size)
                tell(done + 1, len(blobs), nbytes)
        except RemoteCacheError as error:
            self.offline = str(error)

    def _fetch(self, blob: bytes) -> None:
        self.disk.blobs.receive(blob, lambda path: self.address.fetch(blob_object(blob), path))

    def _missing(self, blob: bytes, problem: BaseException) -> None:
        name = blob_object(blob)
        if isinstance(problem, MissingEntry):
            self.damaged.add(blob)
            self._refuse(name, "its bytes are not what its name stands for")
        elif isinstance(problem, FileNotFoundError):
            if blob in self._offered:
                self._refuse(name, "it is not there, though a record names it")
        elif isinstance(problem, OSError):
            self._saving(lambda: _raise(problem), 0)
        else:
            raise problem

    def _offer(self, family: bytes, known: Known) -> None:
        """The values of a family that are there and not here."""
        here = self.family(family)
        there = known.marks() if known.packs and set(here.packs()) - known.settled else set()
        for pack in here.packs() if known.packs else ():
            for segment in here.segments(pack):
                for blob in segment.blobs() if pack in known.settled else _blobs_marked(segment, there):
                    if blob not in self._offered and not system.exists(self.disk.blobs.path(blob)):
                        self._offered[blob] = None

    def keeps(self, family: bytes, pack: str, blob: bytes) -> bool:
        """Whether a value that a pack of this cache names is there, as far as is known without asking."""
        if blob in self._absent:
            return False
        known = self._known.get(family) or read_known(self.disk, self.address.url, family)
        if pack in known.settled:
            return True
        there = known.marks()
        return any(blob in _blobs_marked(segment, there) for segment in self.family(family).segments(pack))

    # -- what is said --------------------------------------------------------------------------------------------

    def comes_from_there(self, where: Where) -> bool:
        """Whether a result came from there and no run has used it yet, or would still have to come."""
        if isinstance(where, BlobPlace):
            return where.id in self._fetched or where.id in self._offered
        if isinstance(where, PackPlace):
            return where.pack in self.known(where.family).unused
        return False

    def has_news(self, family: bytes) -> bool:
        """Whether anything of a family may come from there."""
        return bool(self._offered or self._fetched or self.known(family).unused)

    def used(self) -> None:
        """A run has used what came from there."""
        for family, known in self._known.items():
            if known.unused:
                known.unused = set()
                self.note(family, known)

    def _refuse(self, name: str, why: str, *, is_foreign: bool = False) -> bool:
        self.refused[name] = Refusal(name, why, is_foreign)
        return False

    def _count(self, results: int, nbytes: int) -> None:
        self.arrived = Arrived(self.arrived.results + results, self.arrived.nbytes + nbytes)


def _blobs_marked(segment: Segment, marks: set[bytes]) -> set[bytes]:
    """The large values of the results with one of these marks."""
    rows = map(segment.row, range(segment.count))
    marked = zip(rows, marks_of([segment]), strict=True)
    return {row.check for row, mark in marked if row.offset is None and mark in marks}


def _raise(error: BaseException) -> None:
    raise error
