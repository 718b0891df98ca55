import inspect
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np


def load(n: int) -> np.ndarray:
    return np.arange(n) % 1000.0


def scale(n: int) -> np.ndarray:
    return kept("load") * 2


def block(b: int) -> np.ndarray:
    x = kept("scale")
    start = b * len(x) // 16
    return x[start : start + len(x) // 4] * (b + 1)


def total() -> float:
    return 0 + sum(float(kept(f"block{b}").sum()) for b in range(8))


def kept(name: str) -> np.ndarray:
    return np.load(f"results/{name}.npy", mmap_mode="r")


def keep_block(b: int) -> None:
    np.save(f"results/block{b}.npy", block(b))


def main(n: int) -> float:
    Path("results").mkdir(exist_ok=True)
    for step in (load, scale):
        if not Path(f"results/{step.__name__}.npy").exists():
            np.save(f"results/{step.__name__}.npy", step(n))
    missing = [b for b in range(8) if not Path(f"results/block{b}.npy").exists()]
    if missing:
        with ProcessPoolExecutor(2) as pool:
            list(pool.map(keep_block, missing))
    code, answer = Path("results/total.py"), Path("results/total")
    if not code.exists() or code.read_text("utf-8") != inspect.getsource(total):
        answer.write_text(str(total()), "utf-8")
        code.write_text(inspect.getsource(total), "utf-8")
    return float(answer.read_text("utf-8"))


if __name__ == "__main__":
    given = dict(word.split("=") for word in sys.argv[1:])
    print(f'{{"answer": {main(int(given["n"]))}}}')
