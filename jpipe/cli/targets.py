"""Which file, pipeline and steps the words of a command line mean."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from jpipe.system.project import SOURCE_FOLDER

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Place", "place_of"]

_NAMED = re.compile(r"(?P<file>.*):(?P<name>[^\W\d]\w*)", re.DOTALL)

_MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+")


class Place(NamedTuple):
    """What a command is about.

    Parameters
    ----------
    file
        The pipeline file, or None for the default one.
    pipeline
        Name of the pipeline in it, or None for the only one.
    steps
        The steps that were named.
    """

    file: Path | None
    pipeline: str | None
    steps: tuple[str, ...]


def place_of(words: Sequence[str]) -> Place:
    """Read ``[FILE][:PIPELINE] [STEP]...``.

    The first word names a file when it looks like one (``.py``, a path separator, ``:PIPELINE`` behind it) or when
    there is such a file; otherwise it is a step of the default file. A folder stands for the ``pipeline.py`` in it, and
    ``study.flow``, as for ``python -m``, for ``study/flow.py``.

    Parameters
    ----------
    words
        The words after the command.
    """
    if not words:
        return Place(None, None, ())
    text, name = _split(words[0])
    rest = tuple(words[1:])
    if name is not None and not text:
        return Place(None, name, rest)
    if name is not None or _names_file(text):
        return Place(_file(text), name, rest)
    return Place(None, None, tuple(words))


def _split(word: str) -> tuple[str, str | None]:
    """Cut ``:PIPELINE`` off. The colon of a drive (``C:main``) is part of the path."""
    found = _NAMED.fullmatch(word)
    if found is None or (os.name == "nt" and re.fullmatch("[A-Za-z]", found["file"])):
        return word, None
    return found["file"], found["name"]


def _names_file(text: str) -> bool:
    path = Path(text)
    if text.endswith(".py") or path.is_file() or (path / "pipeline.py").is_file() or _of_module(text):
        return True
    return any(separator in text for separator in ("/", os.sep)) and "[" not in text


def _file(text: str) -> Path:
    path = Path(text)
    return path / "pipeline.py" if path.is_dir() else _of_module(text) or path


def _of_module(text: str) -> Path | None:
    """The file of a module that is written with dots, in this folder or in ``src``."""
    if not _MODULE.fullmatch(text) or Path(text).exists():
        return None
    file = Path(*text.split(".")).with_suffix(".py")
    return next((path for path in (file, Path(SOURCE_FOLDER) / file) if path.is_file()), None)
