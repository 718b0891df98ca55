"""The keys of the calls of a layout, from what is known of each."""

from __future__ import annotations

from collections.abc import Sequence

from jpipe.decide.call_state import CallState
from jpipe.decide.keys import item_key, item_keys, key_base, map_key
from jpipe.decide.occurrences import Occurrences

__all__ = ["CallKeys"]


class CallKeys:
    """Makes the keys of calls and items.

    Parameters
    ----------
    occurrences
        Which of several equal calls an item is.
    """

    def __init__(self, occurrences: Occurrences) -> None:
        self.occurrences = occurrences

    def of_item(self, state: CallState, index: int, fingerprint: bytes | None = None) -> bytes:
        """The key of an item whose arguments are known; of other code where a fingerprint is given."""
        code = fingerprint or state.fingerprint.digest
        base = key_base(code, state.rules, self.occurrences.of(state, index))
        return item_key(base, list(state.arguments_of(index).items()))

    def of_items(self, state: CallState, indices: Sequence[int]) -> list[bytes]:
        """The keys of items of a mapped call whose elements are known."""
        ignored = state.call.step.declared.ignore
        counted = [(name, state.sources[name].take(indices)) for name in state.call.over if name not in ignored]
        if not counted or (self.occurrences.matter(state.call) and any(self.occurrences.of(state, i) for i in indices)):
            return [self.of_item(state, index) for index in indices]
        base = key_base(state.fingerprint.digest, state.rules)
        return item_keys(base, state.fixed, counted, list(state.call.arguments))

    def of_whole(self, state: CallState, over: Sequence[tuple[str, bytes]], fingerprint: bytes | None = None) -> bytes:
        """The key of a mapped call as a whole.

        Parameters
        ----------
        over
            (parameter, digest) of the lists that are mapped over.
        """
        code = fingerprint or state.fingerprint.digest
        return map_key(key_base(code, state.rules, self.occurrences.of_whole(state)), state.fixed, over)
