"""Who asks the system for something: the user's own code, a package, an import, or jpipe for its own ends."""

from __future__ import annotations

import importlib
import linecache
import os
import sys
import tokenize
from typing import Any, NamedTuple

from jpipe.system.ownership import OWN_FOLDER, Owner, owner_of

__all__ = ["Asker", "asker", "takes_text"]

_FROZEN = "<frozen importlib"
_IMPORTLIB = (_FROZEN, os.path.dirname(importlib.__file__) + os.sep)
_CALLERS = tuple(
    os.path.join(OWN_FOLDER, *place)
    for place in (
        ("worker", "run_item.py"),
        ("parallel", "map_worker.py"),
        ("parallel", "loky_backend.py"),
        ("parallel", "item_source.py"),
    )
)
"""Where functions and iterators of the user's go on, which may be a package's: they do not ask on jpipe's behalf."""


_BETWEEN = os.path.join(OWN_FOLDER, "system", "watched_os.py")


class Asker(NamedTuple):
    """Who asks.

    Parameters
    ----------
    is_users
        Whether it is the user's own code, with nothing but the standard library in between.
    is_package
        Whether a package is in between.
    is_import
        Whether it is done in search of modules, or because an installed package is imported.
    is_own
        Whether jpipe asks for its own ends.
    """

    is_users: bool
    is_package: bool
    is_import: bool
    is_own: bool


def asker(depth: int) -> Asker:
    """Who asks, told from the frames from `depth` on outwards."""
    frame: Any = sys._getframe(depth + 1)
    package = imported = False
    while frame is not None:
        file: str = frame.f_code.co_filename
        if file.startswith(_IMPORTLIB):
            imported = True
        elif file != _BETWEEN:
            owner = owner_of(file)
            if owner in (Owner.USER, Owner.CELL):
                # What a module of the user's reads when it is imported, it reads itself.
                return Asker(not package, package, imported, False)
            if owner is Owner.JPIPE:
                return Asker(False, package, imported, file not in _CALLERS)
            package |= owner is Owner.PACKAGE
        frame = frame.f_back
    return Asker(not package, package, imported, False)


def takes_text(depth: int) -> bool:
    """Whether a source file is opened for its text, told from the frames from `depth` on outwards.

    Not where it is compiled because it is imported: then what counts is its code. And what `linecache` opens is told
    by whoever asks that (`jpipe.system.code_tracer`), for it opens a file only once.
    """
    frame: Any = sys._getframe(depth + 1)
    names = []
    while frame is not None and frame.f_code.co_filename.startswith(_FROZEN):
        names.append(frame.f_code.co_name)
        frame = frame.f_back
    if names:
        return names[:3] != ["get_data", "get_code", "exec_module"]
    return not (
        frame is not None
        and frame.f_code.co_filename == tokenize.__file__
        and frame.f_back is not None
        and frame.f_back.f_code.co_filename == linecache.__file__
    )
