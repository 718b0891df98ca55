"""What a type checker sees of an installed jpipe: steps, pipelines and maps keep the signatures of their functions."""

from __future__ import annotations

from pathlib import Path

import pytest

import jpipe

SOUND = """
from __future__ import annotations
from typing import assert_type
import numpy as np
from jpipe import File, cached, load, map, pipeline, run, seed, step

@step
def one(a: int, b: str = "") -> float:
    return a + len(b)

@step(retries=2, expires="1d", memory="2G", ignore="x")
def two(x: float) -> list[int]:
    return [int(x)]

@step
def pair(n: int) -> tuple[np.ndarray, dict[str, int]]:
    return np.zeros(n), {"n": n}

@step
def three(a: int, b: str, c: float, *, d: bytes = b"") -> str:
    return f"{a}{b}{c}{d!r}"

class Held:
    @step
    def go(self, x: int) -> str:
        return str(x)

    @staticmethod
    @step
    def apart(x: int) -> int:
        return x

@pipeline
def main(n: int = 1, names: tuple[str, ...] = ("a",)) -> list[int]:
    assert_type(one(n, b="x"), float)
    assert_type(map(one, [1, 2], b="x"), list[float])
    assert_type(map(one, [1, 2], ["a"]), list[float])
    assert_type(map(three, [1], ["a"], [1.0]), list[str])
    assert_type(map(three, [1], ["a"], [1.0], d=b"x"), list[str])
    assert_type(map(three, [1], b="a", c=1.0), list[str])
    X, counts = pair(3)
    assert_type(counts, dict[str, int])
    counts["n"]
    several = [one(i) for i in range(3)]
    two(several[0])
    return two(one(n))

assert_type(one(1), float)
assert_type(Held().go(3), str)
assert_type(Held.apart(3), int)
assert_type(two(1.0), list[int])
assert_type(main(2), list[int])
assert_type(main.run(n=2), list[int])
assert_type(seed(), int)
assert_type(File("x").path, str)
assert_type(one.options(retries=1)(1), float)
assert_type(load(one, 1), float)
assert_type(load(one, 1, cache_dir="x"), float)
load("one")
load(one)
map(lambda v: v + 1, [1, 2])
map(str, [1, 2])
run(main, {"n": 1})["one"]
step(np.linalg.norm)
with cached():
    one(2)
"""

WRONG = """
one("a")
one(1, c=2)
one()
one(1, "b", 3)
main("a")
main.run(m=2)
main.plan(m=2)
main.graph("x")
map(one, ["a"])
map(one, 3)
map(one, [1], b=3)
map(one, [1], q=3)
map(one, [1], [2])
map(three, [1], ["a"])
map(three, [1], ["a"], ["c"])
map(three, [1], ["a"], [1.0], d="x")
two("x")
two(pair(3))
one(two(1.0))
one(1).shape
two(1.0).append("x")
x: str = one(1)
y: list[str] = map(one, [1])
step(retires=2)
step(retries="2")
step(prefer="thread")
step(mmap_mode="w")
step(timeout=[1])
step(3)
pipeline(3)
one.options(n_job=2)
one.options(cache="no")
Held().go("x")
Held().go(1, 2)
load(one, "a")
load(3)
run(main, n_job=2)
run(main, n_jobs="2")
run(one)
File(3)
z: int = File("x").path
a, b, c = pair(3)
for q in one(1): pass
seed(3)
cached(3)
map(pair, [1])[0].x
w: str = load(one, 1)
len(one(1))
one(1)["k"]
""".strip().splitlines()
"""Each is one mistake."""


def test_each_mistake_is_found_and_nothing_else(tmp_path: Path) -> None:
    api = pytest.importorskip("mypy.api")
    assert (Path(jpipe.__file__).parent / "py.typed").exists()
    file = tmp_path / "typed.py"
    file.write_text("\n".join([SOUND.strip(), *WRONG, ""]), "utf-8")
    out, err, _ = api.run(
        [str(file), "--strict", "--no-error-summary", "--follow-imports=silent", f"--cache-dir={tmp_path}"]
    )
    first = SOUND.strip().count("\n") + 2
    found = {int(line.split(":")[1]) for line in out.splitlines() if ": error:" in line}
    missed = [line for number, line in enumerate(WRONG, first) if number not in found]
    assert (missed, sorted(line for line in found if line < first)) == ([], []), out + err
