"""What is known of an exception, in a form that always survives the way from a worker."""

from __future__ import annotations

import pickle
import re
import traceback
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, NamedTuple

from jpipe.system.ownership import is_jpipe_file, is_users

__all__ = ["ErrorRecord", "WorkersLost", "record_error"]

_MOST_FRAMES = 25
_LONGEST_MESSAGE, _LONGEST_TRACEBACK, _LONGEST_CAUSE = 8_000, 40_000, 500
"""Characters; what is longer is data."""
_LARGEST = 1 << 20
"""Bytes of a pickled exception that are handed on."""
_MOST_CAUSES = 5


class WorkersLost(Exception):
    """Worker processes died; every task that was in flight is lost and the pool has to be reopened.

    Parameters
    ----------
    message
        What the pool says of it.
    pids
        The processes that had died by themselves, as far as known.
    position
        The item of the chunk that the process was on, where that is known.
    """

    def __init__(self, message: str, pids: frozenset[int] = frozenset(), position: int | None = None) -> None:
        super().__init__(message)
        self.pids = pids
        self.position = position

    def __reduce__(self) -> tuple[Any, ...]:
        return WorkersLost, (str(self), self.pids, self.position)


class ErrorRecord(NamedTuple):
    """An exception.

    Parameters
    ----------
    kind
        ``"raised"``, ``"timeout"``, ``"unstorable"``, ``"differs"`` (its process had not what the key was made of) or
        ``"hidden"`` (it read what another step writes, without taking its result).
    error_type, message
        Class name and text.
    traceback
        The whole formatted traceback, without jpipe's own frames.
    frames
        Outermost first: (file, line, function, is it the user's own code?).
    pickled
        The exception itself where it survives a round trip, else None.
    seconds
        After how long it was raised.
    causes
        Exceptions that it came from or holds: (what it is of this one, file, line); no file where none is the user's.
    """

    kind: str
    error_type: str
    message: str
    traceback: str = ""
    frames: tuple[tuple[str, int, str, bool], ...] = ()
    pickled: bytes | None = None
    seconds: float = 0.0
    causes: tuple[tuple[str, str, int], ...] = ()

    def exception(self) -> BaseException | None:
        """The exception itself, where it could be kept."""
        if self.pickled is None:
            return None
        try:
            loaded = pickle.loads(self.pickled)
        except Exception:
            return None
        return loaded if isinstance(loaded, BaseException) else None


def record_error(
    error: BaseException, kind: str = "raised", seconds: float = 0.0, dumps: Callable[[Any], bytes] = pickle.dumps
) -> ErrorRecord:
    """A record of an exception that was just caught; `dumps` pickles it."""
    summary = _frames(error)
    frames = tuple((f.filename, f.lineno or 0, f.name, is_users(f.filename)) for f in summary)
    return ErrorRecord(
        kind,
        _type_name(error),
        _cut(_text(error), _LONGEST_MESSAGE),
        _cut(_formatted(error, summary), _LONGEST_TRACEBACK),
        frames,
        _survivor(error, dumps),
        seconds,
        tuple(_causes(error)),
    )


def _cut(text: str, longest: int) -> str:
    """A text without its middle where it is longer."""
    if len(text) <= longest:
        return text
    head, tail = text[: longest * 3 // 4], text[-longest // 4 :]
    return f"{head}\n… {len(text) - len(head) - len(tail):,} characters left out …\n{tail}"


def _frames(error: BaseException) -> list[traceback.FrameSummary]:
    """Frames without jpipe's own; of an endless recursion, both ends."""
    extracted = traceback.extract_tb(error.__traceback__)
    found = [frame for frame in extracted if not is_jpipe_file(frame.filename)]
    return found if len(found) <= 2 * _MOST_FRAMES else [*found[:_MOST_FRAMES], *found[-_MOST_FRAMES:]]


def _causes(error: BaseException) -> Iterator[tuple[str, str, int]]:
    """What the exception came from, nearest first, and what it holds if it is a group."""
    if isinstance(error, BaseExceptionGroup):
        for held in list(_leaves(error))[:_MOST_CAUSES]:
            yield "it holds " + _brief(held), *_place(held)
    seen, before = {id(error)}, _before(error)
    while before is not None and id(before[1]) not in seen and len(seen) <= _MOST_CAUSES:
        how, cause = before
        seen.add(id(cause))
        # The traceback of another process, which multiprocessing and joblib pass on as a cause.
        if not type(cause).__name__.endswith("RemoteTraceback"):
            yield f"{how} {_brief(cause)}", *_place(cause)
        before = _before(cause)


def _before(error: BaseException) -> tuple[str, BaseException] | None:
    if error.__cause__ is not None:
        return "because of", error.__cause__
    if error.__context__ is not None and not error.__suppress_context__:
        return "while handling", error.__context__
    return None


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for held in group.exceptions:
        if isinstance(held, BaseExceptionGroup):
            yield from _leaves(held)
        else:
            yield held


def _brief(error: BaseException) -> str:
    first = _text(error).strip().splitlines()[:1]
    return _cut(": ".join([_type_name(error), *first]), _LONGEST_CAUSE)


def _place(error: BaseException) -> tuple[str, int]:
    """The innermost line of the user's own code that it passed."""
    own = [frame for frame in _frames(error) if is_users(frame.filename)]
    return (own[-1].filename, own[-1].lineno or 0) if own else ("", 0)


def _type_name(error: BaseException) -> str:
    cls = type(error)
    return cls.__qualname__ if cls.__module__ in ("builtins", "__main__") else f"{cls.__module__}.{cls.__qualname__}"


def _text(error: BaseException) -> str:
    try:
        text = str(error)
        notes = getattr(error, "__notes__", [])
        return "\n".join([text, *map(str, notes)]) if notes else text
    except Exception as second:
        return f"<its text cannot be had: {type(second).__name__}>"


def _formatted(error: BaseException, summary: list[traceback.FrameSummary]) -> str:
    try:
        chain = traceback.format_exception(type(error), error, _below_jpipe(error.__traceback__))
        own = traceback.format_list(summary)
        only = traceback.format_exception_only(error)
        plain = error.__cause__ is None and error.__context__ is None
        return "".join(["Traceback (most recent call last):\n", *own, *only] if plain else chain)
    except Exception:
        return f"{_type_name(error)}: {_text(error)}"


def _below_jpipe(frames: TracebackType | None) -> TracebackType | None:
    while frames is not None and is_jpipe_file(frames.tb_frame.f_code.co_filename):
        frames = frames.tb_next
    return frames


_ADDRESS = re.compile("0x[0-9a-fA-F]+")


def _survivor(error: BaseException, dumps: Callable[[Any], bytes]) -> bytes | None:
    """The pickled exception, when it comes back as what it was: some classes cannot be rebuilt from their arguments."""
    try:
        pickled = dumps(error)
        copy = pickle.loads(pickled)
        same = type(copy) is type(error) and _ADDRESS.sub("", str(copy)) == _ADDRESS.sub("", str(error))
        return pickled if same and len(pickled) <= _LARGEST else None
    except Exception:
        return None
