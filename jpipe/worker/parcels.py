"""What travels with a chunk to workers that do not see the cache: the user's modules, and the values that it takes.

Each part is an object of its own, so that an engine which can hands it from worker to worker, once, however many chunks
take it. On the other side the modules become a folder that stands for the project, and the values a cache of the
worker's own. What comes back is checked by its name and filed by the main process.
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from blake3 import blake3

from jpipe.store import BlobPlace, PackPlace, SigningKey, Store, Where
from jpipe.worker.function_reference import SourceStamp
from jpipe.worker.messages import Receipt, StepWork
from jpipe.worker.own_folder import own_folder

__all__ = [
    "Code", "Part", "code_of", "file_results", "moved", "own_cache", "parts_of", "take_results", "unpack",
    "with_values",
]  # fmt: skip


class Part:
    """One part of a parcel: bytes under a name.

    Parameters
    ----------
    blob
        The id of the large value that it is; nothing for the user's modules.
    data
        Its bytes.
    """

    def __init__(self, blob: bytes, data: bytes) -> None:
        self.blob = blob
        self.data = data

    def __sizeof__(self) -> int:
        return 100 + len(self.data)


class Code(NamedTuple):
    """The user's modules: (path in the folder that stands for the project, bytes), and where they are here.

    Parameters
    ----------
    root
        The project here.
    places
        (file or folder here, path there).
    files
        (path there, bytes).
    """

    root: str
    places: tuple[tuple[str, str], ...]
    files: tuple[tuple[str, bytes], ...]

    @property
    def name(self) -> str:
        """What tells it from others."""
        return blake3(repr((self.root, self.places, self.files)).encode()).hexdigest(16)


def code_of(root: str, sources: Iterable[SourceStamp], folders: Iterable[str]) -> Code:
    """The user's modules as they are on the disk here.

    Parameters
    ----------
    root
        The project.
    sources
        The modules that are loaded.
    folders
        Entries of ``sys.path`` that hold them.
    """
    above: dict[str, str] = {root: "project"}
    for number, folder in enumerate(sorted(set(folders))):
        if not _is_below(folder, root):
            above[folder] = f"more-{number}"
    files = {}
    for stamp in sources:
        home = next((folder for folder in sorted(above, key=len, reverse=True) if _is_below(stamp.file, folder)), None)
        if home is not None:
            path = os.path.join(above[home], os.path.relpath(stamp.file, home))
            files[path] = Path(stamp.file).read_bytes()
    return Code(root, tuple(above.items()), tuple(sorted(files.items())))


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(os.path.join(folder, ""))


# -- on the worker -----------------------------------------------------------------------------------------------------

_lock = threading.Lock()


def unpack(code: Code) -> str:
    """The folder that stands for the project and all else that `code` has."""
    folder = os.path.join(own_folder("code"), code.name)
    with _lock:
        if not os.path.isdir(folder):
            beside = f"{folder}.part"
            os.makedirs(os.path.join(beside, "project"), exist_ok=True)
            for path, data in code.files:
                target = Path(beside, path)
                if ".." in target.parts:
                    raise ValueError(f"{path} leads out of its folder")
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data)
            os.rename(beside, folder)
    return folder


def moved(step: StepWork, code: Code, folder: str) -> StepWork:
    """A step whose paths lead to the folder that stands for the project."""

    def there(path: str) -> str:
        for home, name in sorted(code.places, key=lambda place: len(place[0]), reverse=True):
            if _is_below(path, home):
                return os.path.normpath(os.path.join(folder, name, os.path.relpath(path, home)))
        return path

    function = step.function
    file = None if function.file is None else there(function.file)
    surroundings = step.surroundings
    return step._replace(
        root=there(step.root),
        function=function._replace(file=file, folders=tuple(map(there, function.folders))),
        sources=tuple(stamp._replace(file=there(stamp.file)) for stamp in step.sources),
        surroundings=None if surroundings is None else surroundings.in_folder(there(step.root)),
    )


@functools.cache
def own_cache() -> Store:
    """A cache of this worker alone."""
    with _lock:
        return Store.open(Path(own_folder("cache")), key=SigningKey(os.urandom(32)))


def with_values(cache: Store, parts: Sequence[Part], small: Iterable[tuple[PackPlace, bytes]]) -> Store:
    """The worker's cache with the values of a parcel; large ones are checked by their names."""
    for part in parts:
        if part.blob and not os.path.exists(cache.disk.blobs.path(part.blob)):
            cache.disk.blobs.receive(part.blob, functools.partial(_write, part.data))
    store = Store(cache.disk)
    store.saving.quiet, store.carried = True, dict(small)
    return store


def take_results(store: Store, receipt: Receipt) -> None:
    """Put the large results into the receipt."""
    for item in receipt.items:
        if item.stored is not None and isinstance(item.stored.where, BlobPlace):
            blob = item.stored.where.id
            receipt.blobs[blob] = Path(store.disk.blobs.path(blob)).read_bytes()
    receipt.paths = []


# -- back in the main process ------------------------------------------------------------------------------------------


def file_results(store: Store, receipt: Receipt) -> None:
    """File the large results that a receipt has; they are checked by their names.

    Raises
    ------
    MissingEntry
        If one is not what its name stands for.
    """
    blobs, receipt.blobs = receipt.blobs, {}
    for blob, data in blobs.items():
        if not store.has(BlobPlace(blob)):
            store.disk.blobs.receive(blob, functools.partial(_write, data))
        receipt.paths.append(store.disk.relative(store.disk.blobs.path(blob)))


def parts_of(store: Store, places: Iterable[Where]) -> tuple[list[bytes], list[tuple[PackPlace, bytes]]]:
    """The ids of the large values among places, and the small ones."""
    blobs, small = [], []
    for place in dict.fromkeys(places):
        if isinstance(place, BlobPlace):
            blobs.append(place.id)
        elif isinstance(place, PackPlace):
            small.append((place, store.payload(place)))
    return blobs, small


def _write(data: bytes, path: str) -> None:
    Path(path).write_bytes(data)
