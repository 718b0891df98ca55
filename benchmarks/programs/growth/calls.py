from jpipe import pipeline, step


@step
def square(i: int) -> int:
    return i * i


@pipeline
def main(n: int = 1000) -> list[int]:
    return [square(i) for i in range(n)]
