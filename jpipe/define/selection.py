"""Which calls of a pipeline are meant by the names, patterns and tags that a command was given.

====================  =====================================================================
``fit``               the step of that name
``fit_*``             steps whose names match, as in a shell
``+fit``              what ``fit`` alone means: a step comes with what it needs
``fit+``              the step and all that needs it, with what those need
``tag:slow``          steps with that tag
``exclude:plot_*``    not these steps, nor what needs them
====================  =====================================================================
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence

from jpipe.define.layout import Call
from jpipe.errors import NothingSelectedError, UsageError, did_you_mean
from jpipe.model.run_report import unknown_step

__all__ = ["EXCLUDE", "TAG", "calls_meant", "steps_meant"]

TAG = "tag:"
EXCLUDE = "exclude:"
_WILD = frozenset("*?[")


def calls_meant(words: Sequence[str], calls: Sequence[Call]) -> list[int]:
    """The numbers of the calls that take part.

    Parameters
    ----------
    words
        As in the table above; without one that names steps, all calls.
    calls
        Of the pipeline, each after those that it needs.

    Raises
    ------
    UsageError
        For a name, pattern or tag of no step.
    NothingSelectedError
        When nothing is left.
    """
    excluded = {word.removeprefix(EXCLUDE) for word in words if word.startswith(EXCLUDE)}
    wanted = [word for word in words if not word.startswith(EXCLUDE)]
    if not words:
        return [call.number for call in calls]
    without = _with_dependents(_named(excluded, calls), calls) if excluded else set()
    taken: set[int] = set()
    for word in wanted:
        named = _named([word], calls)
        taken |= _with_dependents(named, calls) if word.endswith("+") else named
    taken = (taken if wanted else {call.number for call in calls}) - without
    for call in reversed(calls):
        if call.number in taken:
            taken.update(call.needs)
    if not taken:
        raise NothingSelectedError("nothing is left to run", hint="exclude less")
    return sorted(taken)


def steps_meant(words: Iterable[str], calls: Sequence[Call]) -> frozenset[str]:
    """The names of the steps that words mean by themselves, without what these need or what needs them.

    Raises
    ------
    UsageError
        For a name, pattern or tag of no step.
    """
    wanted = [word for word in words if not word.startswith(EXCLUDE)]
    numbers = _named(wanted, calls)
    return frozenset(call.step.name for call in calls if call.number in numbers)


def _named(words: Iterable[str], calls: Sequence[Call]) -> set[int]:
    found: set[int] = set()
    for word in words:
        name = word.removeprefix("+").removesuffix("+")
        if name.startswith(TAG):
            tag = name.removeprefix(TAG)
            hits = {call.number for call in calls if tag in call.step.declared.tags}
        elif _WILD.isdisjoint(name):
            hits = {call.number for call in calls if call.step.name == name}
        else:
            hits = {call.number for call in calls if fnmatch.fnmatchcase(call.step.name, name)}
        if not hits:
            raise _unknown(name, calls)
        found |= hits
    return found


def _unknown(name: str, calls: Sequence[Call]) -> UsageError:
    if name.startswith(TAG):
        tag, known = name.removeprefix(TAG), sorted({tag for call in calls for tag in call.step.declared.tags})
        return UsageError(f"no step has the tag {tag!r}", hint=did_you_mean(tag, known, f"tags are {known or 'none'}"))
    known = list(dict.fromkeys(call.step.name for call in calls))
    if _WILD.isdisjoint(name):
        return unknown_step(name, known)
    return UsageError(f"no step matches {name!r}", hint=f"the steps are {', '.join(known)}")


def _with_dependents(numbers: set[int], calls: Sequence[Call]) -> set[int]:
    found = set(numbers)
    for call in calls:
        if not found.isdisjoint(call.needs):
            found.add(call.number)
    return found
