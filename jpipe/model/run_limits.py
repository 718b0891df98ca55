"""How a run behaves: how many workers, what a failure does, how much is told."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Limits"]


class Limits(NamedTuple):
    """How a run behaves.

    Parameters
    ----------
    n_jobs
        Workers; joblib's meaning.
    keep_going
        After a failure, go on with everything that does not depend on it.
    fail_fast
        After a failure, end the workers at once.
    detailed
        Whether events carry every item.
    memory
        What items may need together, bytes, for steps that say what they need.
    """

    n_jobs: int = 1
    keep_going: bool = False
    fail_fast: bool = False
    detailed: bool = False
    memory: int = 0
