"""What parsing told about files, kept between runs: one checked file, replaced as a whole."""

from __future__ import annotations

import contextlib
import marshal
import os
import sys
from pathlib import Path
from typing import Any

from blake3 import blake3

from jpipe.fingerprint.hashing import FORMAT, combine
from jpipe.system import safe_paths as inside

_CHECK = 32
_MAKERS = [
    *("../hashing", "../parts", "call_tokens", "make_template", "outline", "parse_cache", "plain_module", "scopes"),
    *("source_file", "syntax_tokens", "template"),
]
"""The modules that make the facts: whoever edits one has changed the format, whether or not they think of it."""

Stamp = tuple[int, int, int]
"""`(mtime_ns, ctime_ns, size)` of a file."""


def stamp_of(path: str) -> Stamp | None:
    """The stamp of a file, None when there is none."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size


def _head() -> bytes:
    """What the file starts with: what was kept by other code than this, or for another Python, is of another kind."""
    folder = Path(__file__).parent
    texts = [(folder / f"{maker}.py").read_bytes() for maker in _MAKERS]
    return combine("parse cache", FORMAT, sys.version, *texts)


class ParseCache:
    """Parsed facts by path and stamp.

    The file is `head | checksum | marshal of {path: (stamp, marshal of facts)}`. `marshal` trusts its input, so
    nothing is unmarshalled before the checksum holds; anything else reads as an empty cache.

    Parameters
    ----------
    path : str or Path or None
        The file, as `jpipe.system.safe_paths` knows it where it is in a cache; None keeps nothing.
    key : bytes, optional
        32 bytes that sign the checksum, so that only their owner can write entries that are believed.
    """

    def __init__(self, path: str | Path | None, key: bytes | None = None) -> None:
        self.path = None if path is None else os.fspath(path)
        self._key = key
        self._head = b""
        try:
            self._head = b"" if path is None else _head()
        except OSError:  # imported from an archive
            self.path = None
        self._entries: dict[str, tuple[Stamp, bytes]] = self._load()
        self._grown = False

    def _checksum(self, payload: bytes) -> bytes:
        return (blake3(payload, key=self._key) if self._key else blake3(payload)).digest()

    def _load(self) -> dict[str, tuple[Stamp, bytes]]:
        if self.path is None:
            return {}
        try:
            raw = inside.read(self.path)
        except OSError:
            return {}
        start = len(self._head)
        head, check, payload = raw[:start], raw[start : start + _CHECK], raw[start + _CHECK :]
        if head != self._head or check != self._checksum(payload):
            return {}
        try:
            entries = marshal.loads(payload)
        except (ValueError, EOFError, TypeError):
            return {}
        return entries if isinstance(entries, dict) else {}

    def get(self, path: str, stamp: Stamp) -> dict[Any, Any] | None:
        """The facts of a file, when it still has that stamp."""
        entry = self._entries.get(path)
        if entry is None or entry[0] != stamp:
            return None
        facts = marshal.loads(entry[1])
        return facts if isinstance(facts, dict) else None

    def put(self, path: str, stamp: Stamp, facts: dict[Any, Any]) -> None:
        """Remember the facts of a file."""
        self._entries[path] = (stamp, marshal.dumps(facts))
        self._grown = True

    def save(self) -> None:
        """Write what is new; losing the race with another run, or a full disk, only costs the next run a parse."""
        if self.path is None or not self._grown:
            return
        payload = marshal.dumps(self._entries)
        try:
            with contextlib.suppress(FileExistsError):
                inside.mkdir(os.path.dirname(self.path), 0o700)
            temporary = f"{self.path}.{os.getpid()}-{os.urandom(4).hex()}.new"
            handle = inside.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError:
            return
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(self._head + self._checksum(payload) + payload)
            inside.replace(temporary, self.path)
            self._grown = False
        except OSError:
            with contextlib.suppress(OSError):
                inside.unlink(temporary)
