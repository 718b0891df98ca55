"""The instant answer: what a finished run said, and everything that has to be the same for it to hold still.

A run after which nothing was left to do leaves a note. While every file, folder, variable and record that the note
names is as it was, by `os.stat` alone, ``jpipe run``, ``plan`` and ``status`` answer the same without importing the
pipeline file. In the least doubt there is no answer, and the command takes its usual way.

This module is all that an instant answer imports: it stays on the standard library, click's neighbours and BLAKE3.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any

from blake3 import blake3

from jpipe.files import is_cache, status_of
from jpipe.store.disk.signing import SigningKey
from jpipe.system import safe_paths as inside

__all__ = ["Asked", "Facts", "is_likely", "recall", "write"]

FORMAT = 2
RENEWED_AFTER = 3600.0
"""Seconds after which the usual way is taken once, which marks records as used, so that they are not pruned."""

_LAST_RUN = ".run"
"""What the name of a copy ends with of the note that tells what the run gave."""

Stamp = Sequence[int]


class Asked:
    """What was asked for: the note is filed under it.

    Parameters
    ----------
    file
        The pipeline file, absolute.
    pipeline
        The pipeline's name as it was given, or None.
    sets, targets
        The texts of ``--set``, and the steps that were named.
    cache
        The cache folder, absolute.
    """

    def __init__(
        self, file: str, pipeline: str | None, sets: Iterable[str], targets: Iterable[str], cache: str
    ) -> None:
        self.cache = cache
        self.path = list(sys.path)
        words = [FORMAT, file, pipeline, sorted(sets), sorted(targets), os.getcwd(), self.path, sys.executable]
        self.name: str = blake3(json.dumps([*words, sys.version, sys.flags.optimize]).encode()).hexdigest()

    @property
    def place(self) -> str:
        """Where the note is."""
        return inside.inside(self.cache, "v1", "answers", self.name)


class Facts:
    """What an answer depends on, as it is now; each of these can be asked again later.

    Attributes
    ----------
    files
        By path: (size, mtime_ns, ctime_ns) of a file; empty when there is none.
    folders
        By path: a digest of the names in a folder that can matter.
    looks
        By path and what of it was looked at: what a look without opening it tells.
    variables
        By name: a digest of the value of an environment variable.
    until
        Seconds since 1970 until which it holds.
    """

    def __init__(self) -> None:
        self.files: dict[str, Stamp] = {}
        self.folders: dict[str, str] = {}
        self.looks: dict[str, str] = {}
        self.variables: dict[str, str] = {}
        self.until = time.time() + RENEWED_AFTER

    def add_file(self, path: str) -> None:
        """A file counts, also when it is missing."""
        self.files[path] = _stamp(path)

    def add_folder(self, path: str, *, code: bool = False) -> None:
        """The names in a folder count; of ``code`` only those that an import could find."""
        self.folders[("code:" if code else "all:") + path] = _listing(path, code)

    def add_look(self, path: str, traits: str) -> None:
        """A look at a path without opening it counts; `traits` are those of `status_of`."""
        self.looks[f"{traits}:{path}"] = _look(path, traits)

    def add_variable(self, name: str) -> None:
        """The value of an environment variable counts."""
        self.variables[name] = _value(name)

    def to_json(self) -> dict[str, Any]:
        """As it is written down."""
        names = ("files", "folders", "looks", "variables", "until")
        return {name: getattr(self, name) for name in names}


def recall(asked: Asked) -> dict[str, Any] | None:
    """The answer that was left for what is asked, if everything that it depends on is as it was; else None."""
    note = _noted(asked)
    if note is None or not 0 <= note["until"] - time.time() <= RENEWED_AFTER or not _holds(note):
        return None
    answer: dict[str, Any] = note["answer"]
    return answer


def is_likely(asked: Asked) -> bool:
    """Whether a run will most likely find nothing to do although it has to look: no file is another than it was."""
    note = _noted(asked)
    return note is not None and _files_hold(note)


def _noted(asked: Asked) -> dict[str, Any] | None:
    try:
        raw = inside.read(asked.place)
        content = raw[32:]
        if not raw or _sign(asked, content, SigningKey.load()) != raw[:32]:
            return None
        note: dict[str, Any] = json.loads(content)
    except Exception:  # whatever is wrong with a note, the usual way is right
        return None
    return note


def write(asked: Asked, facts: Facts, answer: dict[str, Any], key: SigningKey) -> None:
    """Leave an answer.

    Raises
    ------
    OSError
        When it cannot be written.
    """
    content = json.dumps({**facts.to_json(), "answer": answer}, separators=(",", ":")).encode()
    with contextlib.suppress(FileExistsError):
        inside.mkdir(os.path.dirname(asked.place), 0o700)
    inside.put(f"{asked.place}{_LAST_RUN}", inside.read(answer["last_run"]["place"]))
    inside.put(asked.place, _sign(asked, content, key) + content)


def last_run_at(place: str) -> dict[str, Any]:
    """What an answer says of the note that tells what the last run of the pipeline gave."""
    return {"place": place, "stamp": _stamp(place)}


def make_last(asked: Asked, answer: dict[str, Any]) -> None:
    """Make the run that was answered the last one, whose results are shown and loaded: others may have come since."""
    known = answer["last_run"]
    if list(_stamp(known["place"])) == known["stamp"]:
        return
    # If that cannot be, the answer is right all the same.
    with contextlib.suppress(OSError):
        inside.put(known["place"], inside.read(f"{asked.place}{_LAST_RUN}"))


def forget(asked: Asked) -> None:
    """Remove the answer to what is asked, if there is one."""
    try:
        inside.unlink(asked.place)
    except OSError:
        return


def _sign(asked: Asked, content: bytes, key: SigningKey) -> bytes:
    return blake3(b"jpipe answer\0" + asked.name.encode() + content, key=key.secret).digest()


def _files_hold(note: dict[str, Any]) -> bool:
    return all(list(_stamp(path)) == stamp for path, stamp in note["files"].items())


def _holds(note: dict[str, Any]) -> bool:
    if not _files_hold(note):
        return False
    for name, value in note["variables"].items():
        if _value(name) != value:
            return False
    for marked, told in note["looks"].items():
        traits, _, path = marked.partition(":")
        if _look(path, traits) != told:
            return False
    for marked, listing in note["folders"].items():
        kind, _, path = marked.partition(":")
        if _listing(path, kind == "code") != listing:
            return False
    return True


def _stamp(path: str) -> Stamp:
    try:
        status = os.stat(path)
    except OSError:
        return []
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def _look(path: str, traits: str) -> str:
    told = status_of(path, traits).decode()
    if "l" in traits and told.endswith("link"):
        told += os.readlink(path)
    return told


def _value(name: str) -> str:
    value = os.environ.get(name)
    return "" if value is None else blake3(value.encode("utf-8", "surrogateescape")).hexdigest()


def _listing(path: str, code: bool) -> str:
    names = []
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.name == "__pycache__" or (entry.name == "cache" and is_cache(entry.path)):
                    continue
                if not code:
                    names.append(f"{entry.name}/{entry.is_dir()}")
                elif entry.name.endswith((".py", ".so", ".pyd", ".pth", ".zip")) or _is_package(entry):
                    names.append(entry.name)
    except OSError:
        return ""
    return blake3("\0".join(sorted(names)).encode("utf-8", "surrogateescape")).hexdigest()


def _is_package(entry: os.DirEntry[str]) -> bool:
    return "." not in entry.name and entry.is_dir()
