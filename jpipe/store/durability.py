"""Waiting until published files are on the disk, in the order in which they rely on one another."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterable

from jpipe.store.disk import system
from jpipe.store.open_folder import Disk

__all__ = ["sync_file", "sync_files"]

_BLOB = re.compile(r"blobs/[0-9a-f]{2}/[0-9a-f]{62}")
_PACK = re.compile(r"families/[0-9a-f]{2}/[0-9a-f]{62}/[0-9a-f]+\.pack")


def sync_files(disk: Disk, paths: Iterable[str], durable_folders: set[str]) -> tuple[str, ...]:
    """Wait for blobs, then seal them, then wait for the packs that name them.

    Parameters
    ----------
    disk
        The cache.
    paths
        As in `Stored.paths` and as returned by `Store.publish`.
    durable_folders
        Folders whose own names are known to be on the disk; added to.

    Returns
    -------
    Those of `paths` that are not known to be on the disk. What it lost is gone from the cache: a miss from now on.
    """
    wanted = list(dict.fromkeys(paths))
    blobs = [path for path in wanted if _BLOB.fullmatch(path)]
    packs = [path for path in wanted if _PACK.fullmatch(path)]
    lost = _sync_each(disk, blobs, lambda path: disk.blobs.sync(bytes.fromhex(path[6:8] + path[9:])), durable_folders)
    lost += _sync_each(disk, packs, lambda path: sync_file(disk.folder.path(path)), durable_folders)
    return tuple(lost)


def _sync_each(disk: Disk, paths: list[str], wait: Callable[[str], None], durable_folders: set[str]) -> list[str]:
    lost = []
    folders = set()
    for path in paths:
        try:
            wait(path)
            folders.add(os.path.dirname(disk.folder.path(path)))
        except FileNotFoundError:
            if path.startswith("blobs/"):
                lost.append(path)
        except system.Unflushed:
            _drop(disk, path)
            lost.append(path)
        except OSError:
            lost.append(path)  # it could not be opened, by who may be out of descriptors: the file may be sound
    for folder in folders:
        _sync_names(disk, folder, durable_folders)
    return lost


def sync_file(path: str) -> None:
    """Wait until the bytes of a file are on the disk."""
    descriptor = system.open(path, system.READ)
    try:
        system.flush(descriptor)
    finally:
        system.close_read(descriptor)


def _sync_names(disk: Disk, folder: str, durable_folders: set[str]) -> None:
    """The folder's names, and once its own name and those above it."""
    with contextlib.suppress(OSError):
        system.sync_folder(folder)
        while folder not in durable_folders and folder != disk.folder.base:
            durable_folders.add(folder)
            folder = os.path.dirname(folder)
            system.sync_folder(folder)


def _drop(disk: Disk, path: str) -> None:
    """After a failed fsync nobody knows what the disk holds, and asking again may answer "fine"."""
    for name in (path + ".seal", path):
        with contextlib.suppress(OSError):
            system.unlink(disk.folder.path(name))
