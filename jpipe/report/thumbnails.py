"""A result in a few square centimetres of a page: picture, histogram, sparkline, first rows, first lines.

What a value says of itself is text and shown as text. A user's class may raise, hang on to files or print when it is
looked at, so only its repr is asked for, and an exception is told in its place.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jpipe.compare.arrays import is_array
from jpipe.compare.tables import Table, is_table, table_of
from jpipe.model.value_summary import summary_of
from jpipe.render.humanize import size
from jpipe.render.value_text import value_text
from jpipe.report.graph_svg import legible
from jpipe.report.picture import histogram_svg, image_tag, png_bytes, sparkline_svg
from jpipe.system.figures import is_figure, is_image

__all__ = ["figure_tag", "is_scalar", "pixels_of_array", "thumbnail"]

_MOST_TEXT = 600
_MOST_ROWS, _MOST_COLUMNS = 6, 8
_SAMPLED = 100_000
_LARGEST_PICTURE = 160
_MOST_PNG = 40_000
_BINS = 30
_MOST_PARTS = 4


def thumbnail(value: Any) -> str:
    """A value as HTML without scripts; everything of the user's in it is escaped."""
    try:
        return _drawn(value)
    except Exception as error:  # whatever a user's class does when it is looked at
        return _text(f"{type(value).__name__} cannot be shown: {type(error).__name__}")


def is_scalar(value: Any) -> bool:
    """Whether it is a number that can stand in a chart."""
    if isinstance(value, bool) or not hasattr(value, "__float__"):
        return False
    if isinstance(value, (int, float)):
        return True
    # Scalars of numpy have the method also where they are dates or texts.
    return getattr(value, "shape", None) == () and getattr(getattr(value, "dtype", None), "kind", "f") in "iuf"


def _drawn(value: Any) -> str:
    if is_figure(value):
        return figure_tag(value)
    if is_image(value):
        return _image(value)
    if is_table(value):
        return _table(value)
    if is_array(value):
        return _array(value)
    if hasattr(value, "path") and type(value).__name__ == "File":
        return _file(Path(value.path))
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Mapping) and value and len(value) <= 30:
        return _mapping(value)
    if isinstance(value, (list, tuple)) and len(value) > 2 and all(is_scalar(one) for one in value[:1000]):
        return _numbers([float(one) for one in value[:1000]], f"{type(value).__name__} of {len(value):,}")
    if isinstance(value, (list, tuple)) and 0 < len(value) <= _MOST_PARTS and any(map(_is_large, value)):
        return "".join(f'<div class="jp-part">{_drawn(part)}</div>' for part in value)
    return _text(value_text(value, 60, most=20, longest=200, deepest=4))


def _is_large(value: Any) -> bool:
    return is_array(value) or is_table(value) or is_figure(value)


def figure_tag(figure: Any, alternative: str = "a figure") -> str:
    """A figure of matplotlib as a picture; `alternative` is escaped already."""
    for dots in (60, 40, 25):
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=dots)
        if buffer.tell() <= _MOST_PNG:
            return image_tag(buffer.getvalue(), alternative)
    return _text("a figure too large to be shown here")


def _table(value: Any) -> str:
    shape = getattr(value, "shape", ())
    table = table_of(value.head(200) if hasattr(value, "head") else value.slice(0, 200))
    names = list(table.columns)[:_MOST_COLUMNS]
    head = "".join(f'<th scope="col">{legible(str(name))}</th>' for name in names)
    rows = []
    for number in range(min(table.height, _MOST_ROWS)):
        cells = "".join(f"<td>{legible(_cell(table.columns[name][number]))}</td>" for name in names)
        rows.append(f'<tr><th scope="row">{legible(_cell(table.labels[number]))}</th>{cells}</tr>')
    return (
        _caption(value, shape)
        + f'<table class="jp-head"><tr><td></td>{head}</tr>{"".join(rows)}</table>'
        + _types(table)
    )


def _types(table: Table) -> str:
    missing = []
    for name, column in table.columns.items():
        share = sum(cell is None or cell != cell for cell in column.tolist()) / max(1, table.height)
        if share:
            missing.append(f"{name} {share * 100:.0f}%")
    types = ", ".join(dict.fromkeys(table.types.values()))
    lost = f" · missing in the first rows: {', '.join(missing[:5])}" if missing else ""
    return f'<p class="jp-small">{legible(types + lost)}</p>'


def _array(value: Any) -> str:
    import numpy as np

    array = np.asarray(value.toarray() if hasattr(value, "tocoo") else value)
    caption = _caption(value, array.shape, str(array.dtype))
    if array.dtype.kind not in "biuf" or not array.size:
        return caption + _text(str(array.ravel()[:20]))
    if _is_picture(array):
        return caption + image_tag(png_bytes(pixels_of_array(array, _LARGEST_PICTURE)), "the array as a picture")
    flat = array.ravel()
    sample = np.asarray(flat[:: max(1, flat.size // _SAMPLED)], float)
    known = sample[np.isfinite(sample)]
    if not known.size:
        return caption + _text("no finite element")
    facts = f"min {known.min():.4g} · mean {known.mean():.4g} · max {known.max():.4g}"
    if known.size < sample.size:
        facts += f" · {(1 - known.size / sample.size) * 100:.0f}% not finite"
    if array.ndim == 1 and 2 < array.size <= 400:
        drawn = sparkline_svg(sample.tolist(), f"a line: {facts}")
    else:
        with np.errstate(all="ignore"):
            low, high = float(known.min()), float(known.max())
            bins = (low, high) if high > low else (low - 0.5, high + 0.5)
            counts = np.histogram(known, _BINS, bins)[0] if math.isfinite(bins[1] - bins[0]) else np.zeros(1)
        drawn = histogram_svg([int(count) for count in counts], f"a histogram: {facts}")
    return caption + drawn + f'<p class="jp-small">{legible(facts)}</p>'


def _image(value: Any) -> str:
    import numpy as np

    pixels = np.asarray(value.convert("RGBA" if "A" in value.mode or value.mode == "P" else "RGB"))
    caption = f'<p class="jp-small">{legible(f"image {value.mode} {value.width:,} × {value.height:,}")}</p>'
    return caption + image_tag(png_bytes(pixels_of_array(pixels, _LARGEST_PICTURE)), "the image")


def _is_picture(array: Any) -> bool:
    """Whether it looks like pixels: two sides that are neither short nor far apart, and grey or colours."""
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        return False
    height, width = array.shape[:2]
    return bool(min(height, width) >= 16 and max(height, width) <= 4 * min(height, width))


def pixels_of_array(array: Any, most: int | None) -> Any:
    """An array as bytes of pixels, its least grey black and its largest white, at most so many on a side."""
    import numpy as np

    step = max(1, -(-max(array.shape[:2]) // most)) if most is not None else 1
    small = np.asarray(array[::step, ::step])
    if small.dtype == np.uint8:
        return np.ascontiguousarray(small)
    small = small.astype(float)
    known = small[np.isfinite(small)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    with np.errstate(all="ignore"):
        scaled = np.nan_to_num((small - low) / ((high - low) or 1.0), nan=0.0, posinf=1.0, neginf=0.0)
    return np.ascontiguousarray((np.clip(scaled, 0, 1) * 255).astype(np.uint8))


def _mapping(value: Mapping[Any, Any]) -> str:
    rows = []
    for key, inside in list(value.items())[:12]:
        text = f"{float(inside):.6g}" if is_scalar(inside) and not isinstance(inside, int) else summary_of(inside)
        rows.append(f'<tr><th scope="row">{legible(str(key)[:60])}</th><td>{legible(text[:120])}</td></tr>')
    more = f'<p class="jp-small">and {len(value) - 12} more</p>' if len(value) > 12 else ""
    return f'<table class="jp-head">{"".join(rows)}</table>{more}'


def _numbers(values: list[float], caption: str) -> str:
    known = [value for value in values if math.isfinite(value)] or [math.nan]
    facts = f"{caption} · min {min(known):.4g} · max {max(known):.4g}"
    return sparkline_svg(values, f"a line: {facts}") + f'<p class="jp-small">{legible(facts)}</p>'


def _file(path: Path) -> str:
    try:
        told = size(path.stat().st_size)
    except OSError:
        told = "not there"
    return _text(f"{path.name}\n{told}")


def _text(text: str) -> str:
    shown = text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]}…"
    return f"<pre>{legible(shown)}</pre>"


def _caption(value: Any, shape: tuple[int, ...], dtype: str = "") -> str:
    kind = type(value).__name__.replace("memmap", "ndarray")
    sides = " × ".join(f"{side:,}" for side in shape)
    return f'<p class="jp-small">{legible(" ".join(filter(None, (kind, sides, dtype))))}</p>'


def _cell(value: Any) -> str:
    if isinstance(value, float) or (is_scalar(value) and not isinstance(value, int) and hasattr(value, "dtype")):
        return f"{float(value):.5g}"
    return str(value)[:40]
