"""The memory of all processes below this one, sampled while something runs."""

from __future__ import annotations

import os
import threading
from typing import Any, Self

EVERY = 0.05
"""Seconds between samples."""


class Peak:
    """Inside ``with``: samples the proportional set size, which counts memory that processes share once.

    Without psutil, or where the system does not tell that size, `nbytes` stays 0.
    """

    def __init__(self) -> None:
        self.nbytes = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _sample(self) -> None:
        try:
            import psutil
        except ImportError:
            return
        this = psutil.Process(os.getpid())
        while not self._done.wait(EVERY):
            self.nbytes = max(self.nbytes, sum(_share(child, psutil) for child in this.children(recursive=True)))


def _share(process: Any, psutil: Any) -> int:
    try:
        return int(getattr(process.memory_full_info(), "pss", 0))
    except psutil.Error:
        return 0
