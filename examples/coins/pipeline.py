"""Coins in a picture: found, measured, and the large ones looked at once more. How many shows during the run."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from skimage import data, filters, measure, morphology

import jpipe
from jpipe import File, pipeline, step


@step
def picture() -> np.ndarray:
    """Greek coins from Pompeii, which come inside scikit-image: uint8, (303, 384)."""
    return data.coins()


@step
def boxes(grey: np.ndarray, threshold: float) -> list[tuple[int, int, int, int]]:
    """Where something is brighter than the threshold: (top, left, bottom, right), in pixels, a few dozen of them."""
    bright = morphology.closing(grey > filters.threshold_otsu(grey) * threshold, np.ones((3, 3)))
    return [region.bbox for region in measure.regionprops(measure.label(bright)) if region.area > 100]


@step
def size(box: tuple[int, int, int, int], grey: np.ndarray) -> dict[str, float]:
    """How large and how bright the thing in a box is."""
    top, left, bottom, right = box
    part = grey[top:bottom, left:right]
    return {"top": top, "left": left, "width": right - left, "height": bottom - top, "grey": float(part.mean())}


@step
def large(boxes: list[tuple[int, int, int, int]], sizes: list[dict[str, float]], least: int) -> list:
    """The boxes that are at least so many pixels wide."""
    return [box for box, one in zip(boxes, sizes, strict=True) if one["width"] >= least]


@step
def relief(box: tuple[int, int, int, int], grey: np.ndarray) -> float:
    """How strongly a coin is embossed: the mean slope of its grey."""
    top, left, bottom, right = box
    return float(filters.sobel(grey[top:bottom, left:right]).mean())


@step
def table(boxes: list[tuple[int, int, int, int]], reliefs: list[float]) -> pd.DataFrame:
    """One row a large coin, the deepest relief first."""
    rows = pd.DataFrame(boxes, columns=["top", "left", "bottom", "right"])
    return rows.assign(relief=reliefs).sort_values("relief", ascending=False).round(4)


@step
def figure(grey: np.ndarray, coins: pd.DataFrame, path: str) -> File:
    """The picture, with each large coin framed by its relief."""
    drawing = Figure(figsize=(6, 4.8), layout="constrained")
    axes = drawing.subplots()
    axes.imshow(grey, cmap="gray")
    for coin in coins.itertuples():
        width, height = coin.right - coin.left, coin.bottom - coin.top
        axes.add_patch(Rectangle((coin.left, coin.top), width, height, fill=False, color="gold"))
        axes.annotate(f"{coin.relief:.3f}", (coin.left, coin.top), color="gold", fontsize=8)
    axes.set_axis_off()
    drawing.savefig(path, dpi=80)
    return File(path)


@pipeline
def main(
    threshold: float = 1.0, least: int = 45, path: str = str(Path(__file__).with_name("figure.png"))
) -> tuple[pd.DataFrame, File]:
    grey = picture()
    found = boxes(grey, threshold)
    chosen = large(found, jpipe.map(size, found, grey=grey), least)
    coins = table(chosen, jpipe.map(relief, chosen, grey=grey))
    return coins, figure(grey, coins, path)


if __name__ == "__main__":
    print(main()[0])
