"""What the code of a step shows before it runs that its author may not want: steps called inside it, a `yield`."""

from __future__ import annotations

import dis
import inspect
import types
from collections.abc import Iterator
from typing import Any, NamedTuple

from jpipe.define.step import Step
from jpipe.system.ownership import is_kind

__all__ = ["Advice", "advice_of", "steps_inside", "yields"]


class Advice(NamedTuple):
    """Something to know of a step.

    Parameters
    ----------
    text, remedy
        What it is, and what to do.
    costs_each_run
        Whether each run in which the step runs pays for it; else it is told once.
    """

    text: str
    remedy: str
    costs_each_run: bool


def advice_of(step: Step[..., Any]) -> Iterator[Advice]:
    """What there is to know of a step, as far as its code shows."""
    inner = steps_inside(step)
    if inner:
        text = f"{step.name}() calls the step {' and '.join(inner)}, which is not cached there"
        yield Advice(text, "call it in the pipeline and pass its result on, to have it kept and run in parallel", False)
    if yields(step):
        text = f"{step.name}() is a generator function: what it gives can be read only once and is never kept"
        yield Advice(text, "return a list in its place: collect what is yielded in a list, and return that", True)


def yields(step: Step[..., Any]) -> bool:
    """Whether a step whose results are to be kept gives generators, which cannot be."""
    is_one = inspect.isgeneratorfunction(step.function) or inspect.isasyncgenfunction(step.function)
    return is_one and step.declared.cache


def steps_inside(step: Step[..., Any]) -> tuple[str, ...]:
    """The names of the other steps that the function of a step names in its code."""
    function: Any = step.function
    code = getattr(function, "__code__", None)
    if code is None:
        return ()
    known = {**function.__globals__, **dict(_closure(function))}
    found = (known.get(name) for name in _names(code))
    steps: list[Any] = [one for one in found if is_kind(one, Step)]
    return tuple(dict.fromkeys(one.name for one in steps if one.function is not function))


def _closure(function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield name, cell.cell_contents
        except ValueError:  # not filled yet
            continue


def _names(code: types.CodeType) -> Iterator[str]:
    """The global names that code asks for, with that of the functions in it; `co_names` has attributes too."""
    yield from (one.argval for one in dis.get_instructions(code) if one.opname in ("LOAD_GLOBAL", "LOAD_NAME"))
    yield from code.co_freevars
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)
