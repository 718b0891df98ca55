import sys
import time

from joblib import Memory

memory = Memory("results", verbose=0)


@memory.cache
def work(x: int, branch: str, seconds: float) -> int:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass
    return x + 1


if __name__ == "__main__":
    given = dict(word.split("=") for word in sys.argv[1:])
    seconds = float(given["seconds"])
    left = right = 1
    for _ in range(4):
        left = work(left, "left", seconds)
        right = work(right, "right", seconds)
    print(f'{{"answer": {left + right}}}')
