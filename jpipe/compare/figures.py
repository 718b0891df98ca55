"""Two figures of matplotlib: how much of the picture is different."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from jpipe.compare.model import Change

__all__ = ["compare_figures", "pixels_of"]


def compare_figures(old: Any, new: Any, where: str) -> Iterator[Change]:
    """Whether two figures look the same, and where they do not, by how many pixels."""
    import numpy as np

    one, other = pixels_of(old), pixels_of(new)
    if one.shape != other.shape:
        before, after = (f"{pixels.shape[1]} × {pixels.shape[0]}" for pixels in (one, other))
        yield Change(where, "figure", before, after, detail="pixels", pictures=(old, new))
        return
    share = float(np.any(one != other, axis=-1).mean())
    if share:
        detail = f"{share * 100:.2g} % of the pixels differ"
        yield Change(where, "figure", "figure", "figure", detail=detail, pictures=(old, new))


def pixels_of(figure: Any) -> Any:
    """A figure as height × width × 4 bytes, drawn on a canvas of its own."""
    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba()).copy()
