"""What steps leave behind in a process, and which of it a later one may have found in place of running what made it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from types import CodeType
from typing import NamedTuple

from jpipe.system.code_tracer import Code
from jpipe.system.ownership import is_users
from jpipe.worker.module_state import OF_FUNCTIONS, OF_INSTANCES, ModuleState, changes_since, state_of_modules

__all__ = ["LeftBehind", "Trail"]

_MOST_LOOKED = 2_000_000
"""Objects that are looked at in a process; then it is taken for granted that all was left behind."""
_MOST_TRAILS = 100
_WORD = re.compile(r"\w+")
_BY_ANY_NAME = frozenset(
    {
        "globals",
        "vars",
        "eval",
        "exec",
        "locals",
        "__dict__",
        "__builtins__",
        "__closure__",
        "__defaults__",
        "__kwdefaults__",
    }
)
"""Code that uses one of these finds what it does not name."""


class Trail(NamedTuple):
    """What one step left behind, as long as it was at work.

    Parameters
    ----------
    labels
        Names of which code has to use one to find it, as `module_state` spells them; None where any code may.
    ran
        What ran when it was made, in that step and in those whose trails it found.
    has_read
        Whether source text had been read.
    """

    labels: frozenset[str] | None
    ran: frozenset[Code]
    has_read: bool


class LeftBehind:
    """The trails of the steps of this process, in the order in which they ran."""

    def __init__(self) -> None:
        self._trails: list[Trail] = []
        self._state: ModuleState | None = None
        self._looked = 0

    def begin(self) -> None:
        """The first step begins: what is in the modules now, imports have left."""
        self._state = state_of_modules()

    def close(self, ran: frozenset[Code], has_read: bool) -> None:
        """A step has run, and another one is to begin."""
        labels: frozenset[str] | None = None
        if self._state is not None and self._looked < _MOST_LOOKED:
            found = changes_since(self._state)
            self._looked += len(self._state.held)
            labels, self._state = (None, None) if found is None else found
            if labels == frozenset():
                return
        self._trails.append(Trail(labels, ran, has_read))
        if len(self._trails) > _MOST_TRAILS:
            self._trails[:2] = [_together(*self._trails[:2])]

    def found_by(self, codes: Iterable[CodeType]) -> tuple[list[Trail], list[Trail]]:
        """The trails that code which ran may have found: by names in modules, and in an object that a library held."""
        if not self._trails:
            return [], []
        names: set[str] = set()
        everything = False
        for code in codes:
            used = _names_used(code)
            names |= used
            everything = everything or (is_users(code.co_filename) and not used.isdisjoint(_BY_ANY_NAME))
        sure = [trail for trail in self._trails if everything or trail.labels is None or _meet(names, trail.labels)]
        names |= {OF_INSTANCES + name for name in names}
        return sure, [trail for trail in self._trails if trail.labels is not None and _meet(names, trail.labels)]


def _together(one: Trail, other: Trail) -> Trail:
    labels = None if one.labels is None or other.labels is None else one.labels | other.labels
    return Trail(labels, one.ran | other.ran, one.has_read or other.has_read)


def _meet(names: set[str], labels: frozenset[str]) -> bool:
    """Whether one of the names is used, by code or by Python itself for an operator or a protocol."""
    return not names.isdisjoint(labels) or any(label.startswith("__") and label.endswith("__") for label in labels)


def _names_used(code: CodeType) -> set[str]:
    """Every name with which code gets at something: of globals, of attributes, its own.

    Words in its strings are among them: a library may look for variables under these.
    """
    names = {*code.co_qualname.split("."), OF_FUNCTIONS + code.co_qualname}
    stack = [code]
    while stack:
        current = stack.pop()
        names.update(current.co_names)
        for place, constant in enumerate(current.co_consts):
            if isinstance(constant, CodeType):
                stack.append(constant)
            elif isinstance(constant, str) and not (place == 0 and _has_docstring(current)):
                names.add(constant)
                names.update(_WORD.findall(constant))
    return names


def _has_docstring(code: CodeType) -> bool:
    """Whether its first constant is a docstring; where no flag says so, None stands there without one."""
    flag: int | None = getattr(inspect, "CO_HAS_DOCSTRING", None)
    return not code.co_name.startswith("<") if flag is None else bool(code.co_flags & flag)
