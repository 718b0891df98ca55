import jpipe
from jpipe import pipeline, step


@step
def square(i: int) -> int:
    return i * i


@pipeline
def main(n: int = 1000) -> list[int]:
    return jpipe.map(square, range(n))
