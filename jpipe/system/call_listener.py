"""Who hears of each call that the interpreter makes, and how jpipe is not heard."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

__all__ = ["CallListener", "unheard", "unheard_call"]

R = TypeVar("R")


class CallListener:
    """What `sys.setprofile` is given by jpipe."""


def unheard_call(function: Callable[..., R], *arguments: Any) -> R:
    """Call a function without a listener of jpipe's hearing what it calls."""
    listener: object = sys.getprofile()
    if not isinstance(listener, CallListener):
        return function(*arguments)
    sys.setprofile(None)
    try:
        return function(*arguments)
    finally:
        sys.setprofile(listener)  # type: ignore[arg-type]


@contextmanager
def unheard() -> Iterator[None]:
    """The same for a block."""
    listener: object = sys.getprofile()
    if not isinstance(listener, CallListener):
        yield
        return
    sys.setprofile(None)
    try:
        yield
    finally:
        sys.setprofile(listener)  # type: ignore[arg-type]
