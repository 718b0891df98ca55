"""Which values are figures of matplotlib or images of Pillow, which are not loaded for the question."""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["is_figure", "is_image"]


def is_figure(value: Any) -> bool:
    """Whether it is a figure of matplotlib."""
    module = sys.modules.get("matplotlib.figure")
    return module is not None and isinstance(value, module.Figure)


def is_image(value: Any) -> bool:
    """Whether it is an image of Pillow."""
    module = sys.modules.get("PIL.Image")
    return module is not None and isinstance(value, module.Image)
