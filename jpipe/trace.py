"""What is known of an exception, in a form that always survives the way from a worker."""

from __future__ import annotations

import os
import pickle
import sysconfig
import traceback
from dataclasses import dataclass

__all__ = ["ErrorRecord", "WorkersLost", "record_error"]

_HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep
_LIBRARY = tuple({sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib")})


class WorkersLost(Exception):
    """Worker processes died; every task that was in flight is lost and the pool has to be reopened.

    Parameters
    ----------
    message
        What the pool says of it.
    pids
        The processes that had died by themselves, as far as known.
    """

    def __init__(self, message: str, pids: frozenset[int] = frozenset()) -> None:
        super().__init__(message)
        self.pids = pids


@dataclass(frozen=True, slots=True)
class ErrorRecord:
    """An exception.

    Parameters
    ----------
    kind
        ``"raised"``, ``"timeout"``, ``"unstorable"`` or ``"edited"`` (its source changed before it could run).
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
    """

    kind: str
    error_type: str
    message: str
    traceback: str = ""
    frames: tuple[tuple[str, int, str, bool], ...] = ()
    pickled: bytes | None = None
    seconds: float = 0.0

    def exception(self) -> BaseException | None:
        """The exception itself, where it could be kept."""
        if self.pickled is None:
            return None
        try:
            loaded = pickle.loads(self.pickled)
        except Exception:
            return None
        return loaded if isinstance(loaded, BaseException) else None


def record_error(error: BaseException, kind: str = "raised", seconds: float = 0.0) -> ErrorRecord:
    """A record of an exception that was just caught."""
    summary = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(_HERE)]
    frames = tuple((f.filename, f.lineno or 0, f.name, _is_own(f.filename)) for f in summary)
    return ErrorRecord(
        kind, _type_name(error), _text(error), _formatted(error, summary), frames, _survivor(error), seconds
    )


def _is_own(file: str) -> bool:
    return "site-packages" not in file and "dist-packages" not in file and not file.startswith(("<frozen", *_LIBRARY))


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
        chain = traceback.format_exception(error)
        own = traceback.format_list(summary)
        only = traceback.format_exception_only(error)
        plain = error.__cause__ is None and error.__context__ is None
        return "".join(["Traceback (most recent call last):\n", *own, *only] if plain else chain)
    except Exception:
        return f"{_type_name(error)}: {_text(error)}"


def _survivor(error: BaseException) -> bytes | None:
    """The pickled exception, when it comes back as what it was: some classes cannot be rebuilt from their arguments."""
    try:
        pickled = pickle.dumps(error)
        return pickled if type(pickle.loads(pickled)) is type(error) else None
    except Exception:
        return None
