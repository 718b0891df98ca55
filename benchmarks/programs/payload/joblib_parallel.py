import sys

import numpy as np
from joblib import Parallel, delayed


def look(i: int, table: np.ndarray) -> float:
    return float(table[i % len(table)].sum())


if __name__ == "__main__":
    given = dict(word.split("=") for word in sys.argv[1:])
    table = np.ones((int(given["rows"]), 500, 100))
    values = Parallel(n_jobs=2)(delayed(look)(i, table) for i in range(1000))
    print(f'{{"answer": {sum(values)}}}')
