"""What parsing told about files, kept between runs: one checked file, replaced as a whole."""

from __future__ import annotations

import marshal
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from blake3 import blake3

from jpipe.fingerprint.hashing import FORMAT, combine

_HEAD = combine("parse cache", FORMAT, sys.version)
_CHECK = 32

Stamp = tuple[int, int, int]
"""`(mtime_ns, ctime_ns, size)` of a file."""


def stamp_of(path: str) -> Stamp | None:
    """The stamp of a file, None when there is none."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size


class ParseCache:
    """Parsed facts by path and stamp.

    The file is `head | checksum | marshal of {path: (stamp, marshal of facts)}`. `marshal` trusts its input, so
    nothing is unmarshalled before the checksum holds; anything else reads as an empty cache.

    Parameters
    ----------
    path : Path or None
        The file; None keeps nothing.
    key : bytes, optional
        32 bytes that sign the checksum, so that only their owner can write entries that are believed.
    """

    def __init__(self, path: Path | None, key: bytes | None = None) -> None:
        self.path = path
        self._key = key
        self._entries: dict[str, tuple[Stamp, bytes]] = self._load()
        self._grown = False

    def _checksum(self, payload: bytes) -> bytes:
        return (blake3(payload, key=self._key) if self._key else blake3(payload)).digest()

    def _load(self) -> dict[str, tuple[Stamp, bytes]]:
        if self.path is None:
            return {}
        try:
            raw = self.path.read_bytes()
        except OSError:
            return {}
        head, check, payload = raw[: len(_HEAD)], raw[len(_HEAD) : len(_HEAD) + _CHECK], raw[len(_HEAD) + _CHECK :]
        if head != _HEAD or check != self._checksum(payload):
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
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(prefix=self.path.name, suffix=".new", dir=self.path.parent)
        except OSError:
            return
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(_HEAD + self._checksum(payload) + payload)
            os.replace(temporary, self.path)
            self._grown = False
        except OSError:
            Path(temporary).unlink(missing_ok=True)
