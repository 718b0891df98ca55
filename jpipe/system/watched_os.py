"""Looks at files that the interpreter does not tell of: what is there, how large it is, where a link leads.

The functions of `os` for it are replaced, once, by ones that tell and do the same. What took one of them away before
does not tell; the standard library and most others ask `os` for them each time.
"""

from __future__ import annotations

import os
import stat as stats
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["folder_of_descriptor", "install", "plain_getcwd", "plain_open", "plain_stat"]

_ONLY_KIND = frozenset(
    (
        "exists",
        "lexists",
        "isfile",
        "isdir",
        "islink",
        "ismount",
        "is_file",
        "is_dir",
        "is_symlink",
        "is_mount",
        "is_junction",
        "samefile",
        "walk",
        "makedirs",
        "mkdir",
        "glob",
        "glob0",
        "glob1",
        "_exists",
        "_lexists",
        "_isdir",
        "rglob",
    )
)
"""Functions of the standard library that tell from a status no more than whether something is there and what it is."""
_FOLLOWS_LINKS = frozenset(("realpath", "_joinrealpath", "resolve"))
_SIZES = frozenset(("st_size",))
_TIMES = frozenset(("st_mtime", "st_mtime_ns", "st_ctime", "st_ctime_ns", "st_mode", "st_atime", "st_birthtime"))


class Told:
    """What is told: `look(path, traits, depth)` of a status, `link(path, depth)`, `listed(path, kinds)`, `here(depth)`.

    Parameters
    ----------
    is_active
        Whether anybody listens.
    """

    def __init__(
        self,
        is_active: Callable[[], Any],
        look: Callable[[str, str, int], None],
        link: Callable[[str, int], None],
        kinds: Callable[[str, int], bool],
        here: Callable[[int], None],
    ) -> None:
        self.is_active, self.look, self.link, self.kinds, self.here = is_active, look, link, kinds, here
        self.folder: dict[int, str] = {}


def folder_of_descriptor(descriptor: int) -> str | None:
    """Where the folder is that a descriptor stands for."""
    try:
        if sys.platform == "darwin":
            import fcntl

            return os.fsdecode(fcntl.fcntl(descriptor, 50, b"\0" * 1024).rstrip(b"\0"))
        return str(_readlink(f"/proc/self/fd/{descriptor}"))
    except (OSError, ValueError):
        return None


plain_stat, plain_open, plain_getcwd = os.stat, os.open, os.getcwd
"""The functions of `os` themselves, for what jpipe asks on its own behalf."""
_lstat, _scandir, _access = os.lstat, os.scandir, os.access
_readlink: Any = getattr(os, "readlink", None)


def install(told: Told) -> None:
    """Put the telling functions in place."""

    def stat(path: Any, *, dir_fd: int | None = None, follow_symlinks: bool = True) -> os.stat_result:
        """Get the status of a file."""
        if not isinstance(path, int) and told.is_active():
            _tell_status(told, path, dir_fd, follow_symlinks)
        return plain_stat(path, dir_fd=dir_fd, follow_symlinks=follow_symlinks)

    def lstat(path: Any, *, dir_fd: int | None = None) -> os.stat_result:
        """Get the status of a file, without following links."""
        if told.is_active():
            _tell_status(told, path, dir_fd, False)
        return _lstat(path, dir_fd=dir_fd)

    def access(path: Any, mode: int, **options: Any) -> bool:
        """Ask whether a file can be used in a way."""
        if not isinstance(path, int) and told.is_active() and (full := _full(path, options.get("dir_fd"))):
            told.look(full, "x" if mode else "", 2)
        return _access(path, mode, **options)

    def readlink(path: Any, *, dir_fd: int | None = None) -> Any:
        """Get where a link leads."""
        if told.is_active() and (full := _full(path, dir_fd)):
            told.link(full, 2)
        return _readlink(path, dir_fd=dir_fd)

    def scandir(path: Any = None) -> Any:
        """List a folder."""
        found = _scandir(path) if path is not None else _scandir()
        if not told.is_active():
            return found
        place = folder_of_descriptor(path) if isinstance(path, int) else path if path is not None else "."
        if place is not None and told.kinds(place, 2):
            return _Entries(found, told)
        return found

    def open(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:  # noqa: A001
        """Open a file."""
        folder = folder_of_descriptor(dir_fd) if dir_fd is not None and told.is_active() else None
        if folder is None:
            return plain_open(path, flags, mode, dir_fd=dir_fd)
        thread = threading.get_ident()
        told.folder[thread] = folder
        try:
            return plain_open(path, flags, mode, dir_fd=dir_fd)
        finally:
            told.folder.pop(thread, None)

    def getcwd() -> str:
        """Get the current folder."""
        if told.is_active():
            told.here(2)
        return plain_getcwd()

    for function in (stat, lstat, access, readlink, scandir, open, getcwd):
        before = getattr(os, function.__name__, None)
        if before is not None:
            _replace(function, before)


def _replace(function: Any, before: Any) -> None:
    function.__module__, function.__qualname__ = "os", before.__name__
    function.__text_signature__ = before.__text_signature__
    for supporting in (os.supports_dir_fd, os.supports_fd, os.supports_follow_symlinks, os.supports_effective_ids):
        if before in supporting:
            supporting.add(function)
    setattr(os, before.__name__, function)


def _tell_status(told: Told, path: Any, dir_fd: int | None, follow: bool) -> None:
    frame: Any = sys._getframe(2)
    name = frame.f_code.co_name
    if name in _FOLLOWS_LINKS:
        return
    traits = _traits(frame)
    full = _full(path, dir_fd)
    if full is not None:
        if "samefile" in (name, frame.f_back and frame.f_back.f_code.co_name) and _is_link(full):
            told.link(full, 3)
        told.look(full, traits if follow else traits + "l", 3)


def _is_link(full: str) -> bool:
    try:
        return stats.S_ISLNK(_lstat(full).st_mode)
    except (OSError, ValueError):
        return False


def _traits(frame: Any) -> str:
    """What of a status counts, told from the code that asks for it: its times only where they are named."""
    for _ in range(3):
        code = frame.f_code
        if code.co_name in _ONLY_KIND:
            return ""
        if code.co_name == "getsize":
            return "s"
        if code.co_name in ("getmtime", "getctime", "getatime"):
            return "sm"
        if code.co_name not in ("stat", "lstat") or frame.f_back is None:
            break
        frame = frame.f_back
    names = frame.f_code.co_names
    if _TIMES.intersection(names):
        return "sm"
    return "s" if _SIZES.intersection(names) else "sm"


def _full(path: Any, dir_fd: int | None) -> str | None:
    try:
        text = os.fsdecode(path)
    except (TypeError, ValueError):
        return None
    if dir_fd is None:
        return text
    folder = folder_of_descriptor(dir_fd)
    return None if folder is None else os.path.join(folder, text)


class _Entries:
    """What `os.scandir` gives, with entries that tell of what they are asked for."""

    def __init__(self, found: Any, told: Told) -> None:
        self._found, self._told = found, told

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return _Entry(next(self._found), self._told)

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *error: object) -> None:
        self._found.close()

    def close(self) -> None:
        """End the listing."""
        self._found.close()


class _Entry:
    """An entry of a folder that tells of what it is asked for."""

    __slots__ = ("_entry", "_told")

    def __init__(self, entry: Any, told: Told) -> None:
        self._entry, self._told = entry, told

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return os.DirEntry

    def __getattr__(self, name: str) -> Any:
        return getattr(self._entry, name)

    def __fspath__(self) -> Any:
        return self._entry.path

    def __repr__(self) -> str:
        return repr(self._entry)

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """The status of the entry."""
        if self._told.is_active():
            traits = _traits(sys._getframe(1))
            self._told.look(os.fsdecode(self._entry.path), traits if follow_symlinks else traits + "l", 2)
        return self._entry.stat(follow_symlinks=follow_symlinks)  # type: ignore[no-any-return]
