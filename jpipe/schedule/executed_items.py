"""Gathers which code the items of a run depended on, and notes it when the run is over."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from jpipe.decide.call_state import CallState, Status
from jpipe.decide.executed_families import counts_what_ran, is_same
from jpipe.fingerprint import Executed
from jpipe.history.executed_code import Execution, executions, note_execution, note_untold, prefixes
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
    held
        The same, where only what a library was given leads to it.
    keys
        The keys of the items.
    untold
        By key of an item of which it is not known what ran: why not.
    """

    state: CallState
    code: set[Code] = field(default_factory=set)
    left: set[Code] = field(default_factory=set)
    held: set[Code] = field(default_factory=set)
    keys: set[bytes] = field(default_factory=set)
    untold: dict[bytes, str] = field(default_factory=dict)


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
        for item in [*receipt.items, *receipt.plain_items()]:
            state, index = chunk.items[item.position]
            ran = self._ran.setdefault(state.fingerprint.digest, _Ran(state))
            key = state.keys[index]
            if isinstance(receipt.executed, str):
                ran.untold |= {key: receipt.executed} if key is not None else {}
                continue
            own, left, held = receipt.executed
            ran.code |= own
            ran.left |= left
            ran.held |= held
            if item.stored is not None and not item.found and item.changed is None and key is not None:
                ran.keys.add(key)

    def note(self, store: Store, states: Iterable[CallState], code: str) -> None:
        """Write down what is known of the items that ran, together with what is known of others of the same code."""
        states = list(states)
        if not tracer.saw_imports:
            self._untold(state for state in states if counts_what_ran(state.call.step, code))
        for family, ran in self._ran.items():
            if ran.keys:
                self._note(store, family, ran, states)
            step = ran.state.call.step.name
            known = frozenset[bytes]().union(*(e.keys for e in executions(store, step) if e.family == family))
            why = next((why for key, why in ran.untold.items() if not prefixes([key]) <= known), None)
            if why is not None:
                note_untold(store, step, family, why)

    def _untold(self, states: Iterable[CallState]) -> None:
        """What ran in items of these was not asked for, because too much had run before."""
        for state in states:
            ran = self._ran.setdefault(state.fingerprint.digest, _Ran(state))
            for key, status in zip(state.keys, state.status, strict=True):
                if status == Status.RAN and key is not None:
                    ran.untold[key] = "modules of yours were imported before jpipe"

    def _note(self, store: Store, family: bytes, ran: _Ran, states: list[CallState]) -> None:
        step, fingerprint = ran.state.call.step.name, ran.state.fingerprint
        executed = Executed(*map(self._listed, (ran.code, self._earlier, ran.left, ran.held)))
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
            ran.untold |= dict.fromkeys(ran.keys, "code that ran reads source text or code objects")
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
