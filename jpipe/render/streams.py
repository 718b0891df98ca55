"""What to do with a stream whose reader has left."""

from __future__ import annotations

import contextlib
import os
from typing import TextIO

__all__ = ["discard"]


def discard(stream: TextIO) -> None:
    """Have what a stream still holds, and all that is written to it from now on, go nowhere."""
    try:
        stream.flush()
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
