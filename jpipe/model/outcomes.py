"""The closed sets of jpipe: verdicts before a run, outcomes after it, and exit codes."""

from __future__ import annotations

from enum import Enum, IntEnum

__all__ = ["ExitCode", "Outcome", "Verdict"]


class Verdict(str, Enum):
    """What the plan says of a call before anything runs."""

    FRESH = "fresh"
    """Its result is in the cache and may be used."""
    STALE = "stale"
    """It has to run."""
    PENDING = "pending"
    """A need of it is stale, so the answer waits for that result."""


class Outcome(str, Enum):
    """What became of an item, a step or a run."""

    CACHED = "cached"
    """The result came from the cache."""
    RAN = "ran"
    """It was computed."""
    FAILED = "failed"
    """It raised, was killed or timed out."""
    BLOCKED = "blocked"
    """It was not started, because something that it needs failed."""
    INTERRUPTED = "interrupted"
    """It was not finished, because the run was stopped."""


class ExitCode(IntEnum):
    """What the ``jpipe`` command returns to the shell."""

    OK = 0
    """Everything asked for is up to date."""
    FAILED = 1
    """A step failed."""
    USAGE = 2
    """Wrong usage or configuration."""
    NOT_LOADED = 3
    """The pipeline does not load or is wired wrong."""
    OUT_OF_DATE = 4
    """``--check`` or ``--frozen`` found something out of date."""
    NOTHING_SELECTED = 5
    """The targets or the selection match nothing."""
    BUG = 70
    """A bug in jpipe."""
    INTERRUPTED = 130
    """Stopped by Ctrl-C."""
