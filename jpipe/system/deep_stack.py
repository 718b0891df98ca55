"""Room on the stack for what recurses in C, where code allows more levels than a thread usually has room for."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import TypeVar

__all__ = ["with_room"]

Result = TypeVar("Result")
_USUAL = 10_000
"""So many levels fit into what a thread gets from the system."""
_BYTES_A_LEVEL = 1024
_LARGEST = 1 << 30
_set = threading.Lock()


def with_room(call: Callable[[], Result]) -> Result:
    """The result of a call, which may recurse in C as deeply as the recursion limit says without a crash.

    After ``sys.setrecursionlimit(10**6)`` Python 3.11 lets `pickle` run over the end of the stack. Then the call gets
    a thread with room for so many levels, or as many levels as there is room for.
    """
    limit = sys.getrecursionlimit()
    if limit <= _USUAL:
        return call()
    outcome: list[Result] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            outcome.append(call())
        except BaseException as error:
            errors.append(error)

    try:
        _in_large_thread(run, min(_LARGEST, limit * _BYTES_A_LEVEL))
    except (RuntimeError, ValueError):  # there is no room
        return _with_fewer_levels(call, limit)
    if errors:
        raise errors[0]
    return outcome[0]


def _in_large_thread(run: Callable[[], None], size: int) -> None:
    thread = threading.Thread(target=run, name="jpipe-deep", daemon=True)
    with _set:
        before = threading.stack_size(size)
        try:
            thread.start()
        finally:
            threading.stack_size(before)
    thread.join()


def _with_fewer_levels(call: Callable[[], Result], limit: int) -> Result:
    sys.setrecursionlimit(_USUAL)
    try:
        return call()
    finally:
        sys.setrecursionlimit(limit)
