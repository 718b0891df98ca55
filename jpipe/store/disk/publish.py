"""How files come into the store: written beside, then given their name in one step, and never changed again."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from jpipe.store.disk import system
from jpipe.store.disk.cache_folder import Folder, make_again, make_folder

__all__ = ["Writer", "process_name"]

_NO_UNNAMED_FILES = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL})
_NO_LINKS = frozenset({errno.EOPNOTSUPP, errno.EPERM, errno.EMLINK, errno.ENOSYS, errno.EXDEV})
_PIECE = 1 << 30
_RESERVED_FROM = 8 << 20

Buffer = bytes | bytearray | memoryview


@dataclass(slots=True, eq=False, repr=False)
class Writer:
    """Publishes files in one cache folder; picklable and usable from any thread."""

    folder: Folder
    _made: set[str]
    _unnamed: bool

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self._made = set()
        self._unnamed = system.UNNAMED is not None and os.path.isdir("/proc/self/fd")

    def publish(self, folder: str, name: str, chunks: Iterable[Buffer]) -> os.stat_result | None:
        """Write a new file and give it its name.

        Parameters
        ----------
        folder, name
            Where it shall be.
        chunks
            Its bytes; they must be ready to be gone through twice.

        Returns
        -------
        The status of the file; None if there is a file of that name already, which stays as it is.
        """
        path = f"{folder}/{name}"
        return self._publish(folder, chunks, lambda: path)

    def publish_late(self, chunks: Iterable[Buffer], place: Callable[[], str | None]) -> os.stat_result | None:
        """Write a new file whose path is only known when its bytes are written, or that is not wanted then (None)."""
        return self._publish(self.folder.path("tmp"), chunks, place)

    def _publish(self, folder: str, chunks: Iterable[Buffer], place: Callable[[], str | None]) -> os.stat_result | None:
        try:
            self.make_folder(folder)
            return self._publish_once(folder, chunks, place)
        except FileNotFoundError:
            self._make_again(folder)
            return self._publish_once(folder, chunks, place)

    def _publish_once(
        self, folder: str, chunks: Iterable[Buffer], place: Callable[[], str | None]
    ) -> os.stat_result | None:
        if self._unnamed:
            try:
                return self._publish_unnamed(folder, chunks, place)
            except _NoUnnamedFiles:
                self._unnamed = False
        return self._publish_named(chunks, place)

    def take_in(self, fill: Callable[[str], None], check: Callable[[str], None], path: str) -> bool:
        """Have a file written beside and give it the name `path` once it was checked; False if that is taken.

        Parameters
        ----------
        fill
            Writes the file at a path, at which an empty one is.
        check
            Raises if the file is not as it should be.
        """
        self.make_folder(os.path.dirname(path))
        beside, descriptor = self._create_beside()
        try:
            system.close(descriptor)
            os.chmod(beside, 0o600)
            fill(beside)
            check(beside)
            os.chmod(beside, self.folder.file_mode)
            return _take_name(beside, path)
        finally:
            _remove(beside)

    def replace(self, folder: str, name: str, chunks: Iterable[Buffer]) -> None:
        """Write a file and give it its name, in place of a file that had it."""
        try:
            self.make_folder(folder)
            self._replace(folder, name, chunks)
        except FileNotFoundError:
            self._make_again(folder)
            self._replace(folder, name, chunks)

    def _replace(self, folder: str, name: str, chunks: Iterable[Buffer]) -> None:
        beside, descriptor = self._create_beside()
        try:
            try:
                _write_all(descriptor, chunks)
            finally:
                system.close(descriptor)
            system.replace(beside, f"{folder}/{name}")
        except BaseException:
            _remove(beside)
            raise

    def make_folder(self, path: str) -> None:
        """Make `path` and the folders above it, up to the store's own; refuse links put in their place."""
        if path in self._made:
            return
        if path != self.folder.base:
            self.make_folder(os.path.dirname(path))
            make_folder(path, self.folder.folder_mode)
        self._made.add(path)

    def _make_again(self, folder: str) -> None:
        """Something removed the folder, or the whole cache, since it was made."""
        self._made.clear()
        make_again(self.folder)
        self.make_folder(folder)

    def _publish_unnamed(
        self, folder: str, chunks: Iterable[Buffer], place: Callable[[], str | None]
    ) -> os.stat_result | None:
        assert system.UNNAMED is not None
        try:
            descriptor = system.open(folder, system.UNNAMED, self.folder.file_mode)
        except OSError as error:
            if error.errno in _NO_UNNAMED_FILES:
                raise _NoUnnamedFiles from None
            raise
        try:
            _reserve(descriptor, chunks)
            _write_all(descriptor, chunks)
            path = place()
            if path is None:
                return None
            try:
                system.link(descriptor, path)
            except FileExistsError:
                return None
            return system.fstat(descriptor)
        finally:
            system.close(descriptor)

    def _publish_named(self, chunks: Iterable[Buffer], place: Callable[[], str | None]) -> os.stat_result | None:
        beside, descriptor = self._create_beside()
        try:
            try:
                _write_all(descriptor, chunks)
            finally:
                system.close(descriptor)
            path = place()
            if path is None or not _take_name(beside, path):
                return None
            return system.lstat(path)
        finally:
            _remove(beside)

    def _create_beside(self) -> tuple[str, int]:
        folder = self.folder.path("tmp")
        self.make_folder(folder)
        path = f"{folder}/{process_name()}-{os.urandom(8).hex()}"
        return path, system.open(path, system.CREATE, self.folder.file_mode)


class _NoUnnamedFiles(Exception):
    """The file system has no files without a name (O_TMPFILE)."""


def _reserve(descriptor: int, chunks: Iterable[Buffer]) -> None:
    size = getattr(chunks, "size", 0)
    if size >= _RESERVED_FROM:
        system.reserve(descriptor, size)


def _write_all(descriptor: int, chunks: Iterable[Buffer]) -> None:
    """Write `chunks`, small ones together, however few bytes a single call takes."""
    small: list[Buffer] = []
    gathered = 0
    for chunk in chunks:
        size = len(chunk)
        if size < 65536:
            small.append(chunk)
            gathered += size
            if gathered < 1 << 20:
                continue
        if small:
            _write(descriptor, b"".join(small))
            small, gathered = [], 0
        if size >= 65536:
            _write(descriptor, chunk)
    if small:
        _write(descriptor, b"".join(small))


def _write(descriptor: int, chunk: Buffer) -> None:
    rest = memoryview(chunk)
    while rest:
        count = system.write(descriptor, rest[:_PIECE])
        if count == 0:
            raise OSError(errno.EIO, "the disk took no more bytes")
        rest = rest[count:]


def _take_name(beside: str, path: str) -> bool:
    """Give a finished file its name unless that is taken."""
    try:
        system.link(beside, path)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if system.exists(path):
            return False
        system.rename(beside, path)
    return True


def _remove(path: str) -> None:
    with contextlib.suppress(OSError):
        system.unlink(path)


def process_name() -> str:
    """``host-pid``, of characters that any file system takes."""
    host = os.uname().nodename if hasattr(os, "uname") else os.environ.get("COMPUTERNAME", "host")
    return f"{''.join(c if c.isalnum() else '_' for c in host)[:40]}-{os.getpid()}"
