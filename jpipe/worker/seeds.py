"""One seed for each item, from its key, so that results do not depend on order, workers or backend."""

from __future__ import annotations

import importlib
import random
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["preserved", "seed", "seeded"]

_current = threading.local()


def seed() -> int:
    """An integer for this item, from its key: the same whenever, wherever and in whatever order it runs.

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


def seeded(key: bytes) -> None:
    """Seed `random` and `numpy.random` for the item of this key."""
    number = int.from_bytes(key[:8], "little") >> 1
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
