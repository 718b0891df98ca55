"""Small pictures as they stand in a page: PNGs of pixels, sparklines and histograms."""

from __future__ import annotations

import base64
import math
import struct
import zlib
from collections.abc import Sequence
from typing import Any

__all__ = ["histogram_svg", "image_tag", "png_bytes", "sparkline_svg"]

_WIDTH, _HEIGHT = 220.0, 44.0


def png_bytes(pixels: Any) -> bytes:
    """A PNG of height × width (grey) or height × width × 3 or 4 bytes."""
    height, width = pixels.shape[:2]
    kind = {2: 0, 3: 2}.get(pixels.ndim, 0) if pixels.ndim == 2 or pixels.shape[2] == 3 else 6
    rows = b"".join(b"\0" + pixels[row].tobytes() for row in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + _chunk(b"IDAT", zlib.compress(rows, 6)) + _chunk(b"IEND", b"")


def image_tag(png: bytes, alternative: str) -> str:
    """An image with its bytes in it; `alternative` is escaped already."""
    return f'<img alt="{alternative}" src="data:image/png;base64,{base64.b64encode(png).decode()}">'


def sparkline_svg(values: Sequence[float], alternative: str) -> str:
    """A line through numbers; gaps where they are not finite."""
    known = [value for value in values if math.isfinite(value)]
    low, high = min(known, default=0.0), max(known, default=1.0)
    span = high - low or 1.0
    step = (_WIDTH - 6) / max(1, len(values) - 1)
    points: list[str] = []
    is_down = False
    for index, value in enumerate(values):
        if not math.isfinite(value):
            is_down = False
            continue
        y = _HEIGHT - 4 - (value - low) / span * (_HEIGHT - 8)
        points.append(f"{'L' if is_down else 'M'}{3 + index * step:.1f} {y:.1f}")
        is_down = True
    if len(known) == 1:
        points.append("l3 0")
    line = f'<path d="{"".join(points)}" fill="none" stroke="var(--jp-live-line, #1a5fb4)" stroke-width="1.5"/>'
    return _svg(line, alternative)


def histogram_svg(counts: Sequence[int], alternative: str) -> str:
    """Bars side by side."""
    most = max(counts, default=0) or 1
    width = _WIDTH / max(1, len(counts))
    bars = [
        f'<rect x="{index * width:.1f}" y="{_HEIGHT - count / most * _HEIGHT:.1f}" width="{max(0.5, width - 1):.1f}" '
        f'height="{count / most * _HEIGHT:.1f}" fill="var(--jp-live-line, #1a5fb4)"/>'
        for index, count in enumerate(counts)
        if count
    ]
    return _svg("".join(bars), alternative)


def _svg(inside: str, alternative: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{alternative}" class="jp-spark" '
        f'viewBox="0 0 {_WIDTH:.0f} {_HEIGHT:.0f}" width="{_WIDTH:.0f}" height="{_HEIGHT:.0f}">{inside}</svg>'
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
