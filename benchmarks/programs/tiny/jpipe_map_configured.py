import sys

from joblib import parallel_config

import jpipe


def square(i: int) -> int:
    return i * i


if __name__ == "__main__":
    given = dict(word.split("=") for word in sys.argv[1:])
    with parallel_config(n_jobs=2):
        print(f'{{"answer": {sum(jpipe.map(square, range(int(given["n"]))))}}}')
