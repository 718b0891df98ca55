"""What changed of the code that ran, as whoever reads a plan would name it: a helper that ran, a member that is new."""

from __future__ import annotations

import ast
import difflib
import functools
import textwrap
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from jpipe.fingerprint.changes import Change, ChangeKind
from jpipe.fingerprint.hashing import combine
from jpipe.fingerprint.named_changes import code_changes
from jpipe.fingerprint.parts import Executed, Part, PartKind
from jpipe.model.reasons import HAD_IT, HAD_NONE, IT_RAN

__all__ = ["changes_of_what_ran", "functions_that_did_not_run"]

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def changes_of_what_ran(
    old: Sequence[Part], new: Sequence[Part], executed: Executed, step: str, module: str
) -> tuple[Change, ...]:
    """What changed between two fingerprints of a step, without the bodies of functions that did not run.

    Parameters
    ----------
    old, new
        The parts of both.
    executed
        What ran with the old ones.
    step, module
        As for `code_changes`.
    """
    changes = code_changes(_parts_that_ran(old, executed), _parts_that_ran(new, executed), step, module)
    return tuple(told for change in changes for told in _told(change))


def functions_that_did_not_run(parts: Sequence[Part], executed: Executed) -> list[Part]:
    """The functions among the parts that did not run."""
    ran = executed.items | executed.earlier | executed.left | executed.held
    classes = {part.name for part in parts if part.kind is PartKind.CLASS}

    def did_run(part: Part) -> bool:
        # Where the name of the module ends and that of the function begins cannot be told from the whole name.
        starts = [k for k, letter in enumerate(part.name) if letter == "."]
        return any((part.file, part.name[k + 1 :]) in ran and part.name[:k] not in classes for k in starts)

    return [part for part in parts if part.kind is PartKind.HELPER and not did_run(part)]


def _parts_that_ran(parts: Sequence[Part], executed: Executed) -> list[Part]:
    """The parts as they count: of a function that did not run its head, and its defaults."""
    idle = {id(part): part for part in functions_that_did_not_run(parts, executed)}
    names = {part.name for part in idle.values()}
    kept: list[Part] = []
    dropped: set[str] = set()
    for part in parts:  # each after the one that it is reached from
        if id(part) in idle:
            head = _head(part.text)
            if head is not None:
                kept.append(part._replace(text=head, digest=combine("head", head), uses=()))
        elif part.via in names | dropped and not part.name.startswith(f"{part.via}("):
            dropped.add(part.name)
        else:
            kept.append(part)
    return kept


@functools.cache
def _head(text: str | None) -> str | None:
    """The first lines of a function, without its body, the values of its defaults, and annotations."""
    found = _parsed(text)
    if not isinstance(found, _FUNCTIONS):
        return None
    arguments = found.args
    for argument in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]:
        if argument is not None:
            argument.annotation = None
    arguments.defaults = [ast.Constant(...) for _ in arguments.defaults]
    arguments.kw_defaults = [None if default is None else ast.Constant(...) for default in arguments.kw_defaults]
    found.returns, found.body = None, [ast.Expr(ast.Constant(...))]
    return ast.unparse(found)


def _parsed(text: str | None) -> ast.stmt | None:
    """The one statement that a text is."""
    try:
        body = ast.parse(textwrap.dedent(text or "")).body
    except SyntaxError:
        return None
    return body[0] if len(body) == 1 else None


def _told(change: Change) -> Iterator[Change]:
    """A change with what is known of it because of what ran."""
    if change.kind is not ChangeKind.EDITED:
        yield change
    elif change.part is PartKind.CLASS:
        yield from _told_of_class(change)
    elif change.part is PartKind.HELPER:
        is_head = (change.new_text or "").endswith(_NO_BODY)
        yield change._replace(note=None if is_head else IT_RAN)
    else:
        yield change


_NO_BODY = ":\n    ..."


class _Class(NamedTuple):
    """What a class says."""

    head: str
    """Its decorators, bases and metaclass, and what it holds beside functions; of these only the heads."""
    members: dict[str, tuple[int, str]]
    """By name of its functions: the line of each, counted from that of the class, and its text."""


def _class(text: str | None) -> _Class | None:
    found = _parsed(text)
    if not isinstance(found, ast.ClassDef):
        return None
    members = {
        one.name: (one.lineno - 1, textwrap.indent(ast.unparse(one), "    "))
        for one in found.body
        if isinstance(one, _FUNCTIONS)
    }
    for one in found.body:
        if isinstance(one, _FUNCTIONS):
            one.body = [ast.Expr(ast.Constant(...))]
    found.body = [one for one in found.body if not _is_text(one)] or [ast.Pass()]
    return _Class(ast.unparse(found), members)


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _without(head: str, members: Sequence[str]) -> str:
    """What a class says, without some of its functions."""
    found = ast.parse(head).body[0]
    assert isinstance(found, ast.ClassDef)
    found.body = [o for o in found.body if not (isinstance(o, _FUNCTIONS) and o.name in members)] or [ast.Pass()]
    return ast.unparse(found)


def _told_of_class(change: Change) -> Iterator[Change]:
    """The functions that a class has more or less; the class itself where something else of it changed."""
    old, new = _class(change.old_text), _class(change.new_text)
    if old is None or new is None:
        yield change
        return
    name, first = change.name, change.line or 1
    added = [member for member in new.members if member not in old.members]
    removed = [member for member in old.members if member not in new.members]
    before, after = _without(old.head, removed), _without(new.head, added)
    if before != after:
        yield change._replace(diff=_diff(before.splitlines(), after.splitlines()))
    elif not (added or removed):
        yield change
    via = f"{change.via} → {name}" if change.via else name
    for member in added:
        line, text = new.members[member]
        told = change._replace(kind=ChangeKind.ADDED, name=f"{name}.{member}", line=first + line, via=via)
        diff = _diff([], text.splitlines())
        yield told._replace(old_text=None, new_text=text, diff=diff, note=f"{name} {HAD_NONE}")
    for member in removed:
        _, text = old.members[member]
        told = change._replace(kind=ChangeKind.REMOVED, name=f"{name}.{member}", via=via)
        diff = _diff(text.splitlines(), [])
        yield told._replace(old_text=text, new_text=None, diff=diff, note=f"{name} {HAD_IT}")


def _diff(old: list[str], new: list[str]) -> str:
    return "\n".join(difflib.unified_diff(old, new, n=0, lineterm=""))
