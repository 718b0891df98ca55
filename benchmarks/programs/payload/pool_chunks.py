import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np


def look(i: int, table: np.ndarray) -> float:
    return float(table[i % len(table)].sum())


if __name__ == "__main__":
    given = dict(word.split("=") for word in sys.argv[1:])
    table = np.ones((int(given["rows"]), 500, 100))
    with ProcessPoolExecutor(2) as pool:
        print(f'{{"answer": {sum(pool.map(partial(look, table=table), range(1000), chunksize=250))}}}')
