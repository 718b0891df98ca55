"""Explain why an item must run, by comparing it with earlier calls."""

from __future__ import annotations

import functools
import inspect
import linecache
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jpipe.decide.call_state import CallState, Status
from jpipe.decide.pipeline_state import PipelineState
from jpipe.decide.rebuilder import ArgumentChange, Evidence, is_expired, reasons
from jpipe.define.layout import Call, Output, contains_output, needs_of
from jpipe.digest.unstable import REMEDY, unstable_part
from jpipe.fingerprint import Change, Part
from jpipe.fingerprint.changes_that_ran import changes_of_what_ran
from jpipe.fingerprint.named_changes import code_changes
from jpipe.history.last_run import MOST_CALLS, EarlierCall, History, LastRun
from jpipe.model.outcomes import Verdict
from jpipe.model.reasons import Reason
from jpipe.store import Record
from jpipe.store.care.pruned_keys import pruned_mark, pruned_marks
from jpipe.system.notebook_cells import cell_name

__all__ = ["Explainer", "place_of", "texts_of"]

_SCALARS = (int, float, str, bool, type(None))
_LONGEST_TEXT = 30
_DEEPEST, _MOST_TEXTS, _MOST_ELEMENTS, _MOST_FIELDS = 3, 20, 8, 3
"""How deep arguments are noted as texts, of how many fields or elements at most, and how many changed ones are told."""
_MOST_COMPARED = 2000
_DEFINITION = re.compile(r"\s*(async\s+def|def)\b")
_MOST_DECORATORS = 50
_TOGETHER = 1 << 16


class Explainer:
    """Says why items are stale, by comparing them with the nearest earlier call.

    Parameters
    ----------
    pipeline_state
        What is known now.
    history, last_run
        What earlier runs left.
    """

    def __init__(self, pipeline_state: PipelineState, history: History, last_run: LastRun) -> None:
        self._states = pipeline_state.states
        self._lookup = pipeline_state.lookup
        self._keys = pipeline_state.keys
        self._written = pipeline_state.written
        self._history = history
        self._last_run = last_run
        self._differences: dict[tuple[bytes, bytes], tuple[Change, ...]] = {}
        self._neighbours: dict[str, _Neighbours] = {}
        self._families_of: dict[str, list[bytes]] = {}
        self._told: dict[tuple[int, int], tuple[Reason, ...]] = {}
        self._ran: dict[tuple[bytes, int, int], set[int]] = {}

    def reasons(self, state: CallState, index: int) -> tuple[Reason, ...]:
        """Why an item whose key is known must run."""
        place = (state.call.number, index)
        known = self._told.get(place)
        if known is None:
            known = self._told[place] = tuple(map(_in_cell, reasons(self._evidence(state, index))))
        return known

    def verdict_while_pending(self, state: CallState) -> tuple[Verdict, tuple[Reason, ...]]:
        """The verdict on a call whose inputs are not known yet: stale where its code never ran, else pending."""
        evidence = self._own(state)
        if evidence.forced:
            return Verdict.STALE, reasons(evidence)
        known = state.fingerprint.digest in self._history.families(evidence.step)
        if known or any(self._lookup.older(state)):
            changed = () if any(self._lookup.older(state)) else self._changed_constants(state)
            if changed:
                return Verdict.STALE, reasons(evidence._replace(earlier=True, arguments=changed))
            return Verdict.PENDING, ()
        families = self._families(state)
        if not families:
            foreign = self._lookup.store.family(state.fingerprint.digest).is_foreign(None)
            return Verdict.STALE, reasons(evidence._replace(foreign=foreign))
        if not state.call.step.declared.cache:
            return Verdict.PENDING, ()
        changes = self._changes(state, families[0])
        return Verdict.STALE, tuple(map(_in_cell, reasons(evidence._replace(earlier=True, changes=changes))))

    def _changed_constants(self, state: CallState) -> tuple[ArgumentChange, ...]:
        """What changed in the arguments that no other step gives, where no record has these: then the call must run."""
        step, store = state.call.step, self._lookup.store
        family = store.family(state.fingerprint.digest)
        if not step.declared.cache or store.remote is not None or not 0 < len(family) <= MOST_CALLS:
            return ()
        values = {name: value for name, value in state.call.arguments.items() if name not in state.call.over}
        here = {name: value for name, value in values.items() if not contains_output(value)}
        now = {n: self._written(state.call, n, v) for n, v in here.items() if n not in step.declared.ignore}
        ran = [dict(record.arguments) for record in family.records()]
        if any(now.items() <= arguments.items() for arguments in ran):
            return ()
        earlier = [EarlierCall(family.digest, b"", arguments) for arguments in ran]
        nearest = max([*self._last_run.calls.get(step.name, ()), *earlier], key=lambda call: _equal(call, now))
        file, line, texts = (
            self._lookup.files.short(state.call.location.file),
            state.call.location.line,
            texts_of(state.call),
        )
        differing = [name for name, digest in now.items() if nearest.arguments.get(name) != digest]
        return tuple(ArgumentChange(n, None, file, line, _difference(n, nearest.texts, texts)) for n in differing)

    def _own(self, state: CallState) -> Evidence:
        step = state.call.step
        file, line = place_of(step.function)
        forced = step.name in self._lookup.forced
        return Evidence(step.name, self._lookup.files.short(file) if file else None, line, forced=forced)

    def _evidence(self, state: CallState, index: int) -> Evidence:
        key = state.keys[index]
        assert key is not None
        own = self._own(state)
        if own.forced:
            return own
        if not state.call.step.declared.cache:
            found = self._compared(own, state, index, state.arguments_of(index))
            return found._replace(missing=False, not_kept=True)
        records = self._lookup.store.family(state.fingerprint.digest).find(key)
        if records:
            return self._unusable(own, state, records[0])
        if self._lookup.store.family(state.fingerprint.digest).is_foreign(key):
            return own._replace(foreign=True)
        if key in self._last_run.failed:
            return own._replace(failed=True)
        if self._removed and pruned_mark(state.fingerprint.digest, key) in self._removed:
            return own._replace(pruned=True)
        arguments = state.arguments_of(index)
        for family in self._families(state):
            if family != state.fingerprint.digest and self._has_run(family, state, index):
                return own._replace(earlier=True, changes=self._changes(state, family))
        return self._compared(own, state, index, arguments)

    @functools.cached_property
    def _removed(self) -> frozenset[bytes]:
        """What was removed from the cache to make room."""
        return pruned_marks(self._lookup.store.disk)

    def _families(self, state: CallState) -> list[bytes]:
        """The fingerprints that the step had, newest first."""
        step = state.call.step.name
        known = self._families_of.get(step)
        if known is None:
            found = self._history.own_families(step, state.fingerprint.parts, self._last_run)
            known = self._families_of[step] = found
        return known

    def _has_run(self, family: bytes, state: CallState, index: int) -> bool:
        """Whether an item ran with older code; asked for many at once, so that no old family is taken into memory."""
        block = family, state.call.number, index // _TOGETHER
        if block not in self._ran:
            first = index - index % _TOGETHER
            asked = [i for i in range(first, min(first + _TOGETHER, len(state.keys))) if state.keys[i] is not None]
            keys = {i: self._keys.of_item(state, i, family) for i in asked}
            present = self._lookup.store.family(family).present(list(keys.values()))
            self._ran[block] = {i for i, key in keys.items() if key in present}
        return index in self._ran[block]

    def _unusable(self, own: Evidence, state: CallState, record: Record) -> Evidence:
        expires = state.call.step.declared.expires
        expired = is_expired(record, expires, self._lookup.now)
        files = tuple(read for read in record.reads if not self._lookup.unchanged(read))
        missing = not files and not expired
        return own._replace(earlier=True, files=files, missing=missing, expired_after=expires if expired else None)

    def _compared(self, own: Evidence, state: CallState, index: int, arguments: Mapping[str, bytes]) -> Evidence:
        step = own.step
        if step not in self._neighbours:
            self._neighbours[step] = self._neighbours_of(step)
        earlier, is_new = self._neighbours[step].nearest(state, arguments)
        if earlier is None:
            return own
        if earlier.key in (state.keys[index], state.whole_key):
            known = earlier.has_result or not state.call.step.declared.cache
            return own._replace(earlier=known, missing=earlier.has_result)
        changed = tuple(self._changed_arguments(state, index, arguments, earlier, is_new))
        return own._replace(earlier=True, changes=self._changes(state, earlier.family), arguments=changed)

    def _neighbours_of(self, step: str) -> _Neighbours:
        states = [state for state in self._states.values() if state.call.step.name == step]
        keys = {state.whole_key if state.call.is_mapped else next(iter(state.keys), None) for state in states}
        found = _Neighbours()
        now: set[Arguments] = set()
        for state in states:
            for index in range(len(state.keys) if state.sources or not state.call.is_mapped else 0):
                if len(now) >= _MOST_COMPARED:
                    break
                if state.keys[index] is None:
                    continue
                arguments = state.arguments_of(index)
                now.add(frozenset(arguments.items()))
                if state.status[index] in (Status.CACHED, Status.RAN):
                    texts = texts_of(state.call, index)
                    found.related.append(EarlierCall(state.fingerprint.digest, b"", arguments, texts))
        for call in self._last_run.calls.get(step, ()):
            is_kept = call.key in keys or frozenset(call.arguments.items()) in now
            (found.related if is_kept else found.gone).append(call)
        return found

    def _changed_arguments(
        self, state: CallState, index: int, arguments: Mapping[str, bytes], earlier: EarlierCall, is_new: bool
    ) -> Iterator[ArgumentChange]:
        file = self._lookup.files.short(state.call.location.file)
        texts = texts_of(state.call, index)
        differing = [name for name, digest in arguments.items() if earlier.arguments.get(name) != digest]
        # A mapped call is noted without the elements of its lists: they are told where nothing else is different.
        constant = [name for name in differing if name not in state.call.over]
        for name in constant or differing:
            upstream = next((need.call.step.name for need in needs_of(_element(state.call, name, index))), None)
            is_item = is_new or not constant
            detail = _new_item(texts.get(name)) if is_item else _difference(name, earlier.texts, texts)
            if upstream is None and texts.get(name) is None:
                detail = self._why_unstable(state, index, name) or detail
            yield ArgumentChange(name, upstream, file, state.call.location.line, None if upstream else detail)

    def _why_unstable(self, state: CallState, index: int, name: str) -> str | None:
        """That an argument is never the same, where that is so."""
        value = _element(state.call, name, index)
        if contains_output(value) or type(value) in (str, int, float, bytes, bool):
            return None
        found = unstable_part(value, hashers=state.call.step.declared.hash, name=name)
        return None if found is None else f"the digest of {found} is another one in each process: {REMEDY}"

    def _changes(self, state: CallState, family: bytes) -> tuple[Change, ...]:
        now = state.fingerprint
        if family == now.digest or family in self._lookup.accepted.get(now.digest, ()):
            return ()
        known = self._differences.get((family, now.digest))
        if known is None:
            old = self._history.parts(family)
            known = () if old is None else self._code_changes(old, state, family)
            self._differences[family, now.digest] = known
        return known

    def _code_changes(self, old: Sequence[Part], state: CallState, family: bytes) -> tuple[Change, ...]:
        """What changed since older code; of which it is known what ran, only that."""
        step, now = state.call.step, state.fingerprint.parts
        executed = self._lookup.executed_with(state, family)
        if executed is not None:
            changes = changes_of_what_ran(old, now, executed, step.name, step.address[0])
            if changes:
                return changes
        return code_changes(old, now, step.name, step.address[0])


def _in_cell(reason: Reason) -> Reason:
    """The reason, with cells of a notebook named as people know them."""
    if reason.file is None or (known := cell_name(reason.file)) == reason.file:
        return reason
    diff = reason.diff
    if diff is not None:
        diff = "".join(text for text in diff.splitlines(keepends=True) if not text.startswith(("--- ", "+++ ")))
    return reason._replace(file=known, diff=diff)


Arguments = frozenset[tuple[str, bytes]]


@dataclass(slots=True, eq=False, repr=False)
class _Neighbours:
    """The calls of a step that one can be compared with.

    Attributes
    ----------
    gone
        Calls of the last run that are not made any more.
    related
        Calls that are still made, and items that are fresh now.
    """

    gone: list[EarlierCall] = field(default_factory=list)
    related: list[EarlierCall] = field(default_factory=list)

    def nearest(self, state: CallState, arguments: Mapping[str, bytes]) -> tuple[EarlierCall | None, bool]:
        """The call with the most equal arguments, and whether it is still made, so that this one came beside it.

        A call that is not made any more is what became of one call only.
        """
        candidates = (call for call in self.related if call.key and _is_key_of(state, call.key))
        lost = next((call for call in candidates if _equal(call, arguments) == len(call.arguments)), None)
        if lost is not None:
            return lost, False
        gone = max(self.gone, key=lambda call: _equal(call, arguments), default=None)
        related = max(self.related, key=lambda call: _equal(call, arguments), default=None)
        if gone is not None and (related is None or _equal(gone, arguments) >= _equal(related, arguments)):
            if not state.call.is_mapped:
                self.gone.remove(gone)
            return gone, False
        return related, True


def _is_key_of(state: CallState, key: bytes) -> bool:
    return key == state.whole_key or key in state.keys


def _equal(call: EarlierCall, arguments: Mapping[str, bytes]) -> int:
    return sum(call.arguments.get(name) == digest for name, digest in arguments.items())


def texts_of(call: Call, index: int | None = None) -> dict[str, str]:
    """The arguments of a call that are short scalars, as text; of an item its own too."""
    found: dict[str, str] = {}
    for name in call.arguments:
        if name not in call.over or index is not None:
            _add_texts(found, name, _element(call, name, index or 0), _DEEPEST)
    return found


def _add_texts(found: dict[str, str], name: str, value: Any, depth: int) -> None:
    """The text of a short scalar, or those of the fields of a table or an instance of a dataclass."""
    kind = type(value)
    if kind in _SCALARS:
        if len(text := repr(value)) <= _LONGEST_TEXT:
            found[name] = text
    elif depth and kind is dict and len(value) <= _MOST_TEXTS:
        for key, part in value.items():
            if type(key) is str:
                _add_texts(found, f"{name}[{key!r}]", part, depth - 1)
    elif depth and kind in (list, tuple) and len(value) <= _MOST_ELEMENTS:
        for position, part in enumerate(value):
            _add_texts(found, f"{name}[{position}]", part, depth - 1)
    elif depth and hasattr(kind, "__dataclass_fields__"):
        for field in list(kind.__dataclass_fields__)[:_MOST_TEXTS]:
            _add_texts(found, f"{name}.{field}", getattr(value, field, None), depth - 1)


def _element(call: Call, name: str, index: int) -> Any:
    value = call.arguments[name]
    if name not in call.over or type(value) is Output:
        return value
    return value[index] if index < len(value) else None


def _new_item(text: str | None) -> str:
    return f"new item {text}" if text is not None else "new item"


def _difference(name: str, old: Mapping[str, str], new: Mapping[str, str]) -> str | None:
    """An argument before and now, or of a table and an instance the fields that are not the same."""
    if name in old and name in new:
        return f"{old[name]} → {new[name]}"
    fields = dict.fromkeys(field for field in (*old, *new) if field.startswith((f"{name}.", f"{name}[")))
    changed = [field for field in fields if old.get(field) != new.get(field)]
    shown = [
        f"{field.removeprefix(f'{name}.')} {old.get(field, '(none)')} → {new.get(field, '(none)')}" for field in changed
    ]
    more = f" and {len(shown) - _MOST_FIELDS} more" if len(shown) > _MOST_FIELDS else ""
    return ", ".join(shown[:_MOST_FIELDS]) + more if shown else None


def place_of(function: Any) -> tuple[str | None, int | None]:
    """The file of a function as the user wrote it, below its decorators, and the line of its ``def``."""
    function = inspect.unwrap(function) if callable(function) else function
    code = getattr(function, "__code__", None)
    if code is None:
        return None, None
    first: int = code.co_firstlineno
    for line in range(first, first + _MOST_DECORATORS):
        text = linecache.getline(code.co_filename, line)
        if not text:
            break
        if _DEFINITION.match(text):
            return code.co_filename, line
    return code.co_filename, first
