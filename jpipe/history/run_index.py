"""The rows of runs: one line of JSON for each, appended to one file of the cache.

Kept apart from the journal because an instant answer adds its row too, and loads next to nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jpipe.system import safe_paths as inside

__all__ = [
    "KEPT_RUNS",
    "ROWS",
    "append_row",
    "checkout_of",
    "commit_of",
    "journal_folder",
    "json_line",
    "open_to_append",
]

KEPT_RUNS = 100
"""Journals of so many runs are kept, and so many rows of runs that had nothing to do."""
ROWS = "runs.jsonl"
_TRIM_ABOVE = 256 << 10
_ENCODER = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)


def journal_folder(cache: Path) -> str:
    """Where the journals of a cache are."""
    return inside.inside(cache, "v1", "notes", "journals")


def append_row(folder: str, row: Mapping[str, Any]) -> None:
    """Add the row of a run; a file of rows that has grown too long is cut."""
    path = f"{folder}/{ROWS}"
    descriptor = open_to_append(path)
    if descriptor is None:
        return
    try:
        os.write(descriptor, json_line(row))
        size = os.fstat(descriptor).st_size
    except OSError:
        return
    finally:
        os.close(descriptor)
    if size > _TRIM_ABOVE:
        _trim(path)


def checkout_of(root: Path) -> str:
    """A few digits that tell a project's folder from others, and do not name it: the cache may be shared."""
    from blake3 import blake3

    return blake3(os.fsencode(root)).hexdigest(6)


def commit_of(root: Path) -> str:
    """The first digits of the commit that is checked out in a project; "" where that is not easily told."""
    try:
        folder = root / ".git"
        if folder.is_file():
            folder = (root / folder.read_text("utf-8").removeprefix("gitdir:").strip()).resolve()
        head = (folder / "HEAD").read_text("utf-8").strip()
        if not head.startswith("ref:"):
            return head[:12]
        return _commit_of_branch(folder, head.removeprefix("ref:").strip())[:12]
    except (OSError, ValueError):
        return ""


def _commit_of_branch(folder: Path, reference: str) -> str:
    common = folder / "commondir"
    if common.exists():
        folder = (folder / common.read_text("utf-8").strip()).resolve()
    loose = folder / reference
    if loose.exists():
        return loose.read_text("utf-8").strip()
    for line in (folder / "packed-refs").read_text("utf-8").splitlines():
        commit, _, name = line.partition(" ")
        if name == reference:
            return commit
    return ""


def json_line(row: Mapping[str, Any] | str) -> bytes:
    """A row as it is written."""
    return _ENCODER.encode(row).encode("utf-8", "surrogateescape") + b"\n"


def open_to_append(path: str) -> int | None:
    """A descriptor for adding to a file of a cache; None where that cannot be had."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    try:
        return inside.open(path, flags, 0o600)
    except FileNotFoundError:
        pass
    except OSError:
        return None
    try:
        inside.mkdir(os.path.dirname(path), 0o700)
        return inside.open(path, flags, 0o600)
    except OSError:
        return None


def _trim(path: str) -> None:
    """Keep the last rows of runs that did something, and the last of those that did not."""
    with contextlib.suppress(OSError):
        lines = inside.read(path).splitlines(keepends=True)
        idle = [line for line in lines if b'"outcome":"cached"' in line]
        kept = set(idle[-KEPT_RUNS:]) | set([line for line in lines if b'"outcome":"cached"' not in line][-KEPT_RUNS:])
        inside.put(path, b"".join(line for line in lines if line in kept))
