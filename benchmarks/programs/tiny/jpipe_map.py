import os
import sys

import jpipe


def square(i: int) -> int:
    return i * i


if __name__ == "__main__":
    given = dict(word.split("=") for word in sys.argv[1:])
    os.environ["LOKY_MAX_CPU_COUNT"] = "2"
    print(f'{{"answer": {sum(jpipe.map(square, range(int(given["n"]))))}}}')
