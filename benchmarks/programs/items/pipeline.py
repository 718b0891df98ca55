import jpipe
from jpipe import pipeline, step


@step
def square(i: int) -> int:
    return i * i


def other() -> int:
    return 0


@step
def total(values: list[int]) -> int:
    return sum(values)


@pipeline
def main(start: int = 0, n: int = 10_000) -> int:
    return total(jpipe.map(square, range(start, start + n)))
