"""joblib's backend ``"loky"``, whose workers tell the item of a step that starts them what they look at.

Outside of items it is loky as joblib has it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

import joblib._parallel_backends

__all__ = ["LokyBackend"]


class LokyBackend(joblib._parallel_backends.LokyBackend):  # type: ignore[misc]
    """Workers of loky; the name of the class is what joblib shows, and what others ask for."""

    def submit(self, func: Callable[[], Any], callback: Callable[[Any], None] | None = None) -> Any:
        """Have a worker call `func`."""
        audit = sys.modules.get("jpipe.system.audit")  # whoever runs items has it
        log = None if audit is None else audit.log_of_children()
        return super().submit(func if log is None else _Telling(func, log), callback)


class _Telling:
    """A call whose reads are written to the file of the item that it works for."""

    def __init__(self, function: Callable[[], Any], log: str) -> None:
        self._function = function
        self._log = log

    def __call__(self) -> Any:
        if not os.path.exists(self._log):
            return self._function()
        from jpipe.system.audit import telling

        with telling(self._log):
            return self._function()
