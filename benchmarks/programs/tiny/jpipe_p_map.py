import sys

from jpipe.parallel import p_map


def square(i: int) -> int:
    return i * i


if __name__ == "__main__":
    given = dict(word.split("=") for word in sys.argv[1:])
    print(f'{{"answer": {sum(p_map(square, range(int(given["n"])), num_cpus=2))}}}')
