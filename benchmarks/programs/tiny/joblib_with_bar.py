import sys

from joblib import Parallel, delayed
from tqdm import tqdm


def square(i: int) -> int:
    return i * i


if __name__ == "__main__":
    given = dict(word.split("=") for word in sys.argv[1:])
    n = int(given["n"])
    stream = Parallel(n_jobs=2, return_as="generator")(delayed(square)(i) for i in range(n))
    print(f'{{"answer": {sum(tqdm(stream, total=n))}}}')
