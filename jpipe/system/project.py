"""Where a project begins, and where its cache is."""

from __future__ import annotations

from pathlib import Path

__all__ = ["default_cache_dir", "find_root"]

MARKERS = ("pyproject.toml", ".git", "jpipe.toml")


def find_root(path: Path) -> Path:
    """The project that a pipeline file belongs to.

    Parameters
    ----------
    path
        The file, or a folder.

    Returns
    -------
    Path
        The nearest folder, upwards, that holds ``pyproject.toml``, ``.git`` or ``jpipe.toml``; else the file's folder.
    """
    folder = path.resolve() if path.is_dir() else path.resolve().parent
    for candidate in (folder, *folder.parents):
        if any((candidate / marker).exists() for marker in MARKERS):
            return candidate
    return folder


def default_cache_dir(root: Path) -> Path:
    """The cache of the project at `root`."""
    return root / "cache"
