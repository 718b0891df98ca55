import sys
import time

from joblib import Memory, Parallel, delayed

memory = Memory("results", verbose=0)


@memory.cache
def work(x: int, branch: str, seconds: float) -> int:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass
    return x + 1


def walk(x: int, branch: str, seconds: float) -> int:
    for _ in range(4):
        x = work(x, branch, seconds)
    return x


if __name__ == "__main__":
    given = dict(word.split("=") for word in sys.argv[1:])
    ends = Parallel(n_jobs=2)(delayed(walk)(1, branch, float(given["seconds"])) for branch in ("left", "right"))
    print(f'{{"answer": {sum(ends)}}}')
