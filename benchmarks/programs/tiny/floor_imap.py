import multiprocessing
import sys

from tqdm import tqdm


def square(i: int) -> int:
    return i * i


if __name__ == "__main__":
    given = dict(word.split("=") for word in sys.argv[1:])
    n = int(given["n"])
    with multiprocessing.Pool(2) as pool:
        print(f'{{"answer": {sum(tqdm(pool.imap(square, range(n), chunksize=1000), total=n))}}}')
