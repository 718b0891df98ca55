"""The lists that a call is mapped over: their digests, how long they are, and what is known of their elements."""

from __future__ import annotations

from collections.abc import Mapping

from jpipe.decide.argument_digests import Digester, file_parameters
from jpipe.decide.call_state import CallState
from jpipe.decide.chained_maps import streams
from jpipe.decide.item_columns import blocks, digests_of, unknown_digests
from jpipe.decide.record_lookup import RecordLookup
from jpipe.decide.result_digests import KnownResults
from jpipe.define.layout import Call, Output, contains_output, needs_of

__all__ = ["MappedLists"]


class MappedLists:
    """Looks at what calls are mapped over.

    Parameters
    ----------
    states
        What is known of each call, by its number.
    digester
        Digests what stands in the pipeline.
    results
        Digests of results that are known.
    lookup
        What earlier runs recorded.
    """

    def __init__(
        self, states: Mapping[int, CallState], digester: Digester, results: KnownResults, lookup: RecordLookup
    ) -> None:
        self._states = states
        self._digester = digester
        self._results = results
        self._lookup = lookup

    def digest(self, call: Call, name: str) -> bytes | None:
        """The digest of a list, if it is known as a whole by now."""
        value = call.arguments[name]
        if not all(self._states[o.call.number].is_done for o in needs_of(value)):
            return None
        return self._digester.argument(call, name, value, name in file_parameters(call))

    def count(self, state: CallState, name: str) -> int | None:
        """How many elements a list has, if that is known by now."""
        value = state.call.arguments[name]
        if type(value) is not Output:
            return len(value)
        source = self._states[value.call.number]
        if source.call.is_mapped and not value.path:
            self._lookup.list_items(source)
            return source.count
        state.list_elements(name, digests_of(self._results.parts_of(value, state.call)))
        return len(state.sources[name])

    def fill(self, state: CallState, name: str) -> None:
        """Set the digests of those elements that stand in the pipeline; of a call that is sized."""
        value = state.call.arguments[name]
        count = state.count or 0
        is_file = name in file_parameters(state.call)
        if type(value) is Output and not streams(value):
            state.list_elements(name, digests_of(state.sources[name][:count]))
            return
        column = unknown_digests(count)
        if type(value) is not Output and not contains_output(value):
            for some in blocks(range(count)):
                elements = value[some[0] : some[-1] + 1] if some else ()
                column.fill(some, b"".join(self._digester.elements(state.call, name, elements, is_file)))
        state.list_elements(name, column)

    def element(self, state: CallState, name: str, index: int) -> bytes | None:
        """The digest of an element, if it is known by now."""
        value = state.call.arguments[name]
        if type(value) is Output:
            source = self._states[value.call.number]
            return self._results.item_digest(source, index) if source.contents[index] is not None else None
        element = value[index]
        if not all(self._states[o.call.number].is_done for o in needs_of(element)):
            return None
        return self._digester.argument(state.call, name, element, name in file_parameters(state.call))
