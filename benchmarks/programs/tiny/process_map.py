import sys

from tqdm.contrib.concurrent import process_map


def square(i: int) -> int:
    return i * i


if __name__ == "__main__":
    given = dict(word.split("=") for word in sys.argv[1:])
    print(f'{{"answer": {sum(process_map(square, range(int(given["n"])), max_workers=2, chunksize=1000))}}}')
