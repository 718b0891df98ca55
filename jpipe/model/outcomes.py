"""The closed sets of jpipe: verdicts before a run, and outcomes after it."""

from __future__ import annotations

from enum import Enum

__all__ = ["Outcome", "Verdict"]


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
