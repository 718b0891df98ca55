import sys

import numpy as np
from joblib import parallel_config

import jpipe


def look(i: int, table: np.ndarray) -> float:
    return float(table[i % len(table)].sum())


if __name__ == "__main__":
    given = dict(word.split("=") for word in sys.argv[1:])
    table = np.ones((int(given["rows"]), 500, 100))
    with parallel_config(n_jobs=2):
        print(f'{{"answer": {sum(jpipe.map(look, range(1000), table=table))}}}')
