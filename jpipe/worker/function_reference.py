"""How a step's function gets to a worker: by name where it can be imported, by value where it cannot."""

from __future__ import annotations

import importlib
import os
import pickle
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from blake3 import blake3

from jpipe.define.import_guard import importing
from jpipe.define.loader import import_file
from jpipe.define.step import Step
from jpipe.system import by_value, main_module
from jpipe.system.ownership import owns_file

__all__ = [
    "FunctionReference", "SourceStamp", "reference_to", "renewed", "source_digest", "source_stamps", "stale_sources",
]  # fmt: skip


class FunctionReference(NamedTuple):
    """A function that another process can find.

    Parameters
    ----------
    module, qualname, file
        Where it is defined; `file` is None for a module that is installed.
    folders
        The user's own entries of ``sys.path``.
    pickled
        What cannot be had by name: the function by value, if it is such a one, and the name and the classes of the
        script that runs the pipeline.
    """

    module: str
    qualname: str
    file: str | None
    folders: tuple[str, ...]
    pickled: bytes | None = None

    def resolve(self) -> Callable[..., Any]:
        """The function, in this process.

        Raises
        ------
        ImportError, AttributeError
            When it is not there any more.
        """
        known = _resolved.get(self)
        if known is None:
            for folder in self.folders:
                if folder not in sys.path:
                    sys.path.append(folder)
            known = _resolved[self] = self._found()
        main_module.adopt(known.script, known.names)
        return known.function

    def _found(self) -> _Resolved:
        if self.file is not None and self.module not in sys.modules:
            self._import()
        found, name, names = (None, None, {}) if self.pickled is None else pickle.loads(self.pickled)
        if found is None:
            found = _by_name(self.module, self.qualname)
        elif self.module == "__main__":
            names = {**names, **found.__globals__}
        return _Resolved(found.function if isinstance(found, Step) else found, name, names)

    def _import(self) -> None:
        if self.module == "__main__":
            return
        if "." in self.module:
            with importing(str(self.file)):
                importlib.import_module(self.module)
        else:
            import_file(self.module, Path(str(self.file)))


class _Resolved(NamedTuple):
    """A function, and what to take for the script that it comes from."""

    function: Callable[..., Any]
    script: str | None = None
    names: Mapping[str, Any] = {}


_resolved: dict[FunctionReference, _Resolved] = {}


def reference_to(step: Step[..., Any], folders: Iterable[str]) -> FunctionReference:
    """A reference to the function of a step."""
    module, qualname = step.address
    loaded = sys.modules.get(module)
    file = getattr(loaded, "__file__", None)
    function = None if _is_named(step, module, qualname) else step.function
    classes = main_module.classes()
    sent = (function, main_module.script_name(), classes)
    pickled = None if function is None and not classes else by_value.dumps(sent)
    reference = FunctionReference(module, qualname, os.path.abspath(file) if file else None, tuple(folders), pickled)
    # In this process it is the function itself, with its globals.
    _resolved[reference] = _Resolved(step.function)
    return reference


def _is_named(step: Step[..., Any], module: str, qualname: str) -> bool:
    if module == "__main__" or not module:
        return False
    try:
        found = _by_name(module, qualname)
    except (ImportError, AttributeError, ValueError):
        return False
    return found is step or (found.function if isinstance(found, Step) else found) is step.function


def _by_name(module: str, qualname: str) -> Any:
    found: Any = importlib.import_module(module)
    for name in qualname.split("."):
        found = getattr(found, name)
    return found


class SourceStamp(NamedTuple):
    """The source file of one of the user's modules, as the main process imported it.

    `digest` is the BLAKE3 of its bytes where other machines have to tell, whose files have other times.
    """

    module: str
    file: str
    mtime_ns: int
    size: int
    digest: bytes = b""

    @property
    def is_on_disk(self) -> bool:
        """Whether the file is still the one that the main process imported."""
        try:
            status = os.stat(self.file)
        except OSError:
            return False
        if (status.st_mtime_ns, status.st_size) == (self.mtime_ns, self.size):
            return True
        return bool(self.digest) and self.size >= 0 and source_digest(self.file) == self.digest

    def with_digest(self) -> SourceStamp:
        """The same for other machines."""
        return self._replace(digest=source_digest(self.file) or b"")


def source_digest(file: str) -> bytes | None:
    """The BLAKE3 of a file; None where it cannot be read."""
    try:
        return blake3(Path(file).read_bytes()).digest()
    except OSError:
        return None


def source_stamps(old: Collection[str] = ()) -> tuple[SourceStamp, ...]:
    """Stamps of all of the user's own modules that are loaded here.

    Parameters
    ----------
    old
        Files that were edited after they were imported here: no other process can import what runs in this one.
    """
    stamps = []
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and name != "__main__" and file.endswith(".py") and owns_file(file):
            try:
                status = os.stat(file)
            except OSError:
                continue
            stamps.append(SourceStamp(name, file, status.st_mtime_ns, -1 if file in old else status.st_size))
    return tuple(stamps)


_verified: set[SourceStamp] = set()
_imported: dict[str, SourceStamp] = {}
"""By module: the source that this process runs, where that is known."""


def renewed(stamps: Iterable[SourceStamp], *, knows_all: bool = True) -> bool:
    """Forget the user's modules where this process runs older source than the main process; they are imported anew.

    A worker outlives an edit where a session goes on, as in a notebook or on a cluster. Says whether there were any.

    Parameters
    ----------
    knows_all
        Whether all modules here were imported for the run: on a cluster others may have imported some, long ago.
    """
    stamps = list(stamps)

    def is_older(stamp: SourceStamp) -> bool:
        known = _imported.get(stamp.module, stamp if knows_all else None)
        return stamp.module in sys.modules and known != stamp

    if not any(map(is_older, stamps)):
        return False
    for stamp in stamps:
        sys.modules.pop(stamp.module, None)
    _imported.clear()
    _verified.clear()
    _resolved.clear()
    importlib.invalidate_caches()
    return True


def stale_sources(stamps: Iterable[SourceStamp]) -> list[str]:
    """Files that this process imported after they were edited: what it would run is not what was fingerprinted."""
    edited = []
    for stamp in stamps:
        if stamp in _verified or stamp.module not in sys.modules:
            continue
        if stamp.is_on_disk:
            _verified.add(stamp)
            _imported[stamp.module] = stamp
        else:
            edited.append(stamp.file)
    return edited
