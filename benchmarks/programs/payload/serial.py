import sys

import numpy as np


def look(i: int, table: np.ndarray) -> float:
    return float(table[i % len(table)].sum())


if __name__ == "__main__":
    given = dict(word.split("=") for word in sys.argv[1:])
    table = np.ones((int(given["rows"]), 500, 100))
    print(f'{{"answer": {sum(look(i, table) for i in range(1000))}}}')
