import sys

import numpy as np
from joblib import Memory, Parallel, delayed

memory = Memory("results", verbose=0, mmap_mode="r")


@memory.cache
def load(n: int) -> np.ndarray:
    return np.arange(n) % 1000.0


@memory.cache
def scale(x: np.ndarray) -> np.ndarray:
    return x * 2


@memory.cache
def block(x: np.ndarray, b: int) -> np.ndarray:
    start = b * len(x) // 16
    return x[start : start + len(x) // 4] * (b + 1)


@memory.cache
def total(blocks: list[np.ndarray]) -> float:
    return 0 + sum(float(one.sum()) for one in blocks)


if __name__ == "__main__":
    given = dict(word.split("=") for word in sys.argv[1:])
    scaled = scale(load(int(given["n"])))
    blocks = Parallel(n_jobs=2)(delayed(block)(scaled, b) for b in range(8))
    print(f'{{"answer": {total(blocks)}}}')
