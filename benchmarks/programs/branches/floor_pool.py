import sys
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat


def walk(x: int, seconds: float) -> int:
    for _ in range(4):
        end = time.thread_time() + seconds
        while time.thread_time() < end:
            pass
        x += 1
    return x


if __name__ == "__main__":
    given = dict(word.split("=") for word in sys.argv[1:])
    with ProcessPoolExecutor(2) as pool:
        print(f'{{"answer": {sum(pool.map(walk, (1, 1), repeat(float(given["seconds"]))))}}}')
