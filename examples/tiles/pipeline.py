"""Take the noise out of a large picture, tile by tile and in parallel, and put the tiles together again."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from skimage import data
from skimage.restoration import denoise_nl_means

from jpipe import File, pipeline, step

HALO = 8
"""How many pixels around a tile are looked at too, so that no seam is seen."""


@step
def noisy(strength: float) -> np.ndarray:
    """The photographer that comes inside scikit-image, with noise: float32, (512, 512), 0 to 1."""
    clean = data.camera().astype(np.float32) / 255
    noise = np.random.default_rng(0).normal(0, strength, clean.shape)
    return np.clip(clean + noise, 0, 1).astype(np.float32)


@step
def cut(picture: np.ndarray, row: int, column: int, size: int) -> np.ndarray:
    """One tile with its halo; beyond the edge the picture is mirrored."""
    wide = np.pad(picture, HALO, mode="reflect")
    return wide[row : row + size + 2 * HALO, column : column + size + 2 * HALO].copy()


@step
def clean(tile: np.ndarray, similar: float) -> np.ndarray:
    """Each pixel becomes the mean of those whose surroundings look alike; without the halo: (size, size)."""
    done = denoise_nl_means(tile, patch_size=3, patch_distance=4, h=similar)
    return done[HALO:-HALO, HALO:-HALO].astype(np.float32)


@step
def stitch(tiles: list[list[np.ndarray]]) -> np.ndarray:
    """The whole picture: float32, (512, 512)."""
    return np.block(tiles)


@step
def figure(before: np.ndarray, after: np.ndarray, path: str) -> File:
    picture = Figure(figsize=(6, 3), layout="constrained")
    for axes, pixels, title in zip(picture.subplots(1, 2), (before, after), ("before", "after"), strict=True):
        axes.imshow(pixels[100:250, 150:300], cmap="gray")
        axes.set(title=title, xticks=[], yticks=[])
    picture.savefig(path, dpi=80)
    return File(path)


@pipeline
def main(
    strength: float = 0.1,
    size: int = 128,
    similar: float = 0.1,
    path: str = str(Path(__file__).with_name("figure.png")),
) -> tuple[np.ndarray, File]:
    picture = noisy(strength)
    corners = range(0, 512, size)
    tiles = [[clean(cut(picture, row, column, size), similar) for column in corners] for row in corners]
    whole = stitch(tiles)
    return whole, figure(picture, whole, path)


if __name__ == "__main__":
    print(main()[0].mean())
