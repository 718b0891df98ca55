"""One seed for each item, so that results do not depend on order, workers or backend.

::

    seed = H("jpipe seed 2", step, occurrence, name, digest, name, digest, ...)   the first 8 bytes; arguments by name

The step enters by the name that it was first known by, never by its code: a line that logs something does not change a
number. Of equal calls each has a seed of its own. Results of the first rule, where a seed was a part of the key, count
as before.
"""

from __future__ import annotations

import importlib
import random
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from blake3 import blake3

__all__ = ["preserved", "seed", "seed_of", "seeded"]

_RULE = b"jpipe seed 2\0"

_current = threading.local()


def seed() -> int:
    """An integer for this item, from its step's name and its arguments: the same wherever it runs, and in what order.

    An edit of the step's code does not change it.

    Returns
    -------
    int
        From 0 to 2**63 - 1. Outside a run it is always 0.

    Notes
    -----
    `random` and `numpy.random` are seeded with it before each item, so only generators of one's own need it:
    ``numpy.random.default_rng(jpipe.seed())``. Items in threads share `random` and `numpy.random` while they run
    at the same time: there only such generators give the same results every time.
    """
    return getattr(_current, "seed", 0)


def seed_of(step: str, arguments: Sequence[tuple[str, bytes]], occurrence: bytes) -> int:
    """The seed of an item.

    Parameters
    ----------
    step
        What the step was first called.
    arguments
        (parameter, digest) of what counts.
    occurrence
        Which of several equal calls it is; nothing for the first.
    """
    named = step.encode()
    parts = [_RULE, len(named).to_bytes(4, "little"), named, len(occurrence).to_bytes(4, "little"), occurrence]
    for name, digest in sorted(arguments):
        parts += [name.encode(), b"\0", digest]
    return int.from_bytes(blake3(b"".join(parts)).digest(8), "little") >> 1


def seeded(number: int) -> None:
    """Seed `random` and `numpy.random` for an item."""
    _current.seed = number
    random.seed(number)
    numpy_random = _numpy_random()
    if numpy_random is not None:
        numpy_random.seed(number & 0xFFFFFFFF)


def _numpy_random() -> Any:
    """numpy's generator where numpy is loaded; numpy itself loads it only when it is first used, in the item then."""
    return importlib.import_module("numpy.random") if "numpy" in sys.modules else None


@contextmanager
def preserved() -> Iterator[None]:
    """Leave the states of `random` and `numpy.random` as they were, when items run in the user's own process.

    Inside another one in the same thread it leaves that to the outer one.
    """
    if getattr(_current, "preserved", False):
        yield
        return
    _current.preserved = True
    state = random.getstate()
    numpy_random = _numpy_random()
    numpy_state = numpy_random.get_state() if numpy_random is not None else None
    try:
        yield
    finally:
        _current.seed = 0
        _current.preserved = False
        random.setstate(state)
        if numpy_random is not None and numpy_state is not None:
            numpy_random.set_state(numpy_state)
