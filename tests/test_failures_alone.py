"""An item that ends its process is named where no workers are needed, too; what a screen prints works as printed."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Project

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals")

ALONE = """
    import ctypes, os, signal, time
    from jpipe import map, pipeline, step

    @step
    def first() -> int:
        return os.getpid()

    @step{options}
    def bad(pid: int, i: int = 0) -> int:
        if i == {item}:
            {bad}
        return os.getpid()

    @step
    def last(a: int, i: int = 0) -> bool:
        return a == os.getpid()

    @pipeline
    def main(n: int = 1):
        pid = first()
        return [last(bad(pid, i), i) for i in range(n)] if n > 1 else last(bad(pid))
"""
ENDS = {
    "os._exit": ("os._exit(7)", "(timeout=60)", "its worker was killed (exit code 7)"),
    "segmentation fault": ("ctypes.string_at(0)", "", "Fatal Python error: Segmentation fault"),
    "SIGKILL": ("os.kill(os.getpid(), signal.SIGKILL)", "", "its process used"),
    "native hang": (
        "lock, take = ctypes.create_string_buffer(64), ctypes.CDLL(None).pthread_mutex_lock; take(lock); take(lock)",
        "(timeout=0.3)",
        "stopped after 0.3s, its timeout",
    ),
}


@pytest.mark.parametrize("jobs", ["-j1", "-j2"])
@pytest.mark.parametrize("name", ENDS)
def test_an_item_alone_does_not_take_the_run_with_it(project: Project, name: str, jobs: str) -> None:
    bad, options, told = ENDS[name]
    project.write(ALONE.format(bad=bad, options=options, item=0))
    result = project.run(jobs, "-v")
    assert result.exit_code == 1, (result.exit_code, result.stderr)
    (failed,) = [end for end in result.of("item_end") if end["outcome"] == "failed"]
    assert (failed["step"], failed["item"], 0 < failed["seconds"] < 30) == ("bad", 0, True)
    assert told in result.stderr
    assert (result.end["ran"], result.end["failed"], result.end["blocked"]) == (1, 1, 1)


def test_other_items_go_on_at_one_job(project: Project) -> None:
    project.write(ALONE.format(bad="os._exit(7)", options="", item=2))
    result = project.run("-j1", "-k", "-v", "--set", "n=4")
    assert (result.end["ran"], result.end["failed"], result.end["blocked"]) == (7, 1, 1), result.stderr
    assert "✗ bad[i=2]   item 2 of 0-3 · its worker was killed (exit code 7)" in result.stderr


def test_one_job_is_one_item_at_a_time_also_beside_one_that_has_a_worker(project: Project) -> None:
    project.write(
        {
            "pipeline.py": """
                import time
                from jpipe import map, pipeline, step

                @step(timeout=60)
                def guarded(x: int) -> tuple[float, float]:
                    return worked()

                @step
                def plain(x: int) -> tuple[float, float]:
                    return tuple(worked())

                def worked() -> tuple[float, float]:
                    begun = time.time()
                    time.sleep(0.3)
                    return begun, time.time()

                @step
                def apart(spans: list[tuple[float, float]]) -> bool:
                    spans = sorted(spans)
                    return all(end <= begun for (_, end), (begun, _) in zip(spans, spans[1:]))

                @pipeline
                def main():
                    return apart([guarded(1), plain(1), guarded(2), plain(2)])
            """
        }
    )
    result = project.run("-j1")
    assert result.exit_code == 0, result.stderr
    assert project.command("show", "apart").stdout.strip() == "True"


def test_what_needs_no_worker_has_none(project: Project) -> None:
    project.write(ALONE.format(bad="pass", options="", item=0))
    for jobs in ("-j1", "-j2"):
        assert project.run(jobs, "-f", "first").exit_code == 0
        assert project.command("show", "last").stdout.strip() == "True", "a chain runs in one process"


def test_code_that_native_code_ends_is_named_by_the_next_run(project: Project) -> None:
    """Nothing in the step's own code tells that this library ends the process."""
    project.write(
        {
            "pipeline.py": """
                import sys
                from jpipe import pipeline, step

                @step
                def calm() -> int:
                    return 1

                @step
                def wild(x: int) -> int:
                    getattr(sys.modules["faulthandler"], "_sigsegv")()
                    return x

                @pipeline
                def main():
                    return wild(calm())
            """
        }
    )
    assert project.run("-j2").exit_code < 0
    result = project.run("-j2")
    assert result.exit_code == 1
    assert "a run was ended while it ran wild itself: now a worker of its own does" in result.stderr
    assert "✗ wild   its worker was killed (SIGSEGV)" in result.stderr
    assert result.counts == (0, 1)


def test_a_keyboard_interrupt_that_nobody_typed_is_a_failure(project: Project) -> None:
    project.write(ALONE.format(bad="raise KeyboardInterrupt('from the step')", options="", item=0))
    for jobs in ("-j1", "-j2"):
        result = project.run(jobs)
        assert result.exit_code == 1
        assert "KeyboardInterrupt: from the step" in result.stderr


PRINTED = """
    from jpipe import map, pipeline, step

    @step
    def load(i: int) -> list[int]:
        return [i] * i

    @step
    def mean(xs: list[int], scale: float) -> float:
        return scale * sum(xs) / len(xs)

    @pipeline
    def study(n: int = 3, scale: float = 1.0):
        return map(mean, map(load, range(n)), scale=scale)

    @pipeline
    def other():
        return load(1)
"""


def test_every_command_of_a_failure_screen_works_as_printed(project: Project) -> None:
    project.write({"my study.py": PRINTED})
    result = project.run("my study.py:study", "--set", "n=4", "--set", "scale=2.5", "--cache-dir", "kept here", "-j2")
    assert result.exit_code == 1
    assert "✗ mean[i=0]   item 0 of 0-3" in result.stderr
    assert re.search(r"scale = 2.5 +← study\(scale\)", result.stderr), result.stderr
    printed = dict(re.findall(r"^  (debug here|try again|in Python) +(.*)$", result.stderr, re.MULTILINE))
    debugged = project.command(*shlex.split(printed["debug here"])[1:])
    assert debugged.exit_code == 1
    assert "ZeroDivisionError: " in debugged.stderr
    assert "mean[i=0]   item 0 of 0-3" in debugged.stderr
    assert "-> return scale * sum(xs) / len(xs)" in debugged.stdout
    again = project.command(*shlex.split(printed["try again"])[1:])
    assert again.exit_code == 1
    assert "✗ mean[i=0]" in again.stderr
    loaded = project.python("-c", f"{printed['in Python']}\nprint(f.__name__, args, kwargs)")
    assert loaded.stdout.strip() == "mean [] {'xs': [], 'scale': 2.5}", loaded.stderr


def test_a_selection_leaves_the_others_out_of_its_account(project: Project) -> None:
    project.write({"my study.py": PRINTED})
    one = project.run("my study.py:study", "-f", "mean", "mean", "--item", "2", "-j1")
    assert one.exit_code == 0
    assert (one.steps["mean"]["items"], one.steps["mean"]["ran"], one.steps["mean"]["blocked"]) == (1, 1, 0)
    failed = project.run("my study.py:study", "-j1", "-k")
    assert failed.end["failed"] == 1
    assert project.run("my study.py:study", "mean", "--item", "1", "-j1").exit_code == 0
    still = project.run("my study.py:study", "--failed", "-j1")
    assert (still.exit_code, still.end["failed"]) == (1, 1), "what failed stays failed until it is tried again"


def test_output_of_a_terminal_ends_with_what_the_run_gave(project: Project) -> None:
    project.write(ALONE.format(bad="pass", options="", item=0))
    shown = subprocess.run(
        [sys.executable, "-m", "jpipe", "run", "--progress", "off"],
        cwd=project.root, capture_output=True, encoding="utf-8", check=True,
    ).stderr  # fmt: skip
    assert "last → True      jpipe show last" in shown
