"""What changed between two fingerprints, named: the part, where it stands, how it is reached, and the difference."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

from jpipe.fingerprint.parts import Part, PartKind

_WITH_SOURCE = (PartKind.CODE, PartKind.HELPER, PartKind.CLASS, PartKind.EFFECTS, PartKind.MODULE)


class ChangeKind(str, Enum):
    """What happened to a part."""

    EDITED = "edited"
    ADDED = "added"
    """The step did not use it before."""
    REMOVED = "removed"
    """The step does not use it any more."""
    REBOUND = "rebound"
    """A name in it means something else now."""


class Change(NamedTuple):
    """One difference between two fingerprints.

    Attributes
    ----------
    kind : ChangeKind
    part : PartKind
        What the part is.
    name, file, line, via
        As in `Part`, of the new state unless the part is gone.
    old_text, new_text : str or None
        Source, value or version before and after.
    diff : str or None
        Unified diff of source text.
    note : str or None
        What is known of it because it is known what ran.
    """

    kind: ChangeKind
    part: PartKind
    name: str
    file: str | None
    line: int | None
    via: str | None
    old_text: str | None
    new_text: str | None
    diff: str | None
    note: str | None = None


def difference(old: Sequence[Part], new: Sequence[Part]) -> list[Change]:
    """What changed from `old` to `new`.

    Edited parts come first, then rebound names, then parts that are newly or no longer used. A part that was only
    renamed or moved is not a change. Where no part changed but how they are put together, the parts whose text differs
    are named.
    """
    pairs, gone, come = _paired(old, new)
    renamed = _renamed(gone, come)
    names = {one.name: other.name for one, other in renamed}
    moved = {id(part) for pair in renamed for part in pair}
    alike = [(one, other) for one, other in pairs if one.digest == other.digest or one.text == other.text]
    rebound = {id(other): _rebound(one, other, names) for one, other in alike}
    changes = [
        _edited(one, other)
        for one, other in [*pairs, *renamed]
        if one.digest != other.digest and not rebound.get(id(other))
    ]
    changes += [change for found in rebound.values() for change in found]
    changes += [_one_sided(ChangeKind.ADDED, part) for part in come if id(part) not in moved]
    changes += [_one_sided(ChangeKind.REMOVED, part) for part in gone if id(part) not in moved]
    return changes or [_edited(one, other) for one, other in pairs if one.text != other.text]


def _paired(old: Sequence[Part], new: Sequence[Part]) -> tuple[list[tuple[Part, Part]], list[Part], list[Part]]:
    """Parts of the same name in pairs, equal ones first, and those that are only in one of the lists."""
    before: dict[tuple[PartKind, str], list[Part]] = {}
    for part in old:
        before.setdefault(_identity(part), []).append(part)
    pairs: list[tuple[Part, Part]] = []
    unmatched: list[Part] = []
    for part in new:
        candidates = before.get(_identity(part), [])
        same = next((c for c in candidates if c.digest == part.digest), None)
        if same is None:
            unmatched.append(part)
        else:
            candidates.remove(same)
            pairs.append((same, part))
    come = []
    for part in unmatched:
        candidates = before.get(_identity(part), [])
        if candidates:
            pairs.append((candidates.pop(0), part))
        else:
            come.append(part)
    return pairs, [part for left in before.values() for part in left], come


def _identity(part: Part) -> tuple[PartKind, str]:
    """The step's own function is the same part whatever it is called."""
    return part.kind, "" if part.kind is PartKind.CODE else part.name


def _renamed(gone: list[Part], come: list[Part]) -> list[tuple[Part, Part]]:
    """Parts that are the same under another name, or that one name in the same place stands for now."""
    pairs: list[tuple[Part, Part]] = []
    left = list(come)
    for same in (_same_content, _same_short_name):
        for one in [p for p in gone if all(p is not paired for paired, _ in pairs)]:
            match = next((other for other in left if same(one, other)), None)
            if match is not None:
                pairs.append((one, match))
                left.remove(match)
    return pairs


def _same_content(one: Part, other: Part) -> bool:
    return one.kind is other.kind and one.digest == other.digest


def _same_short_name(one: Part, other: Part) -> bool:
    return one.kind is other.kind and one.name.rpartition(".")[2] == other.name.rpartition(".")[2]


def _edited(old: Part, new: Part) -> Change:
    diff = None
    if new.kind in _WITH_SOURCE and old.text != new.text:
        diff = _diff(old, new)
    return Change(ChangeKind.EDITED, new.kind, new.name, new.file, new.line, new.via, old.text, new.text, diff)


def _diff(old: Part, new: Part) -> str:
    before, after = (old.text or "").splitlines(), (new.text or "").splitlines()
    names = (old.file or old.name, new.file or new.name)
    return "\n".join(difflib.unified_diff(before, after, *names, n=2, lineterm=""))


def _rebound(old: Part, new: Part, names: dict[str, str]) -> list[Change]:
    """Names in an unchanged part that lead to other parts than before."""
    before = dict(old.uses)
    found = []
    for written, target in new.uses:
        was = before.get(written)
        if was is not None and was != target and names.get(was, was) != target:
            name = f"{new.name}: {written}"
            found.append(Change(ChangeKind.REBOUND, new.kind, name, new.file, new.line, new.via, was, target, None))
    return found


def _one_sided(kind: ChangeKind, part: Part) -> Change:
    old, new = (part.text, None) if kind is ChangeKind.REMOVED else (None, part.text)
    return Change(kind, part.kind, part.name, part.file, part.line, part.via, old, new, None)
