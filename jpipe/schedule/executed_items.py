"""Gathers which code the items of a run depended on, and notes it when the run is over."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from jpipe.decide.call_state import CallState, Status
from jpipe.decide.executed_families import is_same
from jpipe.fingerprint import Executed
from jpipe.history.executed_code import Execution, executions, note_execution, prefixes
from jpipe.schedule.chunks import Chunk
from jpipe.store import Store
from jpipe.system.code_tracer import Code, tracer
from jpipe.worker.messages import Receipt

__all__ = ["ExecutedItems"]


@dataclass(slots=True, eq=False, repr=False)
class _Ran:
    """What is known of the items of one step that ran.

    Attributes
    ----------
    state
        A call of the step.
    code
        What ran.
    left
        What ran in other items of the same processes, where these may have left something behind.
    keys
        The keys of the items.
    """

    state: CallState
    code: set[Code] = field(default_factory=set)
    left: set[Code] = field(default_factory=set)
    keys: set[bytes] = field(default_factory=set)


class ExecutedItems:
    """Which code the items of a run depended on.

    Parameters
    ----------
    relative
        Makes the path of a file relative to the project.
    """

    def __init__(self, relative: Callable[[str], str]) -> None:
        self._relative = relative
        self._ran: dict[bytes, _Ran] = {}
        self._started = time.time()
        tracer.take()
        # What ran before the first item: while modules were imported and the pipeline was laid out.
        self._earlier = frozenset(tracer.everything)

    def add(self, chunk: Chunk, receipt: Receipt) -> None:
        """A chunk is over."""
        if receipt.executed is None:
            return
        for item in receipt.items:
            state, index = chunk.items[item.position]
            ran = self._ran.setdefault(state.fingerprint.digest, _Ran(state))
            own, left = receipt.executed
            ran.code |= own
            ran.left |= left
            key = state.keys[index]
            if item.stored is not None and not item.found and item.changed is None and key is not None:
                ran.keys.add(key)

    def note(self, store: Store, states: Iterable[CallState]) -> None:
        """Write down what is known of the items that ran, together with what is known of others of the same code."""
        states = list(states)
        for family, ran in self._ran.items():
            if not ran.keys:
                continue
            step, fingerprint = ran.state.call.step.name, ran.state.fingerprint
            executed = Executed(self._listed(ran.code), self._listed(self._earlier), self._listed(ran.left))
            keys = prefixes(ran.keys)
            since = 0.0
            for known in executions(store, step):
                if known.family == family and is_same(fingerprint, known):
                    executed = Executed(*map(frozenset.union, executed, known.executed))
                    keys |= known.keys
                    since = known.since
                elif known.family == family:
                    since = self._started  # something that ran was edited, and the fingerprint does not lead to it
            keys |= prefixes(_whole_keys((s for s in states if s.fingerprint.digest == family), keys))
            pruned = fingerprint.pruned(executed)
            if pruned is None:
                note_execution(store, step, Execution(family, executed, b"", frozenset()))
            else:
                note_execution(store, step, Execution(family, executed, pruned.digest, keys, since, pruned.has_more))

    def _listed(self, code: Iterable[Code]) -> frozenset[Code]:
        return frozenset((self._relative(file), name) for file, name in code)


def _whole_keys(states: Iterable[CallState], keys: frozenset[bytes]) -> Iterator[bytes]:
    """The keys of mapped calls as wholes, of whose items each is spoken of."""
    for state in states:
        own = [key for key in state.keys if key is not None]
        done = all(status in (Status.RAN, Status.CACHED) for status in state.status)
        if state.whole_key is not None and done and len(own) == len(state.keys) > 0 and prefixes(own) <= keys:
            yield state.whole_key
