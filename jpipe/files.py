"""Files as values, and the files that an item is seen to read."""

from __future__ import annotations

import os
import site
import stat as stats
import sys
import sysconfig
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

__all__ = ["Boundary", "File", "FileDigests", "Read", "Watch", "watching"]

Kind = Literal["file", "folder", "missing"]


class File(os.PathLike[str]):
    """A file whose content is the value.

    As an argument, or as the annotation of a parameter that gets a path, it makes the content an input of the step.
    As a step's result, or as its return annotation, it makes the file an output: the step is stale when the file was
    changed or removed.

    Parameters
    ----------
    path
        Where the file is. Counts for the key too, as it is written here.
    """

    __slots__ = ("path",)

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)

    def __fspath__(self) -> str:
        return self.path

    def __repr__(self) -> str:
        return f"File({self.path!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, File) and other.path == self.path

    def __hash__(self) -> int:
        return hash((File, self.path))

    def __reduce__(self) -> tuple[Any, ...]:
        return File, (self.path,)


@dataclass(frozen=True, slots=True)
class Read:
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


class Boundary:
    """Which files can be inputs: not the interpreter's, installed packages', system's or cache's own.

    Parameters
    ----------
    root
        The project root.
    cache
        The cache folder.
    """

    def __init__(self, root: Path, cache: Path) -> None:
        self._root = os.path.abspath(root) + os.sep
        self._temporary = tuple(_folders([tempfile.gettempdir()]))
        outside = [
            sys.prefix,
            sys.base_prefix,
            sys.exec_prefix,
            *sysconfig.get_paths().values(),
            os.path.dirname(__file__),
        ]
        outside += [*site.getsitepackages(), site.getusersitepackages(), os.fspath(cache)]
        outside += [
            os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"),
            os.path.expanduser("~/Library/Caches"),
        ]
        outside += [] if os.name == "nt" else ["/dev", "/proc", "/sys", "/etc/localtime", "/usr/share/zoneinfo"]
        root_folder = self._root.rstrip(os.sep)
        # A project may lie inside such a folder (a checkout below ~/.cache): then the folder says nothing about it.
        self._outside = tuple(
            f for f in _folders(outside) if not root_folder.startswith(f.rstrip(os.sep)) or f == self._root
        )

    def counts(self, path: str, started_ns: int) -> bool:
        """Whether a file that was opened at or after `started_ns` can be an input."""
        if "site-packages" in path or "__pycache__" in path or path.startswith(self._outside):
            return False
        if path.startswith(self._root) or not path.startswith(self._temporary):
            return True
        try:
            return os.stat(path).st_mtime_ns < started_ns
        except OSError:
            return False


def _folders(paths: Iterable[str]) -> set[str]:
    found = set()
    for path in paths:
        for form in (os.path.abspath(path), os.path.realpath(path)):
            if form.rstrip(os.sep):
                found.add(form.rstrip(os.sep) + os.sep)
    return found


class Watch:
    """The files that were opened and the folders that were listed while it was active.

    Attributes
    ----------
    opened
        By absolute path: (mtime_ns, size) when it was first opened; None when there was nothing.
    written
        Absolute paths that were opened for writing.
    effects
        Connections and other processes, which leave no file to look at.
    """

    __slots__ = ("effects", "opened", "written")

    def __init__(self) -> None:
        self.opened: dict[str, tuple[int, int] | None] = {}
        self.written: set[str] = set()
        self.effects: dict[str, None] = {}

    def reads(self, digests: FileDigests, boundary: Boundary, started_ns: int) -> tuple[tuple[Read, ...], str | None]:
        """What counts of it, and the first file that changed while the item ran (then the result cannot be kept)."""
        if not self.opened:
            return (), None
        loaded = _sources_in_memory()
        reads, changed = [], None
        for path, seen in sorted(self.opened.items()):
            if path in self.written or path in loaded or not boundary.counts(path, started_ns):
                continue
            try:
                read = digests.read(path)
            except OSError:
                continue
            if read.kind == "file" and seen != (read.mtime_ns, read.size):
                changed = changed or read.path
            reads.append(read)
        return tuple(reads), changed


def _sources_in_memory() -> set[str]:
    """Files of loaded modules: reading one (a traceback, a warning) makes no input of it, its code counts already."""
    return {file for module in list(sys.modules.values()) if (file := getattr(module, "__file__", None))}


_watches: dict[int, Watch] = {}
_installed = False
_install = threading.Lock()


@contextmanager
def watching() -> Iterator[Watch]:
    """Watch what this thread opens; what threads of unknown origin open counts for every active watch."""
    global _installed
    with _install:
        if not _installed:
            sys.addaudithook(_audit)
            _installed = True
    watch = Watch()
    thread = threading.get_ident()
    before = _watches.get(thread)
    _watches[thread] = watch
    try:
        yield watch
    finally:
        if before is None:
            del _watches[thread]
        else:
            _watches[thread] = before


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watches:
        return
    if event == "open":
        path, mode, flags = arguments
        # The import system opens with mode "rb" and no flags at all; what is imported counts by its code.
        if isinstance(path, int) or (mode == "rb" and flags == 0):
            return
        _note(path, writes=_writes(mode, flags))
    elif event in ("os.listdir", "os.scandir"):
        if not isinstance(arguments[0], int):
            _note(arguments[0] if arguments[0] is not None else ".", writes=False)
    elif event == "subprocess.Popen":
        _note_command(arguments)
        _note_effect("a process was started")
    elif event in _EFFECTS:
        _note_effect(_EFFECTS[event])


_EFFECTS = {
    "os.system": "a process was started",
    "os.posix_spawn": "a process was started",
    "os.exec": "a process was started",
    "os.fork": "a process was started",
    "socket.connect": "a connection was made",
    "socket.getaddrinfo": "a connection was made",
    "sqlite3.connect": "a database was opened",
}


def _note_effect(effect: str) -> None:
    watch = _watches.get(threading.get_ident())
    if watch is not None:
        watch.effects[effect] = None


def _note_command(arguments: tuple[Any, ...]) -> None:
    """A script that a subprocess is given counts as read."""
    command, folder = arguments[1], arguments[2]
    for word in command if isinstance(command, (list, tuple)) else [command]:
        try:
            path: Any = os.path.join(folder or "", os.fspath(word))
            if isinstance(path, str) and os.path.isfile(path):
                _note(path, writes=False)
        except (TypeError, ValueError):
            continue


def _note(path: Any, writes: bool) -> None:
    try:
        full = os.path.abspath(os.fsdecode(path))
    except (TypeError, ValueError):
        return
    thread = _watches.get(threading.get_ident())
    for watch in [thread] if thread is not None else list(_watches.values()):
        if writes:
            watch.written.add(full)
        elif full not in watch.opened:
            watch.opened[full] = _seen(full)


def _seen(full: str) -> tuple[int, int] | None:
    try:
        status = os.stat(full)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


def _writes(mode: str | None, flags: int) -> bool:
    if mode is None:
        return bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
    return mode[0] in "wxa" or "+" in mode
