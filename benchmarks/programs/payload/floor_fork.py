import multiprocessing
import sys

import numpy as np

table = np.empty(0)


def look(i: int) -> float:
    return float(table[i % len(table)].sum())


if __name__ == "__main__":
    given = dict(word.split("=") for word in sys.argv[1:])
    table = np.ones((int(given["rows"]), 500, 100))
    with multiprocessing.get_context("fork").Pool(2) as pool:
        print(f'{{"answer": {sum(pool.map(look, range(1000), chunksize=250))}}}')
