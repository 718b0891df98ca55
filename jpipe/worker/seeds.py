"""One seed for each item, so that results do not depend on order, workers or backend.

::

    seed = n(occurrence) + n(name) * digest + n(name) * digest + ...    modulo 2**64, halved
    n(x) = H("jpipe seed 2", x), made odd; of all hashes the first 8 bytes

Neither the name nor the code of the step is in it: to rename it, or a line that logs something, changes no number. Of
several calls with the same arguments, of one step or of several, each has a seed of its own. Results of the first rule,
where the seed was a part of the key, count as before.
"""

from __future__ import annotations

import functools
import importlib
import random
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from blake3 import blake3

__all__ = ["drawn", "preserved", "seed", "seed_of", "seeded", "seeded_alone", "seeds_of"]

_RULE = b"jpipe seed 2\0"
_MASK = (1 << 64) - 1

_current = threading.local()


def seed() -> int:
    """An integer for this item, from its arguments: the same wherever it runs, and in whatever order.

    An edit of the step's code does not change it; several calls with the same arguments each have their own.

    Returns
    -------
    int
        From 0 to 2**63 - 1. Outside a run it is always 0.

    Notes
    -----
    `random` and `numpy.random` are seeded with it before each item, so only generators of one's own need it:
    ``numpy.random.default_rng(jpipe.seed())``. Items in threads share `random` and `numpy.random` while they run
    at the same time: there only such generators give the same results every time.

    Examples
    --------
    >>> seed()  # outside a run
    0
    """
    return getattr(_current, "seed", 0)


def seed_of(arguments: Sequence[tuple[str, bytes]], occurrence: bytes) -> int:
    """The seed of an item.

    Parameters
    ----------
    arguments
        (parameter, digest) of what counts.
    occurrence
        Which of several calls with these arguments it is; nothing for the first.
    """
    return (_total(arguments, occurrence) & _MASK) >> 1


def seeds_of(fixed: Sequence[tuple[str, bytes]], columns: Mapping[str, bytes], count: int) -> list[int]:
    """The seeds of items that have arguments in common, `fixed`, and others by name in columns, joined."""
    totals = [_total(fixed, b"")] * count
    for name, column in columns.items():
        number = _number(name.encode())
        starts = [int.from_bytes(column[at : at + 8], "little") for at in range(0, 32 * count, 32)]
        totals = [total + number * start for total, start in zip(totals, starts, strict=True)]
    return [(total & _MASK) >> 1 for total in totals]


def _total(arguments: Sequence[tuple[str, bytes]], occurrence: bytes) -> int:
    total = _number(occurrence)
    for name, digest in arguments:
        total += _number(name.encode()) * int.from_bytes(digest[:8], "little")
    return total


@functools.lru_cache(maxsize=4096)
def _number(what: bytes) -> int:
    return int.from_bytes(blake3(_RULE + what).digest(8), "little") | 1


def seeded(number: int) -> None:
    """Seed `random` and `numpy.random` for an item."""
    _current.seed = number
    random.seed(number)
    numpy_random = _numpy_random()
    if numpy_random is not None:
        numpy_random.seed(number & 0xFFFFFFFF)


def _numpy_random() -> Any:
    """numpy's generator where numpy is loaded; numpy itself loads it only when it is first used, in the item then."""
    loaded = sys.modules.get("numpy.random")
    if hasattr(loaded, "seed"):  # each item comes here, and to ask the import system takes longer than to seed
        return loaded
    return importlib.import_module("numpy.random") if "numpy" in sys.modules else None


_lock = threading.Lock()
_users = 0
_before: tuple[Any, Any] = None, None
_drawing = threading.RLock()
_PATIENCE = 300.0
"""How long an item waits for one of another run in this process that draws, which may wait for it in turn, seconds."""


@contextmanager
def preserved() -> Iterator[None]:
    """Leave the states of `random` and `numpy.random` as they were, when items run in the user's own process.

    Of several at once, in threads or inside each other, the last to end does it.
    """
    global _users, _before
    with _lock:
        if not _users:
            numpy_random = _numpy_random()
            _before = random.getstate(), numpy_random.get_state() if numpy_random is not None else None
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if not _users:
                _current.seed = 0
                (state, numpy_state), numpy_random = _before, _numpy_random()
                random.setstate(state)
                if numpy_random is not None and numpy_state is not None:
                    numpy_random.set_state(numpy_state)


def seeded_alone(number: int, *, draws: bool) -> bool:
    """Seed the generators for an item in the user's own process; no item of another run there draws meanwhile.

    One that does not draw itself leaves them alone where another one does. Where it says so, `drawn` has to follow.
    """
    taken = _drawing.acquire(timeout=_PATIENCE) if draws else _drawing.acquire(blocking=False)
    if taken or draws:
        seeded(number)
    if taken and not draws:
        _drawing.release()
    return taken and draws


def drawn() -> None:
    """The item is over: those of other runs may draw."""
    _drawing.release()
