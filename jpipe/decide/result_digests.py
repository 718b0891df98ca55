"""What is known of results: the digest of what an output stands for, and where its value is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jpipe.decide.call_state import CallState
from jpipe.decide.record_lookup import RecordLookup
from jpipe.define.layout import Call, Output, describe
from jpipe.digest import Code, complete, digest
from jpipe.errors import CacheMiss, WiringError
from jpipe.store import UnreadableEntry, Where

__all__ = ["KnownResults", "unreadable"]


class KnownResults:
    """The results that are known so far.

    Parameters
    ----------
    states
        What is known of each call, by its number.
    lookup
        Where results are.
    fingerprinter
        For code inside values.
    """

    def __init__(self, states: Mapping[int, CallState], lookup: RecordLookup, fingerprinter: Any) -> None:
        self._states = states
        self._lookup = lookup
        self._fingerprinter = fingerprinter

    def digest_of(self, output: Output) -> bytes:
        """The digest of what an output stands for; its call must be done."""
        state = self._states[output.call.number]
        if not output.path:
            assert state.whole is not None
            return state.whole
        if state.call.is_mapped and len(output.path) == 1 and isinstance(output.path[0], int):
            return self.item_digest(state, self._position(output, state))
        part = self._part(state, output.path)
        if part is not None:
            return part
        return self._digest_by_loading(output)

    def place_of(self, output: Output) -> tuple[list[Where], tuple[Any, ...] | None]:
        """Where the value of an output is: one place and the path inside it, or all places of a mapped call."""
        state = self._states[output.call.number]
        if not state.call.is_mapped:
            return [self._place(state, 0)], output.path
        if not output.path:
            return self._all_places(state), None
        return [self._place(state, self._position(output, state))], output.path[1:]

    def _position(self, output: Output, state: CallState) -> int:
        try:
            return range(state.count or 0)[int(output.path[0])]
        except IndexError:
            raise WiringError(
                f"{describe(output)}: {state.call.step.name} has {state.count} items", location=state.call.location
            ) from None

    def _part(self, state: CallState, path: tuple[Any, ...]) -> bytes | None:
        if state.call.is_mapped or len(path) != 1 or state.parts is None:
            return None
        key = path[0]
        if isinstance(key, int) and key < 0 and key not in state.parts:  # a dict may have it as a key
            key += len(state.parts)
        found = state.parts.get(key)
        return None if found is None else self.completed(found, state.part_code.get(key, ()))

    def _digest_by_loading(self, output: Output) -> bytes:
        return self._digest(output, self._loaded(output))

    def _digest(self, output: Output, value: Any) -> bytes:
        found = digest(value, fingerprint=self._fingerprinter, hashers=output.call.step.declared.hash)
        return self.completed(found.content, found.code)

    def _loaded(self, output: Output) -> Any:
        """The value of an output, where its digest does not answer the question."""
        places, path = self.place_of(output)
        try:
            value: Any = self._lookup.store.load(places[0])
        except UnreadableEntry as error:
            raise unreadable(output, error) from error
        try:
            for key in path or ():
                value = value[key]
        except (LookupError, TypeError) as error:
            raise WiringError(
                f"{describe(output)}: {type(error).__name__}: {error}", location=output.call.location
            ) from None
        return value

    def parts_of(self, output: Output, taker: Call) -> list[bytes]:
        """Digests of the elements of what a plain call returned, which `taker` is mapped over."""
        state = self._states[output.call.number]
        parts = None if output.path or state.call.is_mapped else state.parts
        if parts is not None and list(parts) == list(range(len(parts))):
            return [self.completed(part, state.part_code.get(key, ())) for key, part in parts.items()]
        value = self._loaded(output)
        if not _has_elements(value):
            raise WiringError(
                f"jpipe.map({taker.step.name}) over {describe(output)}, which is of type {type(value).__name__}",
                location=taker.location,
                hint="return a list of what is to be mapped over",
            )
        return [self._digest(output, element) for element in value]

    def item_digest(self, state: CallState, index: int) -> bytes:
        """The digest of what an item gave, code included."""
        if not state.contents:
            self._lookup.list_items(state)
        content = state.contents[index]
        assert content is not None
        return self.completed(content, state.codes.get(index, ()))

    def completed(self, content: bytes, code: Code) -> bytes:
        """A digest together with the user's own code that stands in the value."""
        return complete(content, code, self._fingerprinter.of_reference) if code else content

    def _place(self, state: CallState, index: int) -> Where:
        if not state.places:
            self._lookup.list_items(state)
        if state.places[index] is None:
            self._lookup.find_places(state)
        place = state.places[index]
        assert place is not None
        return place

    def _all_places(self, state: CallState) -> list[Where]:
        if not state.places:
            self._lookup.list_items(state)
        if None in state.places:
            self._lookup.find_places(state)
        return [place for place in state.places if place is not None]


def unreadable(output: Output, error: UnreadableEntry) -> CacheMiss:
    """The error for a result that is there and cannot be unpickled: making it again in the same way does not help."""
    step = output.call.step.name
    return CacheMiss(
        f"{describe(output)}: {error}",
        hint=f"if a class was moved or a package changed: jpipe run --force {step}; else return what can be unpickled",
    )


def _has_elements(value: Any) -> bool:
    """Whether iterating over a value gives its elements 0, 1, 2 and so on, in every process."""
    is_array = getattr(value, "ndim", 0) > 0 and not hasattr(value, "iloc")
    return isinstance(value, Sequence) or is_array
