"""`File`: a file whose content is the value, and what of a file or folder counts."""

from __future__ import annotations

import os
import stat as stats
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

__all__ = ["File", "FileDigests", "Read"]

Kind = Literal["file", "folder", "missing"]
RUN_FOLDER = "jpipe-run-"
"""What the names of the folders begin with that runs keep in the folder for temporary files."""


class File(str):
    """A file whose content is the value.

    As an argument, or as the annotation of a parameter that gets a path, it makes the content an input of the step.
    As a step's result, or as its return annotation, it makes the file an output: the step is stale when the file was
    changed or removed. To everything else it is the path: a text, as libraries want it.

    Parameters
    ----------
    path
        Where the file is. Counts for the key too, as it is written here.

    Examples
    --------
    >>> file = File("photos/a.png")
    >>> f"{file}", file.endswith(".png")
    ('photos/a.png', True)
    """

    __slots__ = ()

    def __new__(cls, path: str | os.PathLike[str]) -> Self:
        return super().__new__(cls, os.fspath(path))

    @property
    def path(self) -> str:
        """The path as a plain text."""
        return str.__str__(self)

    def __fspath__(self) -> str:
        return self.path

    def __str__(self) -> str:
        return self.path

    def __repr__(self) -> str:
        return f"File({self.path!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return File, (self.path,)


class Read(NamedTuple):
    """A file, a folder listing or a missing file that an item depended on.

    Parameters
    ----------
    path
        Relative to the project root when below it, else absolute; with forward slashes.
    kind
        What was there.
    size, mtime_ns, ctime_ns
        Its stat then: bytes, and nanoseconds since 1970. 0 when missing.
    digest
        BLAKE3 of the content, or of the sorted names in a folder; empty when missing.
    written
        True for a file that the item gave back as its result (`File`).
    """

    path: str
    kind: Kind
    size: int
    mtime_ns: int
    ctime_ns: int
    digest: bytes
    written: bool = False


class FileDigests:
    """Digests of files by content, remembered while their stat stays the same.

    Parameters
    ----------
    root
        The project root; paths below it are kept relative to it.
    hidden
        Names that do not count in folder listings.
    """

    def __init__(self, root: Path, hidden: Iterable[str] = ("__pycache__", "cache")) -> None:
        self.root = os.path.abspath(root)
        self._hidden = frozenset(hidden)
        self._known: dict[str, tuple[tuple[int, ...], bytes]] = {}

    def read(self, path: str, *, written: bool = False) -> Read:
        """What is at `path` now."""
        full = self.full(path)
        try:
            status = os.stat(full)
        except OSError:
            return Read(self.short(full), "missing", 0, 0, 0, b"", written)
        folder = stats.S_ISDIR(status.st_mode)
        digest = self._listing(full) if folder else self._content(full, status)
        size = 0 if folder else status.st_size
        kind: Kind = "folder" if folder else "file"
        return Read(self.short(full), kind, size, status.st_mtime_ns, status.st_ctime_ns, digest, written)

    def unchanged(self, read: Read) -> bool:
        """Whether what was read is still the same: by stat, and by content where the stat differs."""
        try:
            status = os.stat(self.full(read.path))
        except OSError:
            return read.kind == "missing"
        if read.kind == "missing":
            return False
        if read.kind == "folder":
            return stats.S_ISDIR(status.st_mode) and self._listing(self.full(read.path)) == read.digest
        if stats.S_ISDIR(status.st_mode) or status.st_size != read.size:
            return False
        if (status.st_mtime_ns, status.st_ctime_ns) == (read.mtime_ns, read.ctime_ns):
            return True
        try:
            return self._content(self.full(read.path), status) == read.digest
        except OSError:
            return False

    def content(self, path: str | os.PathLike[str]) -> bytes:
        """BLAKE3 of a file's content; of the sorted names in it for a folder.

        Raises
        ------
        OSError
            When it cannot be read.
        """
        full = self.full(os.fspath(path))
        status = os.stat(full)
        return self._listing(full) if stats.S_ISDIR(status.st_mode) else self._content(full, status)

    def full(self, path: str) -> str:
        """The absolute form of a path that may be relative to the project root."""
        return os.path.normpath(os.path.join(self.root, path))

    def short(self, full: str) -> str:
        """The path relative to the project root when below it, with forward slashes."""
        inside = full.startswith(self.root + os.sep)
        return (full[len(self.root) + 1 :] if inside else full).replace(os.sep, "/")

    def _listing(self, full: str) -> bytes:
        import blake3

        try:
            names = sorted(name for name in os.listdir(full) if name not in self._hidden)
        except OSError:
            names = []
        return blake3.blake3("\0".join(names).encode("utf-8", "surrogateescape")).digest()

    def _content(self, full: str, status: os.stat_result) -> bytes:
        import blake3

        identity = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        known = self._known.get(full)
        if known is not None and known[0] == identity:
            return known[1]
        hasher = blake3.blake3()
        with open(full, "rb", buffering=0) as file:
            while block := file.read(8 << 20):
                hasher.update(block)
        digest = hasher.digest()
        self._known[full] = identity, digest
        return digest
