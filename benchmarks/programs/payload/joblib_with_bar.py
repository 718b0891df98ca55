import sys

import numpy as np
from joblib import Parallel, delayed
from tqdm import tqdm


def look(i: int, table: np.ndarray) -> float:
    return float(table[i % len(table)].sum())


if __name__ == "__main__":
    given = dict(word.split("=") for word in sys.argv[1:])
    table = np.ones((int(given["rows"]), 500, 100))
    stream = Parallel(n_jobs=2, return_as="generator")(delayed(look)(i, table) for i in range(1000))
    print(f'{{"answer": {sum(tqdm(stream, total=1000))}}}')
