import sys
from concurrent.futures import ProcessPoolExecutor

from checkpointer import Checkpointer

checkpoint = Checkpointer(directory="results", verbosity=0)


@checkpoint
def square(i: int) -> int:
    return i * i


def call(i: int) -> int:
    """A cached function itself cannot be pickled."""
    return square(i)


def other() -> int:
    return 0


if __name__ == "__main__":
    given = dict(word.split("=") for word in sys.argv[1:])
    start, n = int(given["start"]), int(given["n"])
    with ProcessPoolExecutor(2) as pool:
        print(f'{{"answer": {sum(pool.map(call, range(start, start + n), chunksize=250))}}}')
