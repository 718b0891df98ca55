"""`File`: a file whose content is the value, and what of a file or folder counts."""

from __future__ import annotations

import os
import stat as stats
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

__all__ = ["File", "FileDigests", "Read"]

Kind = Literal["file", "folder", "missing", "kinds", "status", "link", "here", "root", "code"]
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
    """Something that an item looked at, and what it saw.

    Parameters
    ----------
    path
        Relative to the project root when below it or named by a relative path, else absolute; with forward slashes.
    kind
        What was looked at: the content of a file; the names in a folder, or names and kinds of what is in it; that
        nothing is there; the status of a path; the target of a link. ``here``: the folder that relative paths belong
        to. ``root``: the project root, which the result holds. ``code``: a module that was imported under a computed
        name, with all that it imports; the project root stands for all of its files, ``package:NAME`` for a package.
    size, mtime_ns, ctime_ns
        The stat then: bytes, and nanoseconds since 1970. 0 when missing.
    digest
        BLAKE3 of the content, or of what is in a folder; the status or target itself; empty when missing.
    written
        True for a file that the item made.
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
    cache
        The cache folder, which is no part of any listing.
    code
        Digests what importing a file runs, for reads of that kind: without it none of them counts.
    """

    def __init__(
        self, root: Path, cache: str | os.PathLike[str] | None = None, code: Callable[[str], bytes] | None = None
    ) -> None:
        self.code_of = code
        self.root = os.path.abspath(root)
        self._cache = None if cache is None else os.path.abspath(cache)
        self._known: dict[str, tuple[tuple[int, ...], bytes]] = {}

    def read(self, path: str, *, written: bool = False, relative: bool = False, kinds: bool = False) -> Read:
        """What is at `path` now.

        Parameters
        ----------
        written
            Whether the item made it.
        relative
            Whether it was named by a relative path.
        kinds
            Whether of a folder more counts than its names.
        """
        full = self.full(path)
        short = self.short(full, relative=relative)
        try:
            status = os.stat(full)
        except OSError:
            return Read(short, "missing", 0, 0, 0, b"", written)
        kind: Kind = "file"
        if folder := stats.S_ISDIR(status.st_mode):
            kind = "kinds" if kinds else "folder"
        digest = self._listing(full, kinds) if folder else self._content(full, status)
        size = 0 if folder else status.st_size
        return Read(short, kind, size, status.st_mtime_ns, status.st_ctime_ns, digest, written)

    def unchanged(self, read: Read) -> bool:
        """Whether what was read is still the same: by stat, and by content where the stat differs."""
        full = self.full(read.path)
        if read.kind in _BY_TEXT:
            return _BY_TEXT[read.kind](self, full, read)
        try:
            status = os.stat(full)
        except OSError:
            return read.kind == "missing"
        if read.kind == "missing":
            return False
        if read.kind in ("folder", "kinds"):
            return stats.S_ISDIR(status.st_mode) and self._listing(full, read.kind == "kinds") == read.digest
        if stats.S_ISDIR(status.st_mode) or status.st_size != read.size:
            return False
        if (status.st_mtime_ns, status.st_ctime_ns) == (read.mtime_ns, read.ctime_ns):
            return True
        try:
            return self._content(full, status) == read.digest
        except OSError:
            return False

    def status(self, path: str, traits: str, *, relative: bool = False, written: bool = False) -> Read:
        """What `traits` of a path are now, as `status_of` spells them."""
        full = self.full(path)
        return Read(self.short(full, relative=relative), "status", 0, 0, 0, status_of(full, traits), written)

    def link(self, path: str, *, relative: bool = False) -> Read:
        """Where a link leads now."""
        full = self.full(path)
        return Read(self.short(full, relative=relative), "link", 0, 0, 0, _target(full))

    def code(self, path: str) -> Read:
        """What importing a file runs now; `path` may be the project root, or ``package:NAME``."""
        full = self.full(path)
        digest = b"" if self.code_of is None else self.code_of(full)
        return Read("." if full == self.root else self.short(full), "code", 0, 0, 0, digest)

    def here(self, folder: str) -> Read:
        """The folder that relative paths belong to."""
        return Read(self.short(folder, relative=True), "here", 0, 0, 0, b"")

    def bound(self) -> Read:
        """That something counts for this root only."""
        return Read(self.root.replace(os.sep, "/"), "root", 0, 0, 0, b"")

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

    def short(self, full: str, *, relative: bool = False) -> str:
        """The path relative to the project root when below it, or in any case; with forward slashes."""
        if full.startswith(self.root + os.sep):
            full = full[len(self.root) + 1 :]
        elif relative:
            try:
                full = os.path.relpath(full, self.root)
            except ValueError:  # on another drive
                pass
        return full.replace(os.sep, "/")

    def _listing(self, full: str, kinds: bool = False) -> bytes:
        import blake3

        try:
            with os.scandir(full) as entries:
                names = sorted(_entry(entry, kinds) for entry in entries if not self._is_own(entry))
        except OSError:
            names = []
        return blake3.blake3("\0".join(names).encode("utf-8", "surrogateescape")).digest()

    def _is_own(self, entry: os.DirEntry[str]) -> bool:
        """Whether something in a folder is there because of jpipe or of Python, and comes and goes with them."""
        if entry.name == "__pycache__" or entry.name.startswith(RUN_FOLDER):
            return True
        return entry.path == self._cache or (entry.name == "cache" and is_cache(entry.path))

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


def is_cache(folder: str) -> bool:
    """Whether a folder is a cache of jpipe's."""
    return all(os.path.isfile(os.path.join(folder, name)) for name in ("CACHEDIR.TAG", "format"))


def status_of(full: str, traits: str) -> bytes:
    """What a look at a path without opening it tells: its kind, and as `traits` say more.

    Parameters
    ----------
    traits
        Letters: ``l`` of the link itself, ``s`` its size, ``m`` its times and mode, ``x`` its mode alone.
    """
    try:
        status = os.lstat(full) if "l" in traits else os.stat(full)
    except (OSError, ValueError):
        return f"{traits}:missing".encode()
    kind = stats.S_IFMT(status.st_mode)
    words = [traits, {stats.S_IFDIR: "folder", stats.S_IFREG: "file", stats.S_IFLNK: "link"}.get(kind, str(kind))]
    if "s" in traits and kind == stats.S_IFREG:
        words.append(str(status.st_size))
    if "m" in traits:
        words += [str(status.st_mtime_ns), oct(status.st_mode)]
    elif "x" in traits:
        words.append(oct(status.st_mode))
    return ":".join(words).encode()


def _entry(entry: os.DirEntry[str], kinds: bool) -> str:
    if not kinds:
        return entry.name
    return f"{entry.name}/{'folder' if entry.is_dir() else 'file' if entry.is_file() else 'other'}"


def _target(full: str) -> bytes:
    try:
        return os.fsencode(os.readlink(full))
    except OSError:
        return b""


def _same_folder(one: str, other: str) -> bool:
    return one == other or os.path.realpath(one) == os.path.realpath(other)


_BY_TEXT: dict[str, Callable[[FileDigests, str, Read], bool]] = {
    "status": lambda files, full, read: status_of(full, read.digest.partition(b":")[0].decode()) == read.digest,
    "link": lambda files, full, read: _target(full) == read.digest,
    "code": lambda files, full, read: files.code_of is not None and files.code_of(full) == read.digest,
    "here": lambda files, full, read: _same_folder(full, os.getcwd()),
    "root": lambda files, full, read: read.path == files.root.replace(os.sep, "/"),
}
