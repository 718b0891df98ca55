import numpy as np

from jpipe import pipeline, step


@step
def load(n: int) -> np.ndarray:
    return np.arange(n) % 1000.0


@step
def scale(x: np.ndarray) -> np.ndarray:
    return x * 2


@step
def block(x: np.ndarray, b: int) -> np.ndarray:
    start = b * len(x) // 16
    return x[start : start + len(x) // 4] * (b + 1)


@step
def total(blocks: list[np.ndarray]) -> float:
    return 0 + sum(float(one.sum()) for one in blocks)


@pipeline
def main(n: int = 50_000_000) -> float:
    x = scale(load(n))
    return total([block(x, b) for b in range(8)])
