"""Which code the results of a step depended on when it ran, as it is noted in the cache.

One note for each step, by the digest of its name::

    {"sets": {...: [["pipeline.py", "score"], ...]}, "entries": [{"family": ..., "pruned": ..., "items": ...,
     "earlier": ..., "left": ..., "keys": ..., "since": ..., "has_more": ...}]}

`sets` are lists of code by a digest of theirs: entries share them. There is one for each version of
the code; what it says holds for all of its `keys`, the first bytes of the keys of items, one after the other. Where it
is not known what ran, `untold` says why: `{"family": ..., "why": ...}`, of the last run only.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from blake3 import blake3

from jpipe.fingerprint import Executed
from jpipe.store import NoteKind, Store

__all__ = ["Execution", "executions", "has_more", "note_execution", "note_untold", "prefixes", "why_untold"]

MOST = 20
"""Of so many versions of the code of a step it is kept."""
PREFIX = 12
"""So many bytes tell keys apart."""


class Execution(NamedTuple):
    """What ran when items of a step were computed.

    Parameters
    ----------
    family
        The fingerprint of its code then.
    executed
        The code that ran.
    pruned
        That fingerprint without what did not run.
    keys
        The first bytes of the keys of the items.
    since
        Older records, made before this, do not count: seconds since 1970.
    has_more
        Whether code ran that the fingerprint does not lead to, so that the same fingerprint alone decides nothing.
    """

    family: bytes
    executed: Executed
    pruned: bytes
    keys: frozenset[bytes]
    since: float = 0.0
    has_more: bool = False

    def covers(self, key: bytes) -> bool:
        """Whether it speaks of an item."""
        return key[:PREFIX] in self.keys


def executions(store: Store, step: str) -> list[Execution]:
    """What is known of a step, the newest first; nothing where the note is not as this version writes it."""
    try:
        loaded = json.loads(store.read_note(NoteKind.EXECUTED, _name(step)) or b"null")
        sets = {name: frozenset(map(tuple, codes)) for name, codes in loaded["sets"].items()}
        return [
            Execution(
                bytes.fromhex(entry["family"]),
                Executed(*(sets[entry[which]] for which in Executed._fields)),
                bytes.fromhex(entry["pruned"]),
                _keys_from(entry["keys"]),
                float(entry["since"]),
                bool(entry["has_more"]),
            )
            for entry in loaded["entries"]
        ]
    except (TypeError, ValueError, KeyError):
        return []


def note_execution(store: Store, step: str, new: Execution) -> None:
    """Write down what ran, in place of what was noted of the same code; nothing where it speaks of no items."""
    others = [entry for entry in executions(store, step) if entry.family != new.family]
    untold = _untold(store, step)
    if untold is not None and untold["family"] == new.family.hex():
        untold = None
    _write(store, step, [*([new] if new.keys else []), *others][:MOST], untold)
    if new.has_more:
        store.write_note(NoteKind.MORE, new.family, b"")


def note_untold(store: Store, step: str, family: bytes, why: str) -> None:
    """Write down that of items of some code it is not known what ran, and why."""
    _write(store, step, executions(store, step), {"family": family.hex(), "why": why})


def why_untold(store: Store, step: str, family: bytes) -> str | None:
    """Why it is not known what ran of some code in its last run; None where it is, or nothing was noted."""
    untold = _untold(store, step)
    return untold["why"] if untold is not None and untold["family"] == family.hex() else None


def _untold(store: Store, step: str) -> dict[str, str] | None:
    try:
        untold = json.loads(store.read_note(NoteKind.EXECUTED, _name(step)) or b"null")["untold"]
        return {"family": str(untold["family"]), "why": str(untold["why"])}
    except (TypeError, ValueError, KeyError):
        return None


def _write(store: Store, step: str, entries: Sequence[Execution], untold: dict[str, str] | None) -> None:
    sets: dict[str, list[list[str]]] = {}
    rows: list[dict[str, Any]] = []
    for entry in entries:
        names = []
        for codes in entry.executed:
            listed = sorted(map(list, codes))
            name = blake3(json.dumps(listed).encode("utf-8", "surrogatepass")).hexdigest()[:32]
            sets[name] = listed
            names.append(name)
        keys = base64.b64encode(b"".join(sorted(entry.keys))).decode()
        row = {
            "family": entry.family.hex(),
            "pruned": entry.pruned.hex(),
            **dict(zip(Executed._fields, names, strict=True)),
        }
        rows.append({**row, "keys": keys, "since": entry.since, "has_more": entry.has_more})
    value = json.dumps({"sets": sets, "entries": rows, "untold": untold}, separators=(",", ":"))
    store.write_note(NoteKind.EXECUTED, _name(step), value.encode("utf-8", "surrogatepass"))


def has_more(store: Store, family: bytes) -> bool:
    """Whether code ran with the code of a fingerprint that it does not lead to."""
    return store.read_note(NoteKind.MORE, family) is not None


def prefixes(keys: Iterable[bytes]) -> frozenset[bytes]:
    """What an entry keeps of the keys of items."""
    return frozenset(key[:PREFIX] for key in keys)


def _keys_from(text: str) -> frozenset[bytes]:
    raw = base64.b64decode(text)
    return frozenset(raw[start : start + PREFIX] for start in range(0, len(raw), PREFIX))


def _name(step: str) -> bytes:
    return blake3(f"jpipe executed\0{step}".encode("utf-8", "surrogatepass")).digest()
