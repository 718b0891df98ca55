import sys

from checkpointer import Checkpointer

checkpoint = Checkpointer(directory="results", verbosity=0)


@checkpoint
def plus_one(x: int) -> int:
    return x + 1


if __name__ == "__main__":
    given = dict(word.split("=") for word in sys.argv[1:])
    x = 0
    for _ in range(int(given["n"])):
        x = plus_one(x)
    print(f'{{"answer": {x}}}')
