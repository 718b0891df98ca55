"""What a decision depended on: what was looked at, asked for and called while a pipeline was imported and planned."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from jpipe.system.audit import watching
from jpipe.system.ownership import Owner, is_users, owner_of
from jpipe.system.volatile_calls import Volatile, finding_volatile_calls

__all__ = ["Observation", "observed", "observing"]

_BETWEEN = ("os.py", "_collections_abc.py", "<frozen os>", "<frozen _collections_abc>")


class Observation:
    """What was seen since the process began to import the user's files.

    Attributes
    ----------
    started_ns
        When the process began to observe, nanoseconds since 1970.
    opened
        Absolute paths of files that were opened for reading; True where what was read may be in memory since.
    listed
        Absolute paths of folders that were listed.
    looks
        By absolute path: what of it was looked at without opening it, as `status_of` spells it.
    variables
        Names of environment variables that the user's own code asked for.
    everything
        Whether it asked for all variables at once.
    effects
        What it did that no note can hold: a connection, another process.
    volatile
        Calls whose answers depend on the moment.
    """

    def __init__(self) -> None:
        self.started_ns = time.time_ns()
        self.opened: dict[str, bool] = {}
        self.listed: dict[str, None] = {}
        self.looks: dict[str, str] = {}
        self.variables: dict[str, None] = {}
        self.everything = False
        self.effects: dict[str, None] = {}
        self.volatile: dict[Volatile, None] = {}


observed = Observation()
"""What this process saw."""


@contextmanager
def observing(*, calls: bool = False, stays: bool = True) -> Iterator[None]:
    """Observe what the code inside depends on.

    Parameters
    ----------
    calls
        Whether it is code of the user's, of which each call is to be heard.
    stays
        Whether what is read may stay in memory, so that it has to be as it was when the run is over.
    """
    environment: Any = os.environ
    kind = type(environment)
    environment.__class__ = _watched(kind)
    try:
        with watching() as watch, finding_volatile_calls(observed.volatile) if calls else nullcontext():
            yield
    finally:
        environment.__class__ = kind
        for path in {**watch.opened, **watch.updated}:
            # Compiled code is looked into where it may be older than its source, which counts itself.
            if path not in watch.written and os.path.basename(os.path.dirname(path)) != "__pycache__":
                observed.opened[path] = observed.opened.get(path, False) or stays
        observed.listed.update(dict.fromkeys(watch.listed))
        for path, traits in watch.looks.items():
            if path not in watch.written:
                observed.looks[path] = "".join(sorted({*observed.looks.get(path, ""), *traits}))
        observed.effects.update(dict.fromkeys(watch.effects))


def _watched(kind: type[Any]) -> type[Any]:
    class Environment(kind):  # type: ignore[misc]
        """``os.environ``, telling which variables the user's own code reads."""

        def __getitem__(self, key: str) -> str:
            if _asked_by_user():
                observed.variables[key] = None
            value: str = super().__getitem__(key)
            return value

        def __iter__(self) -> Iterator[str]:
            if _asked_by_user():
                observed.everything = True
            return super().__iter__()  # type: ignore[no-any-return]

    return Environment


def _asked_by_user() -> bool:
    """Whether the innermost frame outside of the standard library's mapping code is the user's."""
    frame: Any = sys._getframe(2)
    while frame is not None and _is_between(frame.f_code.co_filename):
        frame = frame.f_back
    return frame is not None and is_users(frame.f_code.co_filename)


def _is_between(file: str) -> bool:
    """Whether code only hands on what its caller asked for: that of mappings, and what a program made."""
    return file.endswith(_BETWEEN) or owner_of(file) is Owner.GENERATED
