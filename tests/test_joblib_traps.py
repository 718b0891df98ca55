"""The traps of joblib's Memory and Parallel: the same script under jpipe gives what a plain script gives."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

from jpipe.parallel.map import parallel_map


def out(result):
    assert result.exit_code == 0, result.stderr
    return result.stdout.split()


# ---- Memory: what a result is looked up by


CLOSURES = """
    import jpipe
    from jpipe import step

    def make(factor):
        @step
        def times(number):
            print("ran")
            return factor * number
        return times

    one, hundred = step(lambda x: x + 1), step(lambda x: x * 100)

    with jpipe.cached():
        print(make(2)(10), make(3)(10), make(2)(10), one(5), hundred(5), one(5))
"""


def test_closures_and_lambdas_are_told_apart_by_what_they_capture_and_do(project):
    project.write({"script.py": CLOSURES})
    values = ["20", "30", "20", "6", "500", "6"]
    assert out(project.python("script.py")) == ["ran", "ran", *values]
    assert out(project.python("script.py")) == values, "a second session found nothing"


EDITS = {
    "script.py": """
        import jpipe
        from jpipe import step
        from helpers import scale

        OFFSET = 1

        @step
        def value(number):
            print("ran")
            return scale(number) + OFFSET

        with jpipe.cached():
            print(value(10))
    """,
    "helpers.py": """
        def scale(number):
            return 2 * number
    """,
}


def test_edits_of_helpers_and_constants_count_and_comments_do_not(project):
    project.write(EDITS)
    assert out(project.python("script.py")) == ["ran", "21"]
    project.edit("helpers.py", "2 * number", "3 * number")
    assert out(project.python("script.py")) == ["ran", "31"]
    project.edit("script.py", "OFFSET = 1", "OFFSET = 5")
    assert out(project.python("script.py")) == ["ran", "35"]
    project.edit("script.py", "return scale", "# a comment\n    return scale")
    assert out(project.python("script.py")) == ["35"]
    project.edit("script.py", "OFFSET = 5", "OFFSET = 1")
    project.edit("helpers.py", "3 * number", "2 * number")
    assert out(project.python("script.py")) == ["21"], "undoing edits found no old result"


ARGUMENTS = """
    from collections import OrderedDict
    import jpipe
    from jpipe import step

    def change(number):
        return number + 1

    @step
    def apply(function, number):
        return function(number)

    @step
    def first(mapping):
        return next(iter(mapping))

    @step
    def size(numbers):
        print("ran")
        return len(numbers)

    with jpipe.cached():
        print(apply(change, 1))
        def change(number):
            return number + 1000
        print(apply(change, 1))
        print(first({"a": 1, "b": 2}), first({"b": 2, "a": 1}), first(OrderedDict(b=2, a=1)))
        print(size(frozenset({"x", "y", "z"})))
"""


def test_arguments_are_told_apart_by_what_they_are(project):
    project.write({"script.py": ARGUMENTS})
    values = ["2", "1001", "a", "b", "b"]
    assert out(project.python("script.py", env={"PYTHONHASHSEED": "1"})) == [*values, "ran", "3"]
    assert out(project.python("script.py", env={"PYTHONHASHSEED": "2"})) == [*values, "3"], (
        "frozensets differ by session"
    )


# ---- Memory: what happens to results


POISON = """
    import sys
    import jpipe
    from jpipe import step

    @step
    def version(number):
        return "old", number

    with jpipe.cached():
        for line in sys.stdin:
            print(*version(int(line)), flush=True)
"""


def test_a_process_that_still_runs_old_code_poisons_nothing(project):
    project.write({"script.py": POISON})
    with subprocess.Popen(
        [sys.executable, "script.py"], cwd=project.root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as old:
        old.stdin.write("0\n")
        old.stdin.flush()
        assert old.stdout.readline() == "old 0\n"
        project.edit("script.py", '"old"', '"new"')
        new = subprocess.run(
            [sys.executable, "script.py"], cwd=project.root, input="0\n", capture_output=True, text=True, check=True
        )
        assert new.stdout == "new 0\n"
        old.stdin.write("1\n2\n")
        old.stdin.close()
        assert old.stdout.read() == "old 1\nold 2\n"
    new = subprocess.run(
        [sys.executable, "script.py"], cwd=project.root, input="0\n1\n2\n", capture_output=True, text=True, check=True
    )
    assert new.stdout == "new 0\nnew 1\nnew 2\n"


PIPELINE = """
    import os
    import numpy as np
    from jpipe import pipeline, step

    @step
    def numbers(n: int) -> np.ndarray:
        return np.arange(float(n))

    @step
    def centred(values):
        values -= values.mean()
        return float(values[0])

    @step
    def picky(values, i):
        if i == 7 and os.path.exists("broken"):
            raise ValueError("seven")
        return float(values[i])

    @step
    def together(first, parts):
        return first, sum(parts)

    @pipeline
    def main(n: int = 300_000):
        values = numbers(n)
        return together(centred(values), [picky(values, i) for i in range(20)])
"""


def test_looking_at_what_would_run_changes_nothing(project):
    project.write(PIPELINE)
    assert project.run().counts == (23, 0)
    project.edit("pipeline.py", "values[i])", "values[i] + 1)")
    assert [step["stale"] for step in project.plan()["steps"] if step["step"] == "picky"] == [20]
    assert project.command("status").exit_code == 0
    project.edit("pipeline.py", "values[i] + 1)", "values[i])")
    assert project.run().counts == (0, 23), "asking what would run has thrown results away"


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_failure_keeps_what_finished_and_a_changed_input_stays_in_its_step(project, jobs):
    project.write(PIPELINE)
    (project.root / "broken").touch()
    failed = project.run("-j", jobs, "-k")
    assert failed.exit_code == 1
    assert (failed.steps["picky"]["ran"], failed.steps["picky"]["failed"]) == (19, 1)
    (project.root / "broken").unlink()
    again = project.run("-j", jobs)
    assert again.exit_code == 0
    assert again.ran == {"picky": 1, "together": 1}
    script = "from pipeline import main; print(main.run())"
    assert project.python("-c", script).stdout.strip() == str((-149999.5, 190.0))


# ---- Parallel


def picky(number):
    if number == 5:
        raise ValueError(number)
    return number


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_nothing_of_a_failed_call_turns_up_in_the_next(backend):
    for _ in range(3):
        with pytest.raises(ValueError, match="5"):
            list(parallel_map(picky, [range(12)], n_jobs=2, backend=backend, whole=True))
        assert list(parallel_map(picky, [[0, 1, 2]], n_jobs=2, backend=backend)) == [0, 1, 2]


THREADS = """
    import threading, time, warnings
    from jpipe.parallel.map import parallel_map

    warnings.simplefilter("error")

    def wait(number):
        time.sleep(0.02)
        if number < 0:
            raise ValueError(number)
        return number

    def work(name, items, **options):
        for _ in range(4):
            try:
                results = list(parallel_map(wait, [items], whole=True, backend="loky", **options))
                told[name].append(results == list(items))
            except ValueError:
                told[name].append("failed")

    told = {name: [] for name in "abcd"}
    threads = [
        threading.Thread(target=work, args=("a", range(30)), kwargs={"n_jobs": 2}),
        threading.Thread(target=work, args=("b", range(30)), kwargs={"n_jobs": 3}),
        threading.Thread(target=work, args=("c", range(30)), kwargs={"n_jobs": 2, "inner_max_num_threads": 1}),
        threading.Thread(target=work, args=("d", [1, 2, 3, -4, *range(30)]), kwargs={"n_jobs": 2}),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name, answers in told.items():
        print(name, *answers)
"""


def test_maps_of_several_threads_neither_hang_nor_kill_each_other(project):
    project.write({"script.py": THREADS})
    result = project.python("script.py")
    assert result.exit_code == 0, result.stderr
    lines = [f"{name} True True True True" for name in "abc"]
    assert result.stdout.splitlines() == [*lines, "d failed failed failed failed"], result.stderr


DASK = """
    import os, signal
    from distributed import Client, LocalCluster
    from joblib import parallel_config
    from jpipe.errors import WorkerLostError
    from jpipe.parallel.map import parallel_map

    def fatal(number):
        if number == 5:
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    if __name__ == "__main__":
        with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster):
            with parallel_config("dask"):
                print(sum(parallel_map(abs, [range(50)])))
                try:
                    list(parallel_map(fatal, [range(10)]))
                except WorkerLostError as error:
                    print("lost")
                print(sum(parallel_map(abs, [range(50)])), flush=True)
        os._exit(0)
"""


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
def test_a_killed_worker_of_dask_is_an_error_and_no_hang(project):
    pytest.importorskip("distributed")
    project.write({"script.py": DASK})
    assert out(project.python("script.py")) == ["1225", "lost", "1225"]


CLUSTER_STUDY = """
import os
from jpipe import map, pipeline, step

@step(batch_size=1)
def work(i):
    return i * i, os.getpid()

@pipeline
def main():
    return map(work, range(4))
"""


@pytest.mark.parametrize("jobs", [1, 2])
def test_the_command_starts_a_dask_cluster_of_its_own(project: Any, jobs: int) -> None:
    pytest.importorskip("distributed")
    project.write(CLUSTER_STUDY)
    run = project.run("--backend", "dask", "-j", str(jobs))
    assert run.ran == {"work": 4}, run.stderr
    assert project.run("--backend", "dask", "-j", str(jobs)).ran == {}


WRONG_BACKENDS = {
    "unknown": (["--backend", "lokky"], "there is no backend 'lokky'"),
    "silent": (["--backend", "dask", "--backend-option", "scheduler=tcp://127.0.0.1:9"], "no dask scheduler answers"),
}


@pytest.mark.parametrize("name", WRONG_BACKENDS)
def test_a_backend_that_cannot_be_reached_is_refused_with_the_reason(project: Any, name: str) -> None:
    flags, said = WRONG_BACKENDS[name]
    project.write(CLUSTER_STUDY)
    project.run("-j1")
    for force in ([], ["-f", "work"]):
        refused = project.run(*flags, *force, json=False)
        if name == "unknown" or force:
            assert (refused.exit_code, said in refused.stderr) == (2, True), refused.stderr
