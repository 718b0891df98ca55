"""The same pipelines on every engine: equal values, equal counts, before and after an edit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.test_cluster import Cluster

if TYPE_CHECKING:
    from conftest import Project, Result

START = """
    import os, random, time
    from dataclasses import dataclass
    from pathlib import Path

    import jpipe
    import numpy as np
    from jpipe import File, map, pipeline, step
    from shapes import Square, area

    def first_time(name):
        try:
            Path("tried").mkdir(exist_ok=True)
            Path("tried", name).touch(exist_ok=False)
            return True
        except FileExistsError:
            return False
"""


class Case(NamedTuple):
    """A pipeline, what is edited in it, and how many items of its steps run before and after that."""

    source: str
    edit: tuple[str, str]
    ran: dict[str, int]
    again: dict[str, int]
    flags: tuple[str, ...] = ()
    exit_code: int = 0
    failed: frozenset[tuple[str, int]] = frozenset()


CASES = {
    "plain": Case(
        """
        @step
        def one(n: int) -> int:
            return n + 1

        @step
        def other(n: int) -> int:
            return n * 2

        @step
        def last(a: int, b: int) -> dict:
            return {"sum": a + b}

        @pipeline
        def main():
            return last(one(3), other(4))
        """,
        ("n * 2", "n * 3"),
        {"one": 1, "other": 1, "last": 1},
        {"other": 1, "last": 1},
    ),
    "a map": Case(
        """
        @step
        def square(i: int) -> int:
            return i * i

        @step
        def last(values: list) -> list:
            return values[::-1]

        @pipeline
        def main():
            return last(map(square, range(40)))
        """,
        ("i * i", "i * i * (i != 39)"),
        {"square": 40, "last": 1},
        {"square": 40, "last": 1},
    ),
    "chained maps": Case(
        """
        @step
        def numbers(n: int) -> list:
            return list(range(n))

        @step
        def half(i: int) -> int:
            return i // 2

        @step
        def third(i: int) -> int:
            return i // 3

        @step
        def last(values: list) -> list:
            return values

        @pipeline
        def main():
            return last(map(third, map(half, numbers(12))))
        """,
        ("i // 2", "i // 2 + 0 * i"),
        {"numbers": 1, "half": 12, "third": 6, "last": 1},
        {"half": 12},
    ),
    "files": Case(
        """
        @step
        def written(i: int) -> File:
            path = Path(f"out-{i}.txt")
            path.write_text(str(i))
            return File(path)

        @step(batch_size=1)
        def last(files: list) -> list:
            return [int(Path(file).read_text()) for file in files] + [Path("data.txt").read_text()]

        @pipeline
        def main():
            return last(map(written, range(6)))
        """,
        ("str(i)", "str(i + 1)"),
        {"written": 6, "last": 1},
        {"written": 6, "last": 1},
    ),
    "failures, going on": Case(
        """
        @step
        def work(i: int) -> int:
            if i in (3, 7):
                raise ValueError(f"no {i}")
            return i

        @step
        def last(i: int) -> int:
            return -i

        @pipeline
        def main():
            return map(last, map(work, range(10)))
        """,
        ("(3, 7)", "(7,)"),
        {"work": 8, "last": 8},
        {"work": 9, "last": 1},
        ("-k",),
        1,
        frozenset({("work", 3), ("work", 7)}),
    ),
    "retries": Case(
        """
        @step(retries=2)
        def shaky(i: int) -> int:
            if i % 4 == 0 and first_time(str(i)):
                raise OSError("try again")
            return i

        @step
        def last(values: list) -> list:
            return values

        @pipeline
        def main():
            return last(map(shaky, range(12)))
        """,
        ("return i\n", "return i + 1\n"),
        {"shaky": 12, "last": 1},
        {"shaky": 12, "last": 1},
    ),
    "timeouts": Case(
        """
        @step(timeout=1.5)
        def waits(i: int) -> int:
            time.sleep(30 if i == 2 else 0)
            return i

        @pipeline
        def main():
            return map(waits, range(5))
        """,
        ("i == 2", "i == 9"),
        {"waits": 4},
        {"waits": 5},
        ("-k",),
        1,
        frozenset({("waits", 2)}),
    ),
    "seeds": Case(
        """
        @step
        def draw(i: int) -> tuple:
            return jpipe.seed(), np.random.default_rng(jpipe.seed()).random(), random.Random(jpipe.seed()).random()

        @step
        def last(values: list) -> list:
            return values

        @pipeline
        def main():
            return last(map(draw, range(9))), [draw(100) for _ in range(3)]
        """,
        ("return values", "return values[:-1]"),
        {"draw": 12, "last": 1},
        {"last": 1},
    ),
    "large arrays": Case(
        """
        @step(max_nbytes="100K")
        def large(i: int) -> dict:
            return {"x": np.full(300_000, i), "y": np.arange(300_000)}

        @step
        def changed(held: dict) -> int:
            held["x"][0] = 1_000
            return int(held["x"].sum() + held["y"][-1])

        @step
        def last(values: list, held: list) -> list:
            return [*values, sum(int(one["x"].sum()) for one in held)]

        @pipeline
        def main():
            held = map(large, range(4))
            return last(map(changed, held), held)
        """,
        ("1_000", "2_000"),
        {"large": 4, "changed": 4, "last": 1},
        {"changed": 4, "last": 1},
    ),
    "generators of items": Case(
        """
        @step
        def words() -> list:
            return list("abcdefg")

        @step
        def twice(word: str, n: int) -> str:
            return word * n

        @step
        def last(values: list) -> str:
            return "".join(values)

        @pipeline
        def main():
            return last(map(twice, words(), (n % 3 for n in range(7))))
        """,
        ("n % 3", "n % 2"),
        {"words": 1, "twice": 7, "last": 1},
        {"twice": 4, "last": 1},
    ),
    "the user's classes": Case(
        """
        @step
        def made(i: int) -> Square:
            return Square(i)

        @step
        def measured(square: Square) -> int:
            return area(square) + square.around()

        @step
        def last(values: list) -> list:
            return values

        @pipeline
        def main():
            return last(map(measured, map(made, range(6))))
        """,
        ("area(square) +", "2 * area(square) +"),
        {"made": 6, "measured": 6, "last": 1},
        {"measured": 6, "last": 1},
    ),
    "a variable of the environment": Case(
        """
        @step
        def told(i: int) -> str:
            return os.environ["STUDY"] + str(i)

        @step
        def last(values: list) -> list:
            return values

        @pipeline
        def main():
            return last(map(told, range(5)))
        """,
        ("+ str(i)", "+ str(-i)"),
        {"told": 5, "last": 1},
        {"told": 5, "last": 1},
    ),
}
FILES = {
    "data.txt": "right",
    "shapes.py": """
        class Square:
            def __init__(self, side):
                self.side = side

            def around(self):
                return 4 * self.side

        def area(square):
            return square.side**2
        """,
}


@pytest.fixture(scope="module")
def workers() -> Iterator[Cluster]:
    """Three worker processes of dask."""
    with Cluster.started() as cluster:
        for name in ("one", "two", "three"):
            cluster.worker(name)
        cluster.wait()
        yield cluster


@pytest.fixture(scope="module")
def ray() -> Iterator[None]:
    """A ray of this machine."""
    pytest.importorskip("ray")
    command = [sys.executable, "-W", "ignore", "-m", "ray.scripts.scripts"]
    start = [*command, "start", "--head", "--num-cpus", "3", "--include-dashboard", "false", "--disable-usage-stats"]
    subprocess.run(start, check=True, stdout=subprocess.DEVNULL)
    yield
    subprocess.run([*command, "stop", "--force"], check=True, stdout=subprocess.DEVNULL)


@pytest.fixture(params=["loky", "threading", "dask", "ray"])
def engine(request: pytest.FixtureRequest) -> list[str]:
    """The flags of an engine."""
    if request.param == "dask":
        pytest.importorskip("distributed")
        cluster: Cluster = request.getfixturevalue("workers")
        return cluster.options()
    if request.param == "ray":
        request.getfixturevalue("ray")
        request.getfixturevalue("monkeypatch").setenv("RAY_ADDRESS", "auto")
        return ["--backend", "ray", "-j3"]
    return ["--backend", request.param, "-j3"]


def values(project: Project, step: str, cache: str) -> Any:
    """What a step gave, item by item."""
    answer = project.command("show", step, "--json", "--cache-dir", cache)
    assert answer.exit_code in (0, 1), answer.stderr
    return [row.get("value") for row in json.loads(answer.stdout)["items"]]


def same(project: Project, case: Case, ran: dict[str, int], engine: list[str]) -> None:
    """Hold the engine against this process alone."""
    for flags, cache in ((["-j1"], "alone"), (engine, "there")):
        told: Result = project.run(*flags, *case.flags, "-v", "--cache-dir", cache)
        assert told.ran == ran, told.stderr
        failed = {(one["step"], one["item"]) for one in told.of("item_end") if one["outcome"] == "failed"}
        if ran == case.ran:
            assert (told.exit_code, failed) == (case.exit_code, case.failed), told.stderr
        assert "ran in the main process" not in told.stderr
    alone, there = (values(project, [*ran][-1], cache) for cache in ("alone", "there"))
    assert alone == there and alone


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_an_engine_gives_the_same_values_and_counts(
    project: Project, engine: list[str], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = CASES[name]
    monkeypatch.setenv("STUDY", "here")
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")
    project.write({**FILES, "pipeline.py": textwrap.dedent(START) + textwrap.dedent(case.source)})
    same(project, case, case.ran, engine)
    for path in (project.root / "tried").glob("*"):
        os.unlink(path)
    project.edit("pipeline.py", *case.edit)
    same(project, case, case.again, engine)
