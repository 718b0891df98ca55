"""Runs: the same values as the plain script, and after an edit only what the edit made necessary."""

from __future__ import annotations

import json
import os
import random
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from joblib import parallel_config

import jpipe
from jpipe import pipeline, step
from jpipe.errors import CacheMiss, OutOfDateError

if TYPE_CHECKING:
    from conftest import Project

STORY = """
    from jpipe import pipeline, step
    from helpers import grade

    @step
    def digits() -> tuple[list[int], int]:
        return list(range(100)), 7

    @step
    def project(X: list[int], k: int) -> list[int]:
        return X[::k]

    @step
    def score(Z: list[int], y: int, C: float) -> dict[str, float]:
        return {"n": len(Z), "C": C, "acc": grade(sum(Z), y)}

    @step
    def table(rows: list[dict[str, float]]) -> list[float]:
        return sorted(row["acc"] for row in rows)

    @pipeline
    def main(ks: tuple[int, ...] = (8, 16, 32), Cs: tuple[float, ...] = (0.1, 1.0, 10.0)):
        X, y = digits()
        Zs = [project(X, k) for k in ks]
        return table([score(Z, y, C) for Z in Zs for C in Cs])
"""


def test_the_story_of_a_day(project: Project) -> None:
    project.write({"pipeline.py": STORY, "helpers.py": "def grade(total, y):\n    return total % y\n"})
    first = project.run("-j2")
    assert first.counts == (14, 0)
    start = first.of("run_start")[0]
    assert (start["calls"], start["items"]) == (4, 14)
    assert project.run("-j2").counts == (0, 14)
    project.edit("helpers.py", "total % y", "total % (y + 1)")
    assert project.plan()["steps"][2]["reasons"][0]["kind"] == "helper"
    assert project.run("-j2").ran == {"score": 9, "table": 1}
    project.edit("helpers.py", "total % (y + 1)", "total % y")
    assert project.run("-j2").counts == (0, 14), "an edit that is undone finds its results again"
    assert project.run("-j2", "--set", "ks=8,16,32,64").ran == {"project": 1, "score": 3, "table": 1}
    project.edit("helpers.py", "return total % y", "rest = total % y\n    return rest")
    cut = project.run("-j2")
    assert cut.ran == {"score": 9}, "equal results stop the wave"
    assert cut.steps["table"]["outcome"] == "cached"
    project.edit("pipeline.py", "def score(Z", "def rated(Z")
    project.edit("pipeline.py", "[score(Z, y", "[rated(Z, y")
    assert project.run("-j2").counts == (0, 14), "renaming a step keeps its results"


def test_force_targets_frozen_and_items(project: Project) -> None:
    project.write({"pipeline.py": STORY, "helpers.py": "def grade(total, y):\n    return total % y\n"})
    assert project.run("--frozen").exit_code == 4
    assert project.run("project").ran == {"digits": 1, "project": 3}
    assert project.run("score", "--item", "0,4").ran == {"score": 2}
    assert project.run().ran == {"score": 7, "table": 1}
    assert project.run("--frozen").exit_code == 0
    assert project.run("-f", "project").ran == {"project": 3}


FILES = """
    import os
    from pathlib import Path
    from jpipe import File, pipeline, step

    @step
    def declared(source: File) -> str:
        return Path(source).read_text()

    @step
    def opened() -> str:
        return open("raw.txt").read()

    @step
    def listed() -> list[str]:
        return sorted(os.listdir("data"))

    @step
    def absent() -> str:
        try:
            return open("later.txt").read()
        except FileNotFoundError:
            return "nothing"

    @step
    def variable() -> str:
        return os.environ.get("MY_RATE", "none")

    @step
    def plot(text: str) -> File:
        Path("plot.txt").write_text(text)
        return File("plot.txt")

    @pipeline
    def main():
        return declared(File("in.txt")), plot(opened()), listed(), absent(), variable()
"""


def test_files_folders_and_variables_that_a_step_reads_are_its_inputs(project: Project) -> None:
    project.write({"pipeline.py": FILES, "in.txt": "a", "raw.txt": "b", "data/one": ""})
    assert project.run("-j1").end["ran"] == 6
    assert project.run("-j1").end["ran"] == 0
    project.write({"in.txt": "aa"})
    assert project.run("-j1").ran == {"declared": 1}
    project.write({"raw.txt": "bb"})
    assert project.run("-j1").ran == {"opened": 1, "plot": 1}
    project.write({"data/two": ""})
    assert project.run("-j1").ran == {"listed": 1}
    project.write({"later.txt": "there"})
    assert project.run("-j1").ran == {"absent": 1}
    assert project.run("-j1", env={"MY_RATE": "2"}).ran == {"variable": 1}
    (project.root / "plot.txt").unlink()
    assert project.run("-j1").ran == {"plot": 1}
    assert (project.root / "plot.txt").read_text() == "bb"
    os.utime(project.root / "raw.txt")
    assert project.run("-j1").end["ran"] == 0, "a new time alone is no new content"


def test_two_runs_at_once_do_each_item_once_in_total(project: Project) -> None:
    project.write(
        """
        import time
        from jpipe import map, pipeline, step

        @step
        def work(i):
            time.sleep(0.2)
            return i

        @pipeline
        def main():
            return map(work, range(12))
        """
    )
    runs = [project.start("run", "-j2", "--json") for _ in range(2)]
    said = [run.communicate(timeout=120) for run in runs]
    assert [run.returncode for run in runs] == [0, 0], said
    ends = [json.loads(out.splitlines()[-1]) for out, _ in said]
    assert sum(end["ran"] for end in ends) == 12, ends
    assert project.run("-j2").counts == (0, 12)


def test_a_run_with_nothing_to_do_imports_nothing_heavy(project: Project) -> None:
    project.write({"pipeline.py": STORY, "helpers.py": "def grade(total, y):\n    return total % y\n"})
    project.run("-j1")
    script = (
        "import sys; from jpipe.cli.command_line import call; call(['run', '-q']);"
        " print([m for m in %r if m in sys.modules])"
    )
    heavy = ["numpy", "joblib", "networkx", "rich", "tqdm", "pandas"]
    assert project.python("-c", script % heavy).stdout.strip() == "[]"


# -- in this process ---------------------------------------------------------------------------------------------------


@step
def numbers(n: int) -> list[int]:
    return list(range(n))


@step
def plus(x: int, y: int = 1) -> int:
    return x + y


@step
def total(values: list[int]) -> int:
    return sum(values)


@step
def noise(i: int) -> tuple[float, float, int]:
    return random.random(), float(np.random.rand()), jpipe.seed()  # noqa: NPY002 -- the generator that is seeded


@step(max_nbytes="1M")
def big(n: int) -> dict[str, Any]:
    return {"x": np.arange(n, dtype=np.float64)}


@step
def inspect(held: dict[str, Any]) -> tuple[bool, float]:
    array, base = held["x"], held["x"]
    mapped = False
    while base is not None and not mapped:
        mapped = isinstance(base, np.memmap) or type(base).__name__ == "mmap"
        base = getattr(base, "base", None) if not isinstance(base, memoryview) else base.obj
    array[0] = 99.0
    return mapped, float(array.sum())


@step
def chained(previous: float, held: dict[str, Any]) -> float:
    return float(held["x"][0])


@step
def unstorable(n: int) -> Any:
    return (i for i in range(n))


@step
def consume(values: Any) -> int:
    return sum(values)


def run(made: Any, cache: Path, **options: Any) -> jpipe.api.Run:
    return jpipe.api.run(made, options.pop("parameters", None), cache_dir=cache, **{"n_jobs": 1, **options})


def test_maps_over_lists_known_at_run_time_chained_and_of_any_length(tmp_path: Path) -> None:
    @pipeline
    def main(n: int = 5) -> Any:
        first = jpipe.map(plus, numbers(n), y=10)
        return total(jpipe.map(plus, first)), jpipe.map(plus, numbers(n), [1, 2, 3]), jpipe.map(plus, [])

    assert run(main, tmp_path / "c").value == (65, [1, 3, 5], [])
    assert run(main, tmp_path / "c").outcomes["plus"].ran == 0
    assert run(main, tmp_path / "c", parameters={"n": 6}).outcomes["plus"].ran == 2
    assert run(main, tmp_path / "c", parameters={"n": 0}).value == (0, [], [])


def test_what_takes_a_map_goes_on_when_the_map_is_empty_or_turns_out_fresh(tmp_path: Path) -> None:
    again = numbers.options(expires=0)

    @pipeline
    def main(n: int = 3) -> Any:
        first = jpipe.map(plus, again(n))
        return total(first), jpipe.map(plus, first)

    assert run(main, tmp_path / "c").value == (6, [2, 3, 4])
    second = run(main, tmp_path / "c")
    assert {name: end.ran for name, end in second.outcomes.items()} == {"numbers": 1, "plus": 0, "total": 0}
    assert {end.blocked for end in second.outcomes.values()} == {0}
    assert second.value == (6, [2, 3, 4])
    assert run(main, tmp_path / "c", parameters={"n": 0}).value == (0, [])


def test_an_item_of_a_map_and_the_same_plain_call_share_their_result(tmp_path: Path) -> None:
    @pipeline
    def comprehension() -> Any:
        return [plus(i, 5) for i in range(4)]

    @pipeline
    def mapped() -> Any:
        return jpipe.map(plus, range(4), y=5)

    assert run(comprehension, tmp_path / "c").outcomes["plus"].ran == 4
    again = run(mapped, tmp_path / "c")
    assert (again.outcomes["plus"].ran, again.value) == (0, [5, 6, 7, 8])


def test_cache_ignore_version_and_expires(tmp_path: Path) -> None:
    ran: list[str] = []

    def counted(x: int, label: str = "") -> int:
        Path(tmp_path / f"{len(os.listdir(tmp_path))}.ran").touch()
        return x

    for options, second in [({}, 0), ({"cache": False}, 1), ({"ignore": ["label"]}, 0), ({"expires": 0}, 1)]:
        marked = step(name=f"s{len(ran)}", **options)(counted)  # type: ignore[arg-type]
        ran.append("")

        @pipeline
        def main(label: str = "a", marked: Any = marked) -> Any:
            return marked(1, label=label)

        cache = tmp_path / f"cache{len(ran)}"
        assert run(main, cache).outcomes[marked.name].ran == 1
        assert run(main, cache).outcomes[marked.name].ran == second, options
        changed = run(main, cache, parameters={"label": "b"}).outcomes[marked.name].ran
        assert changed == (0 if "ignore" in options else 1), options


def test_an_item_that_changes_its_part_of_a_result_changes_nothing_for_the_next(tmp_path: Path) -> None:
    @step
    def parts() -> dict[str, Any]:
        return {"names": ["a", "b"], "deep": [{"x": np.zeros(3)}]}

    @step(batch_size=4)
    def changed(extra: int, names: list[str], x: Any, around: list[Any]) -> tuple[int, float, float]:
        names.append(str(extra))
        x += extra
        around[0]["x"] -= 1
        return len(names), float(x.sum()), float(around[0]["x"].sum())

    @pipeline
    def main() -> Any:
        found = parts()
        return jpipe.map(changed, range(4), names=found["names"], x=found["deep"][0]["x"], around=found["deep"])

    expected = [(3, 3.0 * extra, -3.0) for extra in range(4)]
    assert run(main, tmp_path / "one").value == expected
    assert run(main, tmp_path / "two", n_jobs=2).value == expected


def test_what_one_step_says_counts_of_a_value_does_not_hold_for_another(tmp_path: Path) -> None:
    class Table:
        def __init__(self, name: str, size: int) -> None:
            self.name, self.size = name, size

    @step(hash={Table: lambda table: table.name})
    def title(table: Table) -> str:
        return table.name.title()

    @step
    def size(table: Table) -> int:
        return table.size

    @pipeline
    def main(count: int) -> Any:
        table = Table("people", count)
        return title(table), size(table)

    assert run(main, tmp_path / "c", parameters={"count": 1}).value == ("People", 1)
    again = run(main, tmp_path / "c", parameters={"count": 2})
    assert (again.value, again.outcomes["title"].ran) == (("People", 2), 0)


def test_an_item_expires_at_its_own_time_although_the_list_that_it_is_in_grew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @step(expires="1min")
    def fetched(x: int) -> int:
        return x

    @pipeline
    def main(count: int) -> Any:
        return jpipe.map(fetched, range(count))

    clock = time.time
    for passed, count, ran in [(0, 1, 1), (40, 2, 1), (70, 2, 1), (110, 2, 1), (111, 2, 0)]:
        monkeypatch.setattr(time, "time", lambda passed=passed: clock() + passed)
        end = run(main, tmp_path / "c", parameters={"count": count}).outcomes["fetched"]
        assert end.ran == ran, f"{passed} seconds after the first item was made"


@pytest.mark.parametrize("configured", [1, 2])
def test_joblibs_configuration_says_how_many_workers_there_are(configured: int, tmp_path: Path) -> None:
    @step
    def where(x: int) -> int:
        time.sleep(0.3)
        return os.getpid()

    @pipeline
    def main() -> Any:
        return jpipe.map(where, range(6))

    with parallel_config(n_jobs=configured):
        found = set(jpipe.api.run(main, cache_dir=tmp_path / "c").value)
    assert found == {os.getpid()} if configured == 1 else (len(found) == 2 and os.getpid() not in found)


@pytest.mark.parametrize(("backend", "jobs"), [(None, 1), (None, 2), ("threading", 2), ("multiprocessing", 2)])
def test_seeds_do_not_depend_on_workers_order_or_backend(tmp_path: Path, backend: str | None, jobs: int) -> None:
    @pipeline
    def main() -> Any:
        return jpipe.map(noise, range(6))

    expected = run(main, tmp_path / "one").value
    before = random.getstate()
    seeds = [seed for _, _, seed in run(main, tmp_path / "two", n_jobs=jobs, backend=backend).value]
    assert seeds == [seed for _, _, seed in expected]
    assert len(set(seeds)) == 6
    assert random.getstate() == before
    if backend != "threading":  # threads share the generators of `random` and `numpy.random`
        assert run(main, tmp_path / "two").value == expected


def test_large_arrays_are_written_once_mapped_and_safe_from_their_users(tmp_path: Path) -> None:
    @pipeline
    def main(n: int = 500_000) -> Any:
        held = big(n)
        seen = inspect(held)
        return seen, chained(seen[1], held)

    (mapped, summed), first = run(main, tmp_path / "c").value
    assert mapped
    assert summed == 99.0 + sum(range(500_000))
    assert first == 0.0, "what one step does to its input is not seen by the next"
    size = sum(path.stat().st_size for path in (tmp_path / "c").rglob("*") if path.is_file())
    assert 4_000_000 <= size < 6_000_000, "the array is on the disk once"
    assert jpipe.load(big, 500_000, cache_dir=tmp_path / "c")["x"][0] == 0.0


def test_what_cannot_be_stored_is_kept_for_the_run(tmp_path: Path) -> None:
    @pipeline
    def main() -> Any:
        return consume(unstorable(4))

    for _ in range(2):
        found = run(main, tmp_path / "c")
        assert found.value == 6
        assert found.outcomes["unstorable"].ran == 1


def test_an_item_that_failed_is_not_tried_again_when_a_result_is_lost_and_made_anew(tmp_path: Path) -> None:
    cache, tried, taken = tmp_path / "c", tmp_path / "tried", tmp_path / "taken"

    @step
    def large() -> np.ndarray:
        return np.ones(300_000)

    @step
    def bad() -> None:
        with tried.open("a") as file:
            file.write("x")
        raise ValueError("no")

    @step(cache=False)
    def thief() -> int:
        if not taken.exists():
            taken.touch()
            for blob in cache.glob("v1/blobs/*/*"):
                blob.unlink()
        return 1

    @step
    def used(one: int, array: np.ndarray) -> float:
        return one + array.sum()

    @pipeline
    def before() -> Any:
        return large()

    @pipeline
    def main() -> Any:
        array = large()
        return bad(), used(thief(), array)

    run(before, cache)
    lost = run(main, cache, keep_going=True)
    assert tried.read_text() == "x"
    assert [failure.step for failure in lost.failures] == ["bad"]
    assert lost["used"] == [300_001.0]


class Unloadable(Exception):
    """As many an exception of a user's: pickle calls it with its message alone."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code}: {reason}")


def test_a_result_that_cannot_be_unpickled_is_kept_for_its_run_and_told(tmp_path: Path) -> None:
    cache, said = tmp_path / "c", []

    @step
    def error() -> Exception:
        return Unloadable(4, "four")

    @step
    def text(error: Exception) -> str:
        return str(error)

    @pipeline
    def main() -> Any:
        return text(error()), error()

    found, again = run(main, cache, observer=said.append).value
    assert (found, str(again), type(again)) == ("4: four", "4: four", Unloadable)
    assert any("can be pickled, and not unpickled" in getattr(event, "message", "") for event in said)
    assert run(main, cache).value[0] == "4: four"
    with pytest.raises(CacheMiss):
        jpipe.load(error, cache_dir=cache)
    with jpipe.cached(tmp_path / "other"):
        assert isinstance(error(), Unloadable)


def test_what_a_failed_run_has_no_result_of_is_a_miss(tmp_path: Path) -> None:
    @step
    def picky(x: int) -> int:
        return 1 // x

    @pipeline
    def main() -> Any:
        return total(jpipe.map(picky, [1, 0])), plus(1)

    failed = run(main, tmp_path / "c", keep_going=True)
    assert failed["plus"] == [2]
    for name in ("picky", "total"):
        with pytest.raises(CacheMiss):
            failed[name]


@pytest.mark.parametrize("value", [6, b"x" * 64], ids=["number", "bytes"])
def test_a_step_with_a_parameter_named_items_is_loaded_as_any_other(value: Any, tmp_path: Path) -> None:
    @step
    def one(items: list[Any]) -> Any:
        return items[0]

    @pipeline
    def main() -> Any:
        return one([value]), jpipe.map(one, [[value], [1]])

    run(main, tmp_path / "c")
    assert jpipe.load("one", cache_dir=tmp_path / "c") == [value, value, 1]


def test_load_and_cached_use_what_runs_left(tmp_path: Path) -> None:
    cache = tmp_path / "c"

    @pipeline
    def main() -> Any:
        return total([plus(1), plus(2)])

    run(main, cache)
    assert jpipe.load(plus, 1, cache_dir=cache) == 2
    assert jpipe.load(total, cache_dir=cache) == 5
    with pytest.raises(CacheMiss):
        jpipe.load(plus, 77, cache_dir=cache)
    with jpipe.cached(cache):
        assert plus(77) == 78
    assert jpipe.load(plus, 77, cache_dir=cache) == 78
    with pytest.raises(OutOfDateError):
        run(main, tmp_path / "other", frozen=True)


def test_a_result_that_breaks_during_the_run_is_made_again_and_nothing_twice(project: Project) -> None:
    """What ran before the break counts as run, and its results are found for the steps that take them."""
    project.write("""
        import time
        from pathlib import Path

        import numpy as np

        import jpipe
        from jpipe import pipeline, step

        @step
        def large() -> np.ndarray:
            return np.arange(500_000.0)

        @step
        def square(i):
            with open(f"{i}.ran", "a") as file:
                file.write("x")
            time.sleep(0.05)
            return i * i

        @step
        def breaks(n):
            time.sleep(0.4)
            for path in Path("cache/v1/blobs").rglob("*"):
                if n > 5 and path.is_file() and path.stat().st_size > 1_000_000:
                    path.chmod(0o600)
                    with open(path, "r+b") as file:
                        file.seek(3_000_000)
                        file.write(bytes(800))
            return n

        @step
        def first(array, n):
            return float(array[1]) + n

        @step
        def twice(x):
            return 2 * x

        @step
        def total(xs, y):
            return sum(xs) + y

        @pipeline
        def main(n: int = 5):
            return total(jpipe.map(twice, jpipe.map(square, range(n))), first(large(), breaks(n)))
    """)
    project.run("-j1")
    second = project.run("-j2", "--set", "n=40")
    assert {name: ran for name, ran in second.ran.items() if name != "large"} == {
        "breaks": 1,
        "first": 1,
        "square": 35,
        "twice": 35,
        "total": 1,
    }
    assert second.counts == (74, 10), "large is one of them, although its end was told before it broke"
    assert {path.read_text() for path in project.root.glob("*.ran")} == {"x"}, "each item once in both runs"
    assert project.run("-j2", "--set", "n=40").counts == (0, 84)


@pytest.mark.parametrize("jobs", ["-j1", "-j2"])
def test_an_item_that_changes_the_current_folder_changes_it_for_itself(project: Project, jobs: str) -> None:
    project.write("""
        import os
        import tempfile
        import time

        import jpipe
        from jpipe import pipeline, step

        @step
        def leaves(i):
            before = os.getcwd()
            time.sleep(0.02)
            os.chdir(tempfile.gettempdir())
            return before

        @step
        def places(found):
            return sorted(set(found))

        @pipeline
        def main():
            return places(jpipe.map(leaves, range(40)))
    """)
    assert project.run(jobs).exit_code == 0
    assert json.loads(project.command("show", "places", "--json").stdout)["items"][0]["value"] == [str(project.root)]


def test_show_tells_of_the_last_run_also_where_that_had_nothing_to_do(project: Project) -> None:
    project.write("""
        from jpipe import pipeline, step

        @step
        def power(n):
            return n**2

        @pipeline
        def main(n: int = 3):
            return power(n)
    """)
    assert project.run().counts == (1, 0)
    project.edit("pipeline.py", "n**2", "n**3")
    assert project.run().counts == (1, 0)
    assert project.command("show", "power").stdout == "27\n"
    project.edit("pipeline.py", "n**3", "n**2")
    assert project.run().counts == (0, 1)
    assert project.command("show", "power").stdout == "9\n"


def test_the_folder_of_the_file_is_on_the_path_as_python_writes_it(project: Project) -> None:
    project.write("""
        import sys

        from jpipe import pipeline, step

        FOLDERS = list(sys.path)

        @step
        def first(folders):
            return folders[0]

        @pipeline
        def main():
            return first(FOLDERS)
    """)
    assert project.run().exit_code == 0
    assert json.loads(project.command("show", "first", "--json").stdout)["items"][0]["value"] == str(project.root)
