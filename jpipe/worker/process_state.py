"""What a worker process keeps from chunk to chunk: digests of files, its redirected streams."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jpipe.files import FileDigests, Read
from jpipe.store import Store
from jpipe.system.input_files import Boundary
from jpipe.worker.descriptors import Descriptors

__all__ = ["boundary_of", "code_below", "digests_below", "forget_code", "is_older", "native_streams"]

_folders: dict[tuple[str, str], FileDigests] = {}
_boundaries: dict[tuple[str, str], Boundary] = {}
_own_code: dict[str, OwnCode] = {}
_natives: dict[str, Descriptors] = {}


class OwnCode:
    """Fingerprints of code inside results: most results hold none, and then a worker need not import the room."""

    def __init__(self, root: str, store: Store) -> None:
        self._root = root
        self._store = store
        self._fingerprinter: Any = None

    def _loaded(self) -> Any:
        if self._fingerprinter is None:
            from jpipe.fingerprint import Fingerprinter

            self._fingerprinter = Fingerprinter(Path(self._root), self._store.parsed, key=self._store.disk.key.secret)
        return self._fingerprinter

    def of_import(self, path: str) -> bytes:
        """As in `Fingerprinter`, as the files are now: a worker may outlive an edit."""
        self._fingerprinter = None
        return self._loaded().of_import(path)  # type: ignore[no-any-return]

    def of_object(self, obj: Any) -> bytes:
        """As in `Fingerprinter`."""
        return self._loaded().of_object(obj)  # type: ignore[no-any-return]


def code_below(root: str, store: Store) -> OwnCode:
    """What fingerprints code inside results, for a project root and a cache that knows what its files say."""
    known = _own_code.get(root)
    if known is None:
        known = _own_code[root] = OwnCode(root, store)
    return known


def forget_code() -> None:
    """The user's modules are imported anew: what is known of their code does not hold any more."""
    _own_code.clear()


_imported: dict[str, bytes] = {}
"""By the file of a module that was imported under a computed name: what importing it ran here, the first time."""


def is_older(read: Read) -> bool:
    """Whether a module was imported in this process before it, or what it imports, was edited."""
    return read.kind == "code" and _imported.setdefault(read.path, read.digest) != read.digest


def digests_below(root: str, store: Store) -> FileDigests:
    """The digests of files, for a project root and a cache."""
    cache = store.disk.folder.root
    known = _folders.get((root, cache))
    if known is None:
        known = FileDigests(Path(root), cache, lambda path: code_below(root, store).of_import(path))
        _folders[root, cache] = known
    return known


def boundary_of(root: str, cache: str) -> Boundary:
    """Which files count as inputs, for a project root and a cache folder."""
    known = _boundaries.get((root, cache))
    if known is None:
        known = _boundaries[root, cache] = Boundary(Path(root), Path(cache))
    return known


def native_streams(folder: str | None) -> Descriptors | None:
    """Where this worker's streams go; None where the run's folder is on another machine."""
    if folder is None:
        return None
    if folder not in _natives:
        while _natives:
            _natives.popitem()[1].close()
        try:
            _natives[folder] = Descriptors(folder)
        except OSError:
            return None
    return _natives[folder]
