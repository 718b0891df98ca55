"""Which of several equal calls a call is: where its code draws random numbers, each of them is a call of its own.

Calls are equal as they are written: the same step, the same values, and results of calls that are equal in turn. So the
numbers of all are known before anything runs, and stay what they are whatever runs first, how often, and in how many
workers. In a mapped call over a list that a step computes, elements are equal by their values.

Seeds come from arguments. So that two steps with the same arguments do not draw the same numbers, the second of them
has another seed: by its place among them, not by its name or its code, which may change.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from blake3 import blake3

from jpipe.decide.call_state import CallState
from jpipe.decide.chained_maps import streams
from jpipe.define.layout import Call, Layout, Output, contains_output
from jpipe.define.step import Step
from jpipe.digest import combine
from jpipe.fingerprint import Fingerprint

__all__ = ["Occurrences"]

_NONE = b""
Literal = Callable[[Call, str, Any], bytes]
"""The digest of a value that holds no output: (call, parameter, value)."""


class Occurrences:
    """Counts equal calls of steps that draw random numbers.

    Parameters
    ----------
    layout
        All calls; those that do not take part count too, so that a selection does not change the numbers of others.
    states
        What is known of the calls that take part.
    fingerprints
        The fingerprint of each step.
    literal
        Digests what stands in a call.
    keys
        The keys of the items of a call whose lists are known.
    places
        By arguments, the steps that took them, where calls come one by one; added to.
    """

    def __init__(
        self,
        layout: Layout,
        states: Mapping[int, CallState],
        fingerprints: Callable[[Any], Fingerprint],
        literal: Literal,
        keys: Callable[[CallState], Sequence[bytes | None]],
        places: dict[bytes, list[bytes]] | None = None,
    ) -> None:
        self._layout = layout
        self._states = states
        self._fingerprints = fingerprints
        self._literal = literal
        self._keys = keys
        self._forms: dict[int, bytes] = {}
        self._items: dict[int, list[bytes] | None] = {}
        self._within: dict[int, list[int]] = {}
        self._counted: dict[int, list[tuple[int, int]]] | None = None
        self._places = {} if places is None else places
        self._one_by_one = places is not None
        self._draws: dict[Step[..., Any], bool] = {}

    def of(self, state: CallState, index: int) -> bytes:
        """Which of several equal calls an item is, for its key; nothing for the first, and where it is all the same."""
        if not self.matter(state.call):
            return _NONE
        number, _ = self._counts(state.call, index)
        return _packed(number, self._within_call(state, index))

    def for_seed(self, state: CallState, index: int) -> bytes:
        """What tells the seed of an item from those of others with the same arguments; nothing for the first."""
        if not self.matter(state.call):
            return _NONE
        number, place = self._counts(state.call, index)
        return _packed(place, number, self._within_call(state, index))

    def of_whole(self, state: CallState) -> bytes:
        """What `of` says of all items, for the key of a mapped call as a whole."""
        if not self.matter(state.call):
            return _NONE
        found = [number for number, _ in self._all()[state.call.number]]
        return b"".join(number.to_bytes(4, "little") for number in found) if any(found) else _NONE

    def matter(self, call: Call) -> bool:
        """Whether there may be other calls with the same arguments, and its code draws random numbers."""
        known = self._draws.get(call.step)
        if known is None:
            fingerprint = self._fingerprints(call.step)
            several = call.is_mapped or len(self._layout.calls) > 1 or self._one_by_one
            known = self._draws[call.step] = several and fingerprint.is_random
        return known

    def _counts(self, call: Call, index: int) -> tuple[int, int]:
        found = self._all()[call.number]
        return found[index] if self._item_forms(call) is not None else found[0]

    def _all(self) -> dict[int, list[tuple[int, int]]]:
        """By call, of each item: its number among equal ones, and the place of its step among those that took the same.

        A single one where its items are not known yet.
        """
        if self._counted is None:
            self._counted = {}
            seen: Counter[tuple[bytes, bytes]] = Counter()
            for call in self._layout.calls:
                if self.matter(call):
                    code = self._fingerprints(call.step).digest
                    forms = self._item_forms(call) or [self._form(call)]
                    found = [(_next(seen, (code, form)), self._place(form, code)) for form in forms]
                    self._counted[call.number] = found
        return self._counted

    def _place(self, arguments: bytes, code: bytes) -> int:
        taken = self._places.setdefault(arguments, [])
        if code not in taken:
            taken.append(code)
        return taken.index(code)

    def _form(self, call: Call) -> bytes:
        """What the arguments of a call say, the same for calls that have equal ones."""
        known = self._forms.get(call.number)
        if known is None:
            values = {name: self._value(call, name, value) for name, value in self._counting(call).items()}
            known = self._forms[call.number] = self._combined(call, values, call.over)
        return known

    def _item_forms(self, call: Call) -> list[bytes] | None:
        """What each item says, as if it were a plain call; None where the items are not known before the run."""
        if call.number not in self._items:
            self._items[call.number] = self._made_item_forms(call)
        return self._items[call.number]

    def _made_item_forms(self, call: Call) -> list[bytes] | None:
        if not call.is_mapped:
            return [self._form(call)]
        columns: dict[str, Sequence[bytes]] = {}
        for name in call.over:
            column = self._column(call, name)
            if column is None:
                return None
            columns[name] = column
        values = self._counting(call)
        constant = {name: self._value(call, name, v) for name, v in values.items() if name not in call.over}
        counted = [name for name in call.over if name in values]
        rows = zip(*columns.values(), strict=False)
        forms = []
        for row in rows:
            element = dict(zip(columns, row, strict=True))
            forms.append(self._combined(call, constant | {name: element[name] for name in counted}, ()))
        return forms

    def _column(self, call: Call, name: str) -> Sequence[bytes] | None:
        """What each element of a list says that is mapped over, where it stands in the pipeline."""
        source = call.arguments[name]
        if type(source) is not Output:
            return [self._value(call, name, element) for element in source]
        if not source.call.is_mapped or source.path:
            return None
        forms, code = self._item_forms(source.call), self._fingerprints(source.call.step).digest
        return None if forms is None else [_result(code, form, ()) for form in forms]

    def _counting(self, call: Call) -> dict[str, Any]:
        ignored = call.step.declared.ignore
        return {name: value for name, value in call.arguments.items() if name not in ignored}

    def _combined(self, call: Call, values: Mapping[str, bytes], over: Sequence[str]) -> bytes:
        said = [",".join(over).encode()]
        for name in sorted(values):
            said += [name.encode(), values[name]]
        return combine("call", [blake3(part).digest() for part in said])

    def _value(self, call: Call, name: str, value: Any) -> bytes:
        kind = type(value)
        if kind is Output:
            return _result(self._fingerprints(value.call.step).digest, self._form(value.call), value.path)
        if kind in (list, tuple) and contains_output(value):
            return combine(kind.__name__, [self._value(call, name, item) for item in value])
        if kind is dict and contains_output(value):
            pairs = [(self._literal(call, name, key), self._value(call, name, item)) for key, item in value.items()]
            return combine("dict", [part for pair in pairs for part in pair])
        return self._literal(call, name, value)

    def _within_call(self, state: CallState, index: int) -> int:
        """Of a mapped call over a computed list: the number of an item among those of equal elements."""
        if self._item_forms(state.call) is not None:
            return 0
        known = self._within.get(state.call.number)
        if known is None or len(known) != state.count:
            seen: Counter[tuple[Any, ...]] = Counter()
            known = self._within[state.call.number] = [_next(seen, row) for row in self._elements(state)]
        return known[index]

    def _elements(self, state: CallState) -> list[tuple[Any, ...]]:
        columns: list[Sequence[Any]] = []
        for name in state.call.over:
            source = state.call.arguments[name]
            is_chained = type(source) is Output and streams(source)
            columns.append(self._chained(self._states[source.call.number]) if is_chained else state.sources[name])
        return list(zip(*columns, strict=False))[: state.count]

    def _chained(self, source: CallState) -> Sequence[Any]:
        """What tells the results of a mapped call apart before they are there: its keys, or what comes before it."""
        follows = [value for name in source.call.over if type(value := source.call.arguments[name]) is Output]
        if any(streams(value) for value in follows):
            return list(
                zip(
                    *(self._chained(self._states[value.call.number]) for value in follows if streams(value)),
                    strict=False,
                )
            )
        return self._keys(source)


def _result(code: bytes, form: bytes, path: tuple[Any, ...]) -> bytes:
    """What a result says as an argument: whose it is, and which part of it."""
    return combine("output", [code, form, blake3(repr(path).encode()).digest()])


def _next(seen: Counter[Any], what: Any) -> int:
    number = seen[what]
    seen[what] += 1
    return number


def _packed(*numbers: int) -> bytes:
    last = max((position for position, number in enumerate(numbers, 1) if number), default=0)
    return b"".join(number.to_bytes(4, "little") for number in numbers[:last])
