"""Which textures do pictures share? Every pixel of scikit-image's own pictures is put into one of a few clusters."""

import numpy as np
import pandas as pd
from skimage import color, data, filters
from sklearn.cluster import KMeans

import jpipe
from jpipe import pipeline, step

NAMES = ("astronaut", "chelsea", "coffee", "hubble_deep_field", "immunohistochemistry", "retina", "rocket")
SCALES = (1.0, 4.0)


@step
def pictures(least: int) -> list[str]:
    """The names of the pictures that have at least this many pixels."""
    return [name for name in NAMES if load(name)[..., 0].size >= least]


def load(name: str) -> np.ndarray:
    """A picture that comes inside scikit-image: uint8, (height, width, 3)."""
    return getattr(data, name)()


@step
def features(name: str) -> np.ndarray:
    """What surrounds each pixel: float32, (height, width, 4 per scale). Up to 64 MB, which every consumer maps."""
    lab = color.rgb2lab(load(name)).astype(np.float32)
    return np.dstack([channel for scale in SCALES for channel in at_scale(lab, scale)])


def at_scale(lab: np.ndarray, scale: float) -> list[np.ndarray]:
    smooth = filters.gaussian(lab, scale, channel_axis=-1)
    return [smooth, filters.sobel(smooth[..., 0])[..., None]]


@step
def centres(stacks: list[np.ndarray], clusters: int) -> np.ndarray:
    """The middle of each cluster of pixels, from 2,000 pixels of each picture: (clusters, features)."""
    rng = np.random.default_rng(0)
    pixels = [stack.reshape(-1, stack.shape[-1]) for stack in stacks]
    sample = np.concatenate([flat[rng.choice(len(flat), 2000, replace=False)] for flat in pixels])
    return KMeans(clusters, n_init=4, random_state=0).fit(sample).cluster_centers_


@step
def shares(stack: np.ndarray, middles: np.ndarray) -> np.ndarray:
    """How much of a picture falls into each cluster: (clusters,), sums to 1."""
    nearest = ((stack @ middles.T) * -2 + (middles**2).sum(axis=1)).argmin(axis=-1)
    return np.bincount(nearest.ravel(), minlength=len(middles)) / nearest.size


@step
def overview(names: list[str], rows: list[np.ndarray]) -> pd.DataFrame:
    """One row a picture, one column a cluster."""
    return pd.DataFrame(rows, index=names).round(3)


@pipeline
def main(clusters: int = 6, least: int = 200_000) -> pd.DataFrame:
    names = pictures(least)
    stacks = jpipe.map(features, names)
    middles = centres(stacks, clusters)
    return overview(names, jpipe.map(shares, stacks, middles=middles))


if __name__ == "__main__":
    print(main())
