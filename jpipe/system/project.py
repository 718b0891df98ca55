"""Where a project begins, and where its cache is."""

from __future__ import annotations

from pathlib import Path

__all__ = ["SOURCE_FOLDER", "default_cache_dir", "find_root", "is_marked"]

SOURCE_FOLDER = "src"
"""The folder of a project that holds its packages, where it is laid out so."""
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
        if is_marked(candidate):
            return candidate
    return folder


def is_marked(folder: Path) -> bool:
    """Whether a folder says by what it holds that a project begins there."""
    return any((folder / marker).exists() for marker in MARKERS)


def default_cache_dir(root: Path) -> Path:
    """The cache of the project at `root`."""
    return root / "cache"
