"""What changed between two fingerprints, named: the part, where it stands, how it is reached, and the difference."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from jpipe.fingerprint.parts import Part, PartKind

_WITH_SOURCE = (PartKind.CODE, PartKind.HELPER, PartKind.CLASS, PartKind.EFFECTS)


class ChangeKind(str, Enum):
    """What happened to a part."""

    EDITED = "edited"
    ADDED = "added"
    """The step did not use it before."""
    REMOVED = "removed"
    """The step does not use it any more."""
    REBOUND = "rebound"
    """A name in it means something else now."""


@dataclass(frozen=True, slots=True)
class Change:
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


def difference(old: Sequence[Part], new: Sequence[Part]) -> list[Change]:
    """What changed from `old` to `new`.

    Edited parts come first, then rebound names, then parts that are no longer or newly used; where an edit explains
    them, added and removed parts are still listed. A part that was only renamed or moved is no change.
    """
    before, after = _by_name(old), _by_name(new)
    edited = [
        _edited(before[key], after[key]) for key in after if key in before and before[key].digest != after[key].digest
    ]
    gone = [p for key, p in before.items() if key not in after]
    come = [p for key, p in after.items() if key not in before]
    renamed = _renamed(gone, come)
    edited += [_edited(one, other) for one, other in renamed if one.digest != other.digest]
    moved_old, moved_new = {id(one) for one, _ in renamed}, {id(other) for _, other in renamed}
    names = {one.name: other.name for one, other in renamed}
    rebound = [
        change
        for key in after
        if key in before and before[key].digest == after[key].digest
        for change in _rebound(before[key], after[key], names)
    ]
    return [
        *edited,
        *rebound,
        *(_one_sided(ChangeKind.ADDED, p) for p in come if id(p) not in moved_new),
        *(_one_sided(ChangeKind.REMOVED, p) for p in gone if id(p) not in moved_old),
    ]


def _by_name(parts: Sequence[Part]) -> dict[tuple[bool, str], Part]:
    """Parts by name; the step's own function is the same part whatever it is called."""
    return {(part.kind is PartKind.CODE, "" if part.kind is PartKind.CODE else part.name): part for part in parts}


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
