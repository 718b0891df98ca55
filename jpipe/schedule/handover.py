"""Hand a run over to the next one of its pipeline after an edit: it begins nothing new, and ends what has no use now.

``jpipe watch`` asks for it when a file is saved. The next run plans with the new code, and says which of the items that
it needs the old one is at; the old one finishes these alone. The next run waits for them as for those of any other run
in the same cache.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from jpipe.decide.call_state import Status
from jpipe.decide.pipeline_state import PipelineState
from jpipe.schedule.in_flight import InFlight
from jpipe.store import Store
from jpipe.store.work_claims import WorkClaims, short_key
from jpipe.worker.messages import ItemWork

__all__ = ["Handover", "handover", "items_elsewhere"]


class Handover:
    """What the run of this process is asked to do for its successor, or tells its predecessor.

    Attributes
    ----------
    is_asked
        Whether it is to begin nothing new.
    wanted
        The short keys of the items that it may finish; None while that is not known.
    has_interrupted
        Whether an item in the main thread was interrupted, because it does not count any more.
    tell
        Called with those of its own items that other runs are at, once it is planned.
    """

    def __init__(self) -> None:
        self.is_asked = False
        self.wanted: frozenset[bytes] | None = None
        self._here: Sequence[ItemWork] = ()
        self.has_interrupted = False
        self.tell: Callable[[Iterable[bytes]], None] | None = None
        self.wake: Callable[[], None] = lambda: None

    def ask(self, wanted: Iterable[bytes] | None = None) -> None:
        """Ask, from any thread; with what may be finished as soon as that is known."""
        self.wanted = None if wanted is None else frozenset(wanted)
        self.is_asked = True
        self.wake()
        here = self._here
        if self.wanted is not None and here and self.wanted.isdisjoint(short_key(item.key) for item in here):
            # The main thread is in the user's code, which is interrupted as by Ctrl-C.
            self.has_interrupted = True
            os.kill(os.getpid(), signal.SIGINT)

    @contextmanager
    def during(self, items: Sequence[ItemWork]) -> Iterator[None]:
        """These items run in the main thread."""
        self._here = items
        try:
            yield
        finally:
            self._here = ()

    def is_waited_for(self, in_flight: InFlight) -> bool:
        """Whether something is running that the next run needs, or may need; what it does not need is ended."""
        if self.wanted is None or not in_flight.running:
            return in_flight.running > 0
        return in_flight.give_up_all_but(self.wanted)

    def plans(self, store: Store, pipeline_state: PipelineState) -> None:
        """The run of this process is planned."""
        if self.tell is not None:
            self.tell(items_elsewhere(store, pipeline_state))


handover = Handover()
"""Of this process: like signals, it comes from outside and means whichever run is going on."""


def items_elsewhere(store: Store, pipeline_state: PipelineState) -> set[bytes]:
    """The short keys of stale items that other runs are at."""
    by_family: dict[bytes, set[bytes]] = {}
    for state in pipeline_state.states.values():
        stale = {short_key(key) for index in state.items(Status.STALE) if (key := state.keys[index]) is not None}
        if stale and pipeline_state.lookup.keeps(state):
            by_family.setdefault(state.fingerprint.digest, set()).update(stale)
    if not by_family:
        return set()
    claims = WorkClaims(store.disk)
    try:
        return {key for family, keys in by_family.items() for key in keys & claims.taken_by_others(family)}
    finally:
        claims.release()
