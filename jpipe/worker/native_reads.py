"""Files that compiled code or a process opens untold: those whose names a step is given, or holds, count."""

from __future__ import annotations

import os
import types
from collections.abc import Iterable, Iterator
from typing import Any

from jpipe.system.ownership import owns_function
from jpipe.system.watch import Watch

__all__ = ["note_visible_files"]

DEPTH = 4
"""How deep functions and containers are looked into."""
LONGEST = 4096
"""Longer texts are no paths."""


def note_visible_files(watch: Watch, function: Any, arguments: Iterable[Any]) -> None:
    """Let the files count whose paths are arguments of a step, or texts and paths in the code that it reaches."""
    texts = {text for value in arguments for text in _paths_in(value, DEPTH)}
    texts.update(_paths_of(function, DEPTH, set()))
    for text in texts:
        if os.path.isfile(text):
            relative = not os.path.isabs(text)
            watch.uses_folder |= relative
            watch.read(os.path.abspath(text), relative=relative)


def _paths_in(value: Any, depth: int) -> Iterator[str]:
    if isinstance(value, (str, os.PathLike)):
        text = os.fspath(value)
        if isinstance(text, str) and 0 < len(text) <= LONGEST and "\0" not in text and "\n" not in text:
            yield text
    elif depth and type(value) in (list, tuple, set, frozenset):
        for item in value:
            yield from _paths_in(item, depth - 1)
    elif depth and type(value) is dict:
        for item in value.values():
            yield from _paths_in(item, depth - 1)


def _paths_of(function: Any, depth: int, seen: set[int]) -> Iterator[str]:
    function = getattr(function, "__wrapped__", function)
    if type(function) is types.MethodType:
        function = function.__func__
    if type(function) is not types.FunctionType or id(function) in seen or not owns_function(function):
        return
    seen.add(id(function))
    for value in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()):
        yield from _paths_in(value, DEPTH)
    for code in _codes_in(function.__code__):
        yield from _paths_in(code.co_consts, 1)
        for name in code.co_names:
            value = function.__globals__.get(name)
            if depth and callable(value):
                yield from _paths_of(value, depth - 1, seen)
            else:
                yield from _paths_in(value, 1)


def _codes_in(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes_in(constant)
