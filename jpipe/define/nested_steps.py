"""Steps that are called inside other steps, where they are ordinary functions."""

from __future__ import annotations

import dis
import types
from collections.abc import Iterator
from typing import Any

from jpipe.define.step import Step

__all__ = ["NOT_KEPT", "steps_inside"]

NOT_KEPT = "call it in the pipeline and pass its result on, to have it kept and run in parallel"


def steps_inside(step: Step[..., Any]) -> tuple[str, ...]:
    """The names of the other steps that the function of a step names in its code."""
    function: Any = step.function
    code = getattr(function, "__code__", None)
    if code is None:
        return ()
    known = {**function.__globals__, **dict(_closure(function))}
    found = (known.get(name) for name in _names(code))
    return tuple(dict.fromkeys(one.name for one in found if isinstance(one, Step) and one.function is not function))


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
