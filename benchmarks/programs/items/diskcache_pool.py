import sys
from concurrent.futures import ProcessPoolExecutor

import diskcache

cache = diskcache.Cache("results")


def square(i: int) -> int:
    return i * i


def other() -> int:
    return 0


def main(start: int, n: int) -> int:
    items = range(start, start + n)
    with cache.transact():
        known = {i: cache.get(i) for i in items}
    missing = [i for i in items if known[i] is None]
    if missing:
        with ProcessPoolExecutor(2) as pool:
            computed = dict(zip(missing, pool.map(square, missing, chunksize=250), strict=True))
        with cache.transact():
            for i, value in computed.items():
                cache[i] = value
        known.update(computed)
    return sum(known.values())


if __name__ == "__main__":
    given = dict(word.split("=") for word in sys.argv[1:])
    print(f'{{"answer": {main(int(given["start"]), int(given["n"]))}}}')
