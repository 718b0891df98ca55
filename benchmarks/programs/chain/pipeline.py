from jpipe import pipeline, step


@step
def plus_one(x: int) -> int:
    return x + 1


@pipeline
def main(n: int = 1000) -> int:
    x: int = 0
    for _ in range(n):
        x = plus_one(x)
    return x
