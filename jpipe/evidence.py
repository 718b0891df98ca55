"""Find what is known of the past of an item that must run, for the reasons that are shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jpipe.fingerprint import Change, difference
from jpipe.history import EarlierCall, History, LastRun, nearest
from jpipe.keys import item_key
from jpipe.layout import needs_of
from jpipe.ledger import CallState, Ledger
from jpipe.outcomes import Verdict
from jpipe.reasons import Reason
from jpipe.rebuilder import ArgumentChange, Evidence, reasons
from jpipe.store import Record

__all__ = ["Explainer"]


class Explainer:
    """Says why items are stale, by comparing them with the nearest earlier call.

    Parameters
    ----------
    ledger
        What is known now.
    history, last_run
        What earlier runs left.
    """

    def __init__(self, ledger: Ledger, history: History, last_run: LastRun) -> None:
        self._ledger = ledger
        self._history = history
        self._last_run = last_run
        self._differences: dict[tuple[bytes, bytes], tuple[Change, ...]] = {}
        self._taken: frozenset[bytes] | None = None

    def reasons(self, state: CallState, index: int) -> tuple[Reason, ...]:
        """Why an item whose key is known must run."""
        return reasons(self._evidence(state, index))

    def verdict_while_pending(self, state: CallState) -> tuple[Verdict, tuple[Reason, ...]]:
        """What can be said of a call whose needs are not known: with code that never ran it is stale for certain."""
        step = state.call.step.name
        evidence = Evidence(step, forced=step in self._ledger.forced)
        if evidence.forced:
            return Verdict.STALE, reasons(evidence)
        families = self._history.families(step)
        if not families:
            return Verdict.STALE, reasons(evidence)
        if state.fingerprint.digest in families or state.call.step.declared.cache is False:
            return Verdict.PENDING, ()
        return Verdict.STALE, reasons(Evidence(step, earlier=True, changes=self._changes(state, families[0])))

    def _evidence(self, state: CallState, index: int) -> Evidence:
        step = state.call.step
        key = state.keys[index]
        assert key is not None
        own = Evidence(step.name, failed=key in self._last_run.failed, forced=step.name in self._ledger.forced)
        if own.forced or not step.declared.cache:
            return own
        records = self._ledger.store.family(state.fingerprint.digest).find(key)
        if records:
            return self._unusable(own, state, records[0])
        arguments = self._arguments(state, index)
        for family in self._history.families(step.name):
            if family == state.fingerprint.digest:
                continue
            if self._ledger.store.family(family).find(item_key(family, list(arguments.items()))):
                return Evidence(step.name, earlier=True, changes=self._changes(state, family), failed=own.failed)
        earlier = self._nearest(state, arguments)
        if earlier is None:
            return own
        return Evidence(
            step.name,
            earlier=True,
            changes=self._changes(state, earlier.family),
            arguments=tuple(self._changed_arguments(state, arguments, earlier)),
            missing=earlier.key == key,
            failed=own.failed,
        )

    def _unusable(self, own: Evidence, state: CallState, record: Record) -> Evidence:
        expires = state.call.step.declared.expires
        expired = expires is not None and self._ledger.now - record.created >= expires
        files = tuple(read for read in record.reads if not self._ledger.unchanged(read))
        return Evidence(
            own.step,
            earlier=True,
            files=files,
            missing=not files and not expired,
            expired_after=expires if expired else None,
            failed=own.failed,
        )

    def _arguments(self, state: CallState, index: int) -> dict[str, bytes]:
        known = dict(state.fixed)
        for name in state.call.over:
            digest = state.sources[name][index]
            if digest is not None and name not in state.call.step.declared.ignore:
                known[name] = digest
        return {name: known[name] for name in state.call.arguments if name in known}

    def _nearest(self, state: CallState, arguments: Mapping[str, bytes]) -> EarlierCall | None:
        if self._taken is None:
            states = self._ledger.states.values()
            self._taken = frozenset(key for s in states for key in (*s.keys, s.whole_key) if key is not None and s.is_done)
        earlier = self._last_run.calls.get(state.call.step.name, ())
        own = frozenset(key for key in state.keys if key is not None)
        missing = [call for call in earlier if call.key in own]
        return missing[0] if missing and not state.call.is_mapped else nearest(earlier, arguments, self._taken)

    def _changed_arguments(
        self, state: CallState, arguments: Mapping[str, bytes], earlier: EarlierCall
    ) -> Sequence[ArgumentChange]:
        place = state.call.location
        changed = []
        for name, digest in arguments.items():
            if earlier.arguments.get(name) != digest and earlier.key != state.keys[0]:
                needs = list(needs_of(state.call.arguments[name]))
                upstream = needs[0].call.step.name if needs else None
                changed.append(ArgumentChange(name, upstream, place.file, place.line))
        return changed

    def _changes(self, state: CallState, family: bytes) -> tuple[Change, ...]:
        if family == state.fingerprint.digest:
            return ()
        known = self._differences.get((family, state.fingerprint.digest))
        if known is None:
            old = self._history.parts(family)
            known = tuple(difference(old, state.fingerprint.parts)) if old is not None else ()
            self._differences[family, state.fingerprint.digest] = known
        return known
