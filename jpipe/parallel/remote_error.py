"""How the exception of an item gets from a worker to the caller: itself where it can, readable in any case."""

from __future__ import annotations

import pickle
import reprlib
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jpipe.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Failure", "RemoteTraceback", "add_item_note"]


class RemoteTraceback(Exception):
    """The traceback of an exception in its worker, as text."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f'\n"""\n{self.text}"""'


@dataclass(frozen=True, slots=True)
class Failure:
    """An item that failed in a worker.

    Parameters
    ----------
    index
        Which item.
    summary
        Type and message of its exception.
    traceback
        The traceback as text, from the user's function on.
    packed
        The exception, pickled, when it survives that.
    note
        The item's number and arguments, shortened.
    """

    index: int
    summary: str
    traceback: str
    packed: bytes | None
    note: str

    @classmethod
    def of(
        cls,
        error: BaseException,
        index: int,
        function: Any,
        arguments: tuple[Any, ...],
        pack: Callable[[Any], bytes],
    ) -> Failure:
        """Describe an exception where it was raised."""
        below = error.__traceback__.tb_next if error.__traceback__ is not None else None
        text = "".join(traceback.format_exception(type(error), error, below))
        summary = "".join(traceback.format_exception_only(type(error), error)).strip()
        return cls(index, summary, text, _packed(error, pack), _note(index, function, arguments))

    def exception(self) -> BaseException:
        """What to raise in the caller."""
        error = None if self.packed is None else _unpacked(self.packed)
        if error is None:
            error = StepError(
                f"item {self.index} failed: {self.summary}",
                hint="the exception itself cannot be pickled; its traceback in the worker is above",
            )
        error.__cause__ = RemoteTraceback(self.traceback)
        error.add_note(self.note)
        return error


def add_item_note(error: BaseException, index: int, function: Any, arguments: tuple[Any, ...]) -> None:
    """Say in the traceback of an exception which item it comes from."""
    error.add_note(_note(index, function, arguments))


def _note(index: int, function: Any, arguments: tuple[Any, ...]) -> str:
    if function is None:
        return f"in item {index}"
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    try:
        shown = ", ".join(map(reprlib.repr, arguments))
    except Exception:
        shown = "..."
    return f"in item {index}: {name}({shown})"


def _packed(error: BaseException, pack: Callable[[Any], bytes]) -> bytes | None:
    """The pickled exception, if the caller will be able to unpickle it."""
    try:
        packed = pack(error)
        copy = pickle.loads(packed)
        return packed if type(copy) is type(error) and str(copy) == str(error) else None
    except Exception:
        return None


def _unpacked(packed: bytes) -> BaseException | None:
    try:
        error = pickle.loads(packed)
    except Exception:
        return None
    return error if isinstance(error, BaseException) else None
