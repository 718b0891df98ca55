import sys

import numpy as np
from joblib import Memory

memory = Memory("results", verbose=0, mmap_mode="r")


@memory.cache
def load(n: int) -> np.ndarray:
    return np.arange(n) % 1000.0


@memory.cache
def scale(x: np.ndarray) -> np.ndarray:
    return x * 2


@memory.cache
def total(x: np.ndarray) -> float:
    return float(x.sum())


if __name__ == "__main__":
    given = dict(word.split("=") for word in sys.argv[1:])
    print(f'{{"answer": {total(scale(load(int(given["n"]))))}}}')
