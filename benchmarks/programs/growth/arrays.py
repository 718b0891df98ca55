import numpy as np

from jpipe import pipeline, step


@step
def load(n: int) -> np.ndarray:
    return np.arange(n) % 1000.0


@step
def scale(x: np.ndarray) -> np.ndarray:
    return x * 2


@step
def total(x: np.ndarray) -> float:
    return float(x.sum())


@pipeline
def main(n: int = 1000) -> float:
    return total(scale(load(n)))
