"""An open cache folder: its parts that touch the disk, and where everything lies in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from jpipe.store.disk import system
from jpipe.store.disk.cache_folder import Folder
from jpipe.store.disk.publish import Writer
from jpipe.store.disk.signing import SigningKey
from jpipe.store.format.blob import Blobs, blob_id
from jpipe.store.record_index import SUFFIX
from jpipe.system.safe_paths import Entry

__all__ = ["Disk"]


class Disk(NamedTuple):
    """A checked folder, the key, and what writes there."""

    folder: Folder
    key: SigningKey
    writer: Writer
    blobs: Blobs

    @classmethod
    def of(cls, folder: Folder, key: SigningKey) -> Disk:
        """The parts of the cache in `folder`."""
        writer = Writer(folder)
        return cls(folder, key, writer, Blobs(writer, key))

    def family_folder(self, family: bytes) -> str:
        """Where the packs of a family are."""
        text = family.hex()
        return self.folder.path("families", text[:2], text[2:])

    def families(self) -> Iterator[tuple[bytes, str]]:
        """(digest, folder) of every family; links and names that are none of jpipe's are passed over."""
        for outer in system.scan(self.folder.path("families")):
            if len(outer.name) != 2 or not outer.is_folder:
                continue
            for inner in system.scan(outer.path):
                digest = blob_id(outer.name, inner.name)
                if digest is not None and inner.is_folder:
                    yield digest, inner.path

    def packs(self, folder: str) -> Iterator[Entry]:
        """The packs in the folder of a family."""
        for entry in system.scan(folder):
            if entry.name.endswith(SUFFIX) and entry.is_file:
                yield entry

    def blob_files(self) -> Iterator[tuple[bytes, bool, Entry]]:
        """(id, is it the seal?, file) of every blob and seal."""
        for outer in system.scan(self.folder.path("blobs")):
            if len(outer.name) != 2 or not outer.is_folder:
                continue
            for entry in system.scan(outer.path):
                blob = blob_id(outer.name, entry.name.removesuffix(".seal"))
                if blob is not None and entry.is_file:
                    yield blob, entry.name.endswith(".seal"), entry

    def relative(self, path: str) -> str:
        """`path` as it goes into receipts: from the base of the cache on."""
        return path[len(self.folder.base) + 1 :]

    def family_of(self, path: str) -> bytes:
        """The family of a pack, from its path as in receipts."""
        return blob_id(path[9:11], path[12:74]) or b""
