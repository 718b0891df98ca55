import time

from jpipe import pipeline, step


@step
def source() -> int:
    return 1


@step
def work(x: int, branch: str, seconds: float) -> int:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass
    return x + 1


@step
def join(left: int, right: int) -> int:
    return left + right


@pipeline
def main(seconds: float = 0.5) -> int:
    left = right = source()
    for _ in range(4):
        left = work(left, "left", seconds)
        right = work(right, "right", seconds)
    return join(left, right)
