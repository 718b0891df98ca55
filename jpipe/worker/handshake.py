"""What a process of a cluster has to have in common with the main process before it may compute for it.

Keys are made in the main process. A worker on another machine, or one that outlives the run, may have another version
of the code, of jpipe or of a package, and what it computed would be filed as if it had not. So each process proves once
that it has what the keys were made of. The folder and the variables it takes over: see `jpipe.worker.surroundings`.
"""

from __future__ import annotations

import functools
import os
import platform
import sys
import threading
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

from blake3 import blake3

from jpipe.system.ownership import OWN_FOLDER
from jpipe.worker.function_reference import SourceStamp, source_digest

__all__ = ["Proof", "code_of_jpipe", "difference_here", "installed", "make_proof", "process_here"]


class Proof(NamedTuple):
    """What has to be the same.

    Parameters
    ----------
    token
        Tells it from others.
    process
        Of the main process, see `process_here`.
    python
        Implementation and version of the interpreter, as far as they matter.
    jpipe
        Version, and digest of the source.
    packages
        Versions of the installed packages that count.
    sources
        The user's own modules.
    """

    token: bytes
    process: str
    python: str
    jpipe: tuple[str, bytes]
    packages: tuple[tuple[str, str], ...]
    sources: tuple[SourceStamp, ...]


def make_proof(sources: Iterable[SourceStamp], packages: Iterable[tuple[str, str]]) -> Proof:
    """What this process has: the user's modules with these stamps and digests, and these packages."""
    return Proof(os.urandom(8), process_here(), _python(), code_of_jpipe(), tuple(packages), tuple(sources))


def installed(names: Iterable[tuple[str, str | None]]) -> tuple[tuple[str, str], ...]:
    """Of (package, text) those whose text is the version that is installed here."""
    return tuple((name, text) for name, text in dict.fromkeys(names) if text is not None and _version(name) == text)


_lock = threading.Lock()
_found: dict[bytes, str] = {}
_MOST = 64


def difference_here(proof: Proof) -> str:
    """In what this process differs, with the remedy; empty where it does not. Looked at once for each proof."""
    with _lock:
        known = _found.get(proof.token)
        if known is None:
            if len(_found) >= _MOST:
                _found.clear()
            known = _found[proof.token] = "" if proof.process == process_here() else _difference(proof)
        return known


def process_here() -> str:
    """What tells this process from any other, on any machine."""
    return f"{platform.node()}:{os.getpid()}:{_boot()}"


def _difference(proof: Proof) -> str:
    if proof.python != _python():
        return f"it runs {_python()}, and this run {proof.python}: start workers with the same Python"
    own_version, own_code = code_of_jpipe()
    if proof.jpipe[0] != own_version:
        return f"it has jpipe {own_version}, and this run {proof.jpipe[0]}: install the same there"
    if proof.jpipe[1] != own_code:
        return f"its jpipe {own_version} has other source files: install the same there, and start workers anew"
    for name, wanted in proof.packages:
        has = _version(name)
        if has != wanted:
            there = f"has {name} {has}" if has else f"has no {name}"
            return f"it {there}, and this run {wanted}: install the same there"
    for stamp in proof.sources:
        found = source_digest(stamp.file)
        if found is None:
            return f"it has no file {stamp.file}: start workers where they see the project"
        if found != stamp.digest:
            return f"its {stamp.file} is another one: bring the project there up to date"
    return ""


@functools.cache
def code_of_jpipe() -> tuple[str, bytes]:
    """jpipe's version, and a digest of its source."""
    import jpipe

    hasher = blake3()
    folder = Path(OWN_FOLDER)
    for path in sorted(folder.rglob("*.py"), key=lambda path: path.relative_to(folder).as_posix()):
        hasher.update(path.relative_to(folder).as_posix().encode() + b"\0" + blake3(path.read_bytes()).digest())
    return jpipe.__version__, hasher.digest()


def _python() -> str:
    return f"{platform.python_implementation()} {sys.version_info[0]}.{sys.version_info[1]}"


def _version(name: str) -> str | None:
    try:
        return version(name)
    except (PackageNotFoundError, ValueError):
        return None


@functools.cache
def _boot() -> str:
    try:
        return Path("/proc/self/stat").read_text("ascii").rsplit(")", 1)[1].split()[19]
    except (OSError, IndexError, ValueError):
        return ""
