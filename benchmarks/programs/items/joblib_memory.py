import sys

from joblib import Memory, Parallel, delayed

memory = Memory("results", verbose=0)


@memory.cache
def square(i: int) -> int:
    return i * i


def other() -> int:
    return 0


if __name__ == "__main__":
    given = dict(word.split("=") for word in sys.argv[1:])
    start, n = int(given["start"]), int(given["n"])
    values = Parallel(n_jobs=2)(delayed(square)(i) for i in range(start, start + n))
    print(f'{{"answer": {sum(values)}}}')
