import sys
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat

import numpy as np
from checkpointer import Checkpointer

checkpoint = Checkpointer(directory="results", verbosity=0)


@checkpoint
def load(n: int) -> np.ndarray:
    return np.arange(n) % 1000.0


@checkpoint
def scale(x: np.ndarray) -> np.ndarray:
    return x * 2


@checkpoint
def block(x: np.ndarray, b: int) -> np.ndarray:
    start = b * len(x) // 16
    return x[start : start + len(x) // 4] * (b + 1)


def call(x: np.ndarray, b: int) -> np.ndarray:
    """A cached function itself cannot be pickled."""
    return block(x, b)


@checkpoint
def total(blocks: list[np.ndarray]) -> float:
    return 0 + sum(float(one.sum()) for one in blocks)


if __name__ == "__main__":
    given = dict(word.split("=") for word in sys.argv[1:])
    scaled = scale(load(int(given["n"])))
    with ProcessPoolExecutor(2) as pool:
        blocks = list(pool.map(call, repeat(scaled), range(8)))
    print(f'{{"answer": {total(blocks)}}}')
