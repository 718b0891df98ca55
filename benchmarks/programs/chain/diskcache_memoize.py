import sys

import diskcache

cache = diskcache.Cache("results")


@cache.memoize()
def plus_one(x: int) -> int:
    return x + 1


if __name__ == "__main__":
    given = dict(word.split("=") for word in sys.argv[1:])
    x = 0
    for _ in range(int(given["n"])):
        x = plus_one(x)
    print(f'{{"answer": {x}}}')
