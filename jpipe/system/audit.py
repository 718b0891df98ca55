"""The files an item is seen to read: what the interpreter tells of opened files, listed folders and other doings."""

from __future__ import annotations

import importlib
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from jpipe.files import FileDigests, Read
from jpipe.system.input_files import Boundary
from jpipe.system.inside import busy
from jpipe.system.ownership import is_users

__all__ = ["Watch", "watching"]


class Watch:
    """The files that were opened and the folders that were listed while it was active.

    Attributes
    ----------
    opened
        By absolute path: (mtime_ns, size) when it was first opened; None when there was nothing.
    written
        Absolute paths that were opened for writing.
    databases
        Absolute paths that may have been written.
    effects
        Connections and other processes, which leave no file to look at.
    """

    __slots__ = ("databases", "effects", "opened", "written")

    def __init__(self) -> None:
        self.opened: dict[str, tuple[int, int] | None] = {}
        self.written: set[str] = set()
        self.databases: set[str] = set()
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
            is_changed = read.kind == "file" and seen != (read.mtime_ns, read.size)
            if is_changed and path in self.databases:
                continue
            if is_changed:
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
    if not _watches or busy.now:
        return
    if event == "open":
        path, mode, flags = arguments
        # The import system opens with mode "rb" and no flags at all; what is imported counts by its code.
        if isinstance(path, int) or (mode == "rb" and flags == 0):
            return
        _note(path, writes=_writes(mode, flags))
    elif event in ("os.listdir", "os.scandir"):
        if not isinstance(arguments[0], int) and not _is_importing():
            _note(arguments[0] if arguments[0] is not None else ".", writes=False)
    elif event == "sqlite3.connect":
        _note_database(arguments[0])
        _note_effect("a database was opened")
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
}


def _is_importing() -> bool:
    """Whether a folder is listed in search of modules or of installed packages: what is imported counts by its code."""
    file = sys._getframe(2).f_code.co_filename
    return file.startswith(("<frozen importlib", _IMPORTLIB))


_IMPORTLIB = os.path.dirname(importlib.__file__) + os.sep


def _note_database(place: Any) -> None:
    """A database is opened by code in C, for reading or writing: one that is as it was afterwards was read."""
    try:
        path = os.fsdecode(place)
    except TypeError:
        return
    if path.startswith("file:"):
        path = path.removeprefix("file:").partition("?")[0]
    if path and not path.startswith(":") and os.path.isfile(path):
        _note(path, writes=False)
        for watch in _active():
            watch.databases.add(os.path.abspath(path))


def _note_effect(effect: str) -> None:
    watch = _watches.get(threading.get_ident())
    if watch is not None and not _is_import_of_library():
        watch.effects[effect] = None


def _is_import_of_library() -> bool:
    """Whether an installed package does something because it is imported, such as looking for fonts the first time."""
    frame: Any = sys._getframe(3)
    while frame is not None:
        file: str = frame.f_code.co_filename
        if file.startswith("<frozen importlib"):
            return True
        if is_users(file):
            return False
        frame = frame.f_back
    return False


def _note_command(arguments: tuple[Any, ...]) -> None:
    """A script that a subprocess is given counts as read."""
    command, folder = arguments[1], arguments[2]
    for word in _words(command):
        try:
            path: Any = os.path.join(folder or "", os.fspath(word))
            if isinstance(path, str) and os.path.isfile(path):
                _note(path, writes=False)
        except (TypeError, ValueError):
            continue


def _words(command: Any) -> list[Any]:
    """The words of a command; of one that a shell gets, roughly as the shell would split it."""
    words = list(command) if isinstance(command, (list, tuple)) else [command]
    return words + [part.strip("'\"") for text in words if isinstance(text, str) for part in text.split()[1:]]


def _note(path: Any, writes: bool) -> None:
    try:
        full = os.path.abspath(os.fsdecode(path))
    except (TypeError, ValueError):
        return
    for watch in _active():
        if writes:
            watch.written.add(full)
        elif full not in watch.opened:
            watch.opened[full] = _seen(full)


def _active() -> list[Watch]:
    """The watch of this thread; in one of unknown origin all."""
    own = _watches.get(threading.get_ident())
    return [own] if own is not None else list(_watches.values())


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
