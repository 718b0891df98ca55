"""Two runs at once: take what the other has finished, wait for what it is at, compute the rest."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import groupby, islice

from jpipe.decide.call_state import CallState
from jpipe.decide.item_columns import as_range
from jpipe.decide.pipeline_state import PipelineState
from jpipe.model.events import Observer, Waiting
from jpipe.schedule.chunks import StepQueue
from jpipe.schedule.ready_items import Item
from jpipe.store import Store
from jpipe.store.work_claims import HELD, WorkClaims

__all__ = ["POLL", "ConcurrentRuns"]

POLL = 0.05
"""How often to look for what another run computes, seconds."""
AHEAD = 20
"""Of a step that has so many chunks with workers, as many items as a chunk has are taken together with the next one."""


class ConcurrentRuns:
    """What this run computes, and what it leaves to other runs that use the same cache.

    Parameters
    ----------
    store
        The cache.
    pipeline_state
        What is known.
    emit
        Takes the events.
    """

    def __init__(self, store: Store, pipeline_state: PipelineState, emit: Observer) -> None:
        self._store = store
        self._pipeline_state = pipeline_state
        self._emit = emit
        self._claims: WorkClaims | None = None
        self._waiting: list[tuple[StepQueue, Item]] = []
        self._announced: set[bytes] = set()
        self._looked = 0.0
        self._ahead: set[bytes] = set()
        self._shared: set[bytes] = set()

    @property
    def is_waiting(self) -> bool:
        """Whether another run is at something that this one needs."""
        return bool(self._waiting)

    def own(self, entry: StepQueue, items: list[Item]) -> list[Item]:
        """Those of the items that this run is to compute: not what another run has finished, or is at."""
        state = items[0][0]
        if not self._pipeline_state.lookup.keeps(state):
            return items
        if self._claims is None:
            self._claims = WorkClaims(self._store.disk, entry.step.name)
        family = state.fingerprint.digest
        others = {} if self._are_taken(items) else self._take(entry, family, items)
        if not others and family not in self._shared:
            return items
        own = []
        for position, item in enumerate(items):
            if self._pipeline_state.found(*item):
                state, index = item
                if (state.call.number, index) in entry.returned:
                    state.item_was_own(index)
                continue
            if position in others:
                self._wait(entry, item, others[position])
            else:
                own.append(item)
        self._pipeline_state.work_off()
        return own

    def _are_taken(self, items: list[Item]) -> bool:
        """Whether all of these were taken together with others before."""
        if not self._ahead:
            return False
        keys = _keys(items)
        if not self._ahead.issuperset(keys):
            return False
        self._ahead.difference_update(keys)
        return True

    def _take(self, entry: StepQueue, family: bytes, items: list[Item]) -> dict[int, bytes]:
        """Take items, and some of those behind them; say which of the first are another run's."""
        assert self._claims is not None
        behind = islice(entry.ready, len(items) * entry.running // AHEAD)
        keys = _keys([*items, *behind])
        others = self._claims.take(family, keys)
        if self._claims.has_news(family) and self._store.family(family).refresh():
            self._shared.add(family)
        first = len(items)
        self._ahead.update(key for position, key in enumerate(keys[first:], first) if position not in others)
        return {position: owner for position, owner in others.items() if position < first}

    def look(self) -> None:
        """Take what another run has finished; what it gave up goes back into the queue."""
        if not self._waiting or time.monotonic() - self._looked < POLL:
            return
        self._looked = time.monotonic()
        waiting, self._waiting = self._waiting, []
        by_family: dict[bytes, list[tuple[StepQueue, Item]]] = {}
        for entry, item in waiting:
            by_family.setdefault(item[0].fingerprint.digest, []).append((entry, item))
        for family, entries in by_family.items():
            self._look_at(family, entries)
        self.let_go()
        self._pipeline_state.work_off()

    def _look_at(self, family: bytes, entries: list[tuple[StepQueue, Item]]) -> None:
        assert self._claims is not None
        others = self._claims.take(family, _keys([item for _, item in entries]))
        self._store.family(family).refresh()
        self._shared.add(family)
        for position, (entry, item) in enumerate(entries):
            if self._pipeline_state.found(*item):
                state, index = item
                if (state.call.number, index) in entry.returned:
                    state.item_was_own(index)
                continue
            if position in others:
                self._waiting.append((entry, item))
            else:
                entry.ready.add(item[0], [item[1]])

    def let_go(self, *, if_due: bool = False) -> bool:
        """Let other runs look into the table again, at once or where they wait long enough; says whether it did."""
        if self._claims is None or not (self._claims.since or self._claims.gives_up):
            return False
        if if_due and time.monotonic() - self._claims.since < HELD:
            return False
        self._claims.let_go()
        return True

    def give_up(self, state: CallState, index: int) -> None:
        """An item ended without a record that counts: a run that waits for it is to compute it itself."""
        key = state.keys[index]
        if self._claims is not None and key is not None:
            self._claims.give_up(state.fingerprint.digest, key)

    def close(self) -> None:
        """This run computes nothing more."""
        if self._claims is not None:
            self._claims.release()
            self._claims = None

    def _wait(self, entry: StepQueue, item: Item, owner: bytes) -> None:
        assert self._claims is not None
        self._waiting.append((entry, item))
        if owner not in self._announced:
            self._announced.add(owner)
            holder = self._claims.holder(owner)
            said = f"process {holder.pid} on {holder.host}" if holder is not None else "another run"
            self._emit(Waiting(entry.step.name, said))


def _keys(items: Sequence[Item]) -> list[bytes]:
    """The keys of items, all of which are known."""
    if len(items) == 1:
        state, index = items[0]
        return state.keys.take([index])
    keys: list[bytes] = []
    for _, some in groupby(items, key=lambda item: item[0].call.number):
        together = [*some]
        keys += together[0][0].keys.take(as_range([index for _, index in together]))
    return keys
