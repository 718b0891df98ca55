"""How the exception of an item of a map gets from a worker to the caller: itself where it can, readable in any case."""

from __future__ import annotations

import reprlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jpipe.errors import StepError
from jpipe.system.error_record import ErrorRecord, record_error

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Failure", "RemoteTraceback", "with_note"]


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
    record
        Its exception.
    note
        The item's number and arguments, shortened.
    """

    index: int
    record: ErrorRecord
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
        return cls(index, record_error(error, dumps=pack), _note(index, function, arguments))

    def exception(self) -> BaseException:
        """What to raise in the caller."""
        record = self.record
        error = record.exception()
        if error is None:
            error = StepError(
                f"item {self.index} failed: {record.error_type}: {record.message}".rstrip(": "),
                hint="the exception itself cannot be pickled; its traceback in the worker is above",
            )
        error = _raisable(error)
        error.__cause__ = RemoteTraceback(record.traceback)
        error.add_note(self.note)
        return error


def with_note(error: BaseException, index: int, function: Any, arguments: tuple[Any, ...]) -> BaseException:
    """What to raise for an exception, which says from which item it comes."""
    raised = _raisable(error)
    raised.add_note(_note(index, function, arguments))
    return raised


def _raisable(error: BaseException) -> BaseException:
    """An exception that results can end with: out of a generator `StopIteration` would come as another, unnamed."""
    if not isinstance(error, StopIteration):
        return error
    raised = RuntimeError(f"an item raised StopIteration{f': {error}' if str(error) else ''}")
    raised.__cause__ = error
    return raised


def _note(index: int, function: Any, arguments: tuple[Any, ...]) -> str:
    if function is None:
        return f"in item {index}"
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    try:
        shown = ", ".join(map(reprlib.repr, arguments))
    except Exception:
        shown = "..."
    return f"in item {index}: {name}({shown})"
