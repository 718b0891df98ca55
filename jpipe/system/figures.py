"""Which values are figures of matplotlib, which is not loaded for the question."""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["is_figure"]


def is_figure(value: Any) -> bool:
    """Whether it is a figure of matplotlib."""
    module = sys.modules.get("matplotlib.figure")
    return module is not None and isinstance(value, module.Figure)
