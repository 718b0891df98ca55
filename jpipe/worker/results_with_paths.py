"""Whether a result names the folder of the project: in a copy of the project, or for a colleague, it is another."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any

from jpipe.store import BlobPlace, Inline, Store

__all__ = ["names_folder"]

SEARCHED = 16 << 20
"""Of a large result the beginning is searched, where everything is that is not a plain array, bytes."""


def names_folder(where: Any, store: Store, folder: str) -> bool:
    """Whether a stored result holds the path of a folder, as a text or as a path object.

    Parameters
    ----------
    where
        Where the result is.
    """
    if isinstance(where, Inline):
        content = where.payload
    elif isinstance(where, BlobPlace):
        try:
            with open(store.disk.blobs.path(where.id), "rb", buffering=0) as file:
                content = file.read(SEARCHED)
        except OSError:
            return False
    else:
        return False
    texts, parts = _patterns(folder)
    # Not `in`, which first asks whether what it is given is a number, and makes an error of it.
    if max(map(content.find, texts)) >= 0:
        return True
    return min(map(content.find, parts)) >= 0


@functools.lru_cache(maxsize=8)
def _patterns(folder: str) -> tuple[list[bytes], list[bytes]]:
    """What to look for: the path in the ways that texts are kept, and its parts as pickled paths keep them."""
    texts = [os.fsencode(folder), *(folder.encode(code, "surrogatepass") for code in ("utf-32-le", "utf-16-le"))]
    names = [os.fsencode(part) for part in Path(folder).parts[1:]]
    return texts, [b"\x8c" + bytes([len(name)]) + name for name in names if len(name) < 256] or texts
