"""Keep what an item prints: stdout, stderr, logging and warnings that go there."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["Capture", "captured"]

LIMIT = 1 << 20


class Capture(io.TextIOBase):
    """A text stream that keeps the first and the last of what is written, up to a mebibyte of characters."""

    def __init__(self) -> None:
        self._head = io.StringIO()
        self._tail = ""
        self._size = 0

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """As of a terminal."""
        return "utf-8"

    def writable(self) -> bool:
        """True."""
        return True

    def write(self, text: str) -> int:
        """Keep some text."""
        if self._size < LIMIT // 2:
            self._head.write(text)
        else:
            self._tail = (self._tail + text)[-LIMIT // 2 :]
        self._size += len(text)
        return len(text)

    def take(self) -> str:
        """What was written since the last time."""
        if not self._size:
            return ""
        head, tail = self._head.getvalue(), self._tail
        left_out = self._size - len(head) - len(tail)
        self.__init__()  # type: ignore[misc]
        return f"{head}\n… {left_out} characters left out …\n{tail}" if left_out > 0 else head + tail


@contextmanager
def captured(active: bool) -> Iterator[Capture]:
    """Put one `Capture` in the place of stdout and stderr, unless not `active`; ``breakpoint()`` gets the real ones."""
    capture = Capture()
    if not active:
        yield capture
        return
    real = sys.stdout, sys.stderr, sys.breakpointhook

    def hook(*args: Any, **kwargs: Any) -> Any:
        sys.stdout, sys.stderr, sys.breakpointhook = real
        return sys.breakpointhook(*args, **kwargs)

    sys.stdout = sys.stderr = capture  # type: ignore[assignment]
    sys.breakpointhook = hook
    try:
        yield capture
    finally:
        sys.stdout, sys.stderr, sys.breakpointhook = real
