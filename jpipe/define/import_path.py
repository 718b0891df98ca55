"""Where a project's modules are found: by its pipeline file, by its package, in ``src``, and where settings say."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from jpipe.settings import settings_for
from jpipe.system.package_place import package_place
from jpipe.system.project import SOURCE_FOLDER, find_root

__all__ = ["make_importable"]


def make_importable(file: Path, pythonpath: Iterable[Path] | None = None) -> None:
    """Put on ``sys.path`` what a pipeline file imports from, in this process.

    Parameters
    ----------
    file
        The pipeline file. Its folder comes first, as for a script; of a file inside a package the folder that holds
        the package comes first and its own last, as for ``python -m``. The folder ``src`` of the project comes last.
    pythonpath
        The setting of that name, whose folders come next; default: what the project says.
    """
    place = package_place(file)
    more = settings_for(file.parent).pythonpath if pythonpath is None else pythonpath
    source = find_root(file) / SOURCE_FOLDER
    first = [file.parent if place is None else place.folder, *more]
    last = [*([] if place is None else [file.parent]), *([source] if source.is_dir() else [])]
    sys.path[:0] = [folder for folder in map(str, first) if folder not in sys.path]
    sys.path += [folder for folder in dict.fromkeys(map(str, last)) if folder not in sys.path]
