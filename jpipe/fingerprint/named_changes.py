"""Changes of code as whoever reads a plan would name them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from jpipe.fingerprint import BUILTIN, UNDEFINED, Change, ChangeKind, Part, PartKind, difference
from jpipe.system.ownership import Owner, owner_of

__all__ = ["code_changes", "code_file", "own_parts"]

_DEFINITION = re.compile(r"\s*(async\s+def|def|class)\b")
_ONE_SIDED = (ChangeKind.ADDED, ChangeKind.REMOVED)


def code_changes(old: Sequence[Part], new: Sequence[Part], step: str, module: str | None = None) -> tuple[Change, ...]:
    """What changed between two fingerprints of a step.

    Names are those of the file that the step is in: what stands there goes without the module's name, and the step
    itself under its own. `via` tells the whole way from the step. Parts that are newly or no longer used because of
    another change are left out.

    Parameters
    ----------
    old, new
        The parts of both fingerprints.
    step, module
        The step's name, and the module of its function; by default what stands before the function's name.
    """
    if module is None:
        module = next((part.name.rpartition(".")[0] for part in new if part.kind is PartKind.CODE), "")
    old, new = own_parts(old), own_parts(new)
    parts: dict[str, Part] = {}
    for part in [*new, *old]:
        parts.setdefault(part.name, part)  # the first is the one nearest to the step
    found = list(difference(old, new))
    found = [change for change in found if not _says_nothing(change)] or found
    causes = {_cause(change) for change in found if change.kind not in _ONE_SIDED}
    told = [c for c in found if c.kind not in _ONE_SIDED or not any(name in causes for name in _way(c.via, parts))]
    return tuple(_named(change, parts, step, module) for change in told or found)


def _says_nothing(change: Change) -> bool:
    """The text is the same, and what it refers to is told by other changes."""
    told = change.new_text is not None and change.new_text == change.old_text
    return change.kind is ChangeKind.EDITED and change.diff is None and told


def code_file(parts: Sequence[Part]) -> str | None:
    """The file that the step of a fingerprint stands in; None where it is unknown, or a cell of a notebook."""
    code = next((part for part in own_parts(parts) if part.kind is PartKind.CODE), None)
    return None if code is None or code.file is None or owner_of(code.file) is not Owner.USER else code.file


def own_parts(parts: Sequence[Part]) -> list[Part]:
    """The parts, each once; of a decorated step what the user wrote is its code, and the wrapper is a helper."""
    found = list(dict.fromkeys(parts))
    code = next((part for part in found if part.kind is PartKind.CODE), None)
    if code is None:
        return found
    inner = [part for part in found if part.kind is PartKind.HELPER and part.name == code.name]
    if not inner:
        return found
    innermost = inner[-1]
    told = []
    for part in found:
        if part is innermost:
            told.append(part._replace(kind=PartKind.CODE, via=None))
        elif part in inner and (part.file, part.line) == (innermost.file, innermost.line):
            continue
        elif part is code or part in inner:
            told.append(part._replace(kind=PartKind.HELPER, name=_defined_name(part), via=code.name))
        else:
            told.append(part)
    return told


def _defined_name(part: Part) -> str:
    """The name in the ``def`` of a part, with its module: a wrapper has the name of what it wraps."""
    for text in (part.text or "").splitlines():
        found = _DEFINITION.match(text)
        if found:
            return f"{part.name.rpartition('.')[0]}.{text[found.end() :].strip().partition('(')[0]}"
    return part.name


def _cause(change: Change) -> str:
    """The part that a change is in."""
    return change.name.rpartition(": ")[0] if change.kind is ChangeKind.REBOUND else change.name


def _way(via: str | None, parts: Mapping[str, Part]) -> Iterator[str]:
    """The parts through which one is reached, the nearest first."""
    seen: set[str] = set()
    while via is not None and via not in seen:
        seen.add(via)
        yield via
        part = parts.get(via)
        via = part.via if part is not None else None


def _named(change: Change, parts: Mapping[str, Part], step: str, module: str) -> Change:
    def short(name: str) -> str:
        part = parts.get(name)
        if part is not None and part.kind is PartKind.CODE:
            return step
        return name.removeprefix(f"{module}.")

    way = [short(name) for name in _way(change.via, parts)]
    told = change._replace(via=" → ".join(reversed(way)) or None, line=_line(change, parts))
    if change.kind is ChangeKind.REBOUND:
        return _rebound(told, parts)
    if change.part is PartKind.ENVIRONMENT:
        return told._replace(name=change.name.removeprefix("environ "))
    return told._replace(name=step if change.part is PartKind.CODE else short(change.name))


def _rebound(change: Change, parts: Mapping[str, Part]) -> Change:
    """A name that means something else: it is of the kind of what it means now."""
    name = change.name.rpartition(": ")[2]
    target = parts.get(change.new_text or "")
    kind = target.kind if target is not None else PartKind.HELPER
    told = change._replace(part=PartKind.HELPER if kind is PartKind.CODE else kind, name=name)
    if target is not None and change.old_text in (UNDEFINED, BUILTIN):
        told = told._replace(file=target.file, line=target.line)  # what is new is its definition
    return told


def _line(change: Change, parts: Mapping[str, Part]) -> int | None:
    """The line of ``def`` or ``class`` where a part begins with decorators; a default is where its function is."""
    part = parts.get(_cause(change).partition("(")[0])
    if change.line is None or part is None or part.text is None or part.kind not in _DEFINED:
        return change.line
    for offset, text in enumerate(part.text.splitlines()):
        if _DEFINITION.match(text):
            return change.line + offset
    return change.line


_DEFINED = (PartKind.CODE, PartKind.HELPER, PartKind.CLASS)
