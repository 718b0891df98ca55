"""What is kept of runs: what items printed, failures, the history of runs and what differs between two."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from jpipe.errors import ExitCode
from jpipe.history.journal_reader import log_of, runs
from jpipe.history.journal_writer import KEPT_RUNS, Journal, Opening
from jpipe.history.run_index import append_row, commit_of

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Project

pytestmark = pytest.mark.usefixtures("one_job")

PIPELINE = """
    import logging
    import sys
    import warnings

    from jpipe import map, pipeline, step

    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")


    @step
    def loud(k):
        print("printed", k)
        print("to stderr", k, file=sys.stderr)
        logging.getLogger("study").info("logged %s", k)
        warnings.warn("warned")
        return k * FACTOR


    @step
    def quiet(k):
        return k


    @step
    def checked(v, limit):
        if v > limit:
            raise ValueError(f"{v} is above {limit}")
        return v


    @pipeline
    def main(ks: tuple[int, ...] = (1, 2, 3), limit: int = 100, secret: str = "word"):
        return [checked(loud(k), limit) for k in ks], map(quiet, ks)


    FACTOR = 10
"""


@pytest.fixture
def study(project: Project) -> Project:
    project.write(PIPELINE)
    return project


def history(project: Project) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = json.loads(project.command("history", "--json").stdout)["runs"]
    return listed


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_each_item_keeps_what_it_printed_whatever_ran_before_it(study: Project, jobs: str) -> None:
    run = study.run("-j", jobs)
    assert run.exit_code == 0
    assert "printed" not in run.stderr and "logged" not in run.stderr
    items = json.loads(study.command("log", "loud", "--json").stdout)["items"]
    assert [(item["item"], item["label"], item["outcome"]) for item in items] == [
        (0, "loud[k=1]", "ran"), (1, "loud[k=2]", "ran"), (2, "loud[k=3]", "ran"),
    ]  # fmt: skip
    for number, item in enumerate(items, 1):
        lines = item["output"].splitlines()
        assert lines[:3] == [f"printed {number}", f"to stderr {number}", f"INFO logged {number}"]
        assert "UserWarning: warned" in item["output"]
        assert item["nbytes"] > 0 and item["seconds"] > 0
    one = study.command("log", "loud", "--item", "1").stdout
    assert "loud[k=2]" in one and "printed 2" in one and "printed 1" not in one
    assert study.run("-j", jobs).counts == (0, 9)
    assert "printed 2" in study.command("log", "loud", "--item", "1").stdout, "of the last run in which it ran"
    assert study.command("log", "loud", "--item", "7").exit_code == ExitCode.NOTHING_SELECTED


def test_runs_are_rows_with_parameters_changes_and_outcome(study: Project) -> None:
    assert study.run().exit_code == 0
    study.run("-k", "--set", "limit=15")
    study.edit("pipeline.py", "FACTOR = 10", "FACTOR = 20")
    study.run("--set", "limit=100", "-k")
    study.run("--set", "limit=100")
    first, failed, edited, idle = history(study)
    assert (first["outcome"], first["ran"], first["given"]) == ("ran", 9, [])
    assert (failed["outcome"], failed["failed"], failed["parameters"]["limit"]) == ("failed", 2, "15")
    assert failed["given"] == ["limit"] and failed["changed"] == ["limit 100 → 15"]
    assert edited["outcome"] == "ran" and "FACTOR 10 → 20" in edited["changed"]
    assert (idle["outcome"], idle["ran"], idle["cached"]) == ("cached", 0, 9)
    told = study.command("history").stdout.splitlines()
    assert [line.split()[1] for line in told[1:]] == ["#4", "#3", "#2", "#1"]
    failure = study.command("log", "checked", "--run", "2").stdout
    assert "20 is above 15" in failure and "✗ checked" in failure


def test_two_runs_are_compared_by_parameters_code_and_results(study: Project) -> None:
    study.run()
    assert study.command("history", "--diff", "1", "2").exit_code == 5, "2 is a number, and no beginning of 2026…"
    study.edit("pipeline.py", "FACTOR = 10", "FACTOR = 20")
    study.run("--set", "limit=200")
    study.run("--set", "limit=200")
    found = json.loads(study.command("history", "--diff", "1", "-1", "--json").stdout)
    assert found["parameters"] == [{"name": "limit", "old": "100", "new": "200"}]
    steps = {step["step"]: step for step in found["steps"]}
    (code,) = steps["loud"]["code"]
    assert (code["kind"], code["object"], code["detail"]) == ("constant", "FACTOR", "10 → 20")
    assert (steps["loud"]["different"], steps["checked"]["different"], steps["quiet"]["different"]) == (3, 3, 0)
    told = study.command("history", "--diff", "1", "2").stdout
    assert "FACTOR changed: 10 → 20" in told and "3 of 3 results different" in told and "the same: quiet" in told


def test_no_argument_or_result_is_kept_in_clear(study: Project) -> None:
    study.edit("pipeline.py", "return k\n", "return {'hidden': 'jewel', 'k': k}\n")
    study.edit("pipeline.py", "map(quiet, ks)", "[quiet(k) for k in ks], quiet('pass' * 20)")
    study.run()
    kept = "".join(path.read_text("utf-8") for path in (study.cache / "v1" / "notes" / "journals").iterdir())
    assert "jewel" not in kept and "passpass" not in kept
    assert "'word'" in kept, "parameters of the pipeline are the user's own words"


def test_a_killed_run_keeps_what_had_come_back(study: Project) -> None:
    study.edit("pipeline.py", "    return k\n", "    import time\n    time.sleep(60 if k == 3 else 0)\n    return k\n")
    running = study.start("run", "-j", "2", "--json", "-v")
    assert running.stdout is not None
    for line in running.stdout:
        if '"step":"loud"' in line and '"item":2' in line:
            break
    running.send_signal(signal.SIGKILL)
    running.wait()
    running.stdout.close()
    if running.stderr is not None:
        running.stderr.close()
    (row,) = history(study)
    assert row["outcome"] == "unfinished"
    assert "printed 3" in study.command("log", "loud", "--item", "2").stdout


def test_a_torn_or_foreign_line_is_passed_over(study: Project) -> None:
    study.run()
    folder = study.cache / "v1" / "notes" / "journals"
    with (folder / "runs.jsonl").open("ab") as rows:
        rows.write(
            b'[1, 2]\n{"run": 5, "when": "x", "parameters": 3, "ran": 1e400, "changed": [1]}\n{"v":1,"run":"2026'
        )
    (whole,) = (path for path in folder.iterdir() if path.name != "runs.jsonl")
    whole.write_bytes(whole.read_bytes()[:-20] + b"\xff\xfe")
    assert study.command("history").exit_code == 0
    assert "printed 1" in study.command("log", "loud", "--run", whole.stem).stdout


def test_so_many_runs_are_kept_and_no_more(tmp_path: Path) -> None:
    folder = str(tmp_path / "journals")
    padding = {"padding": "x" * 4000}
    for number in range(3 * KEPT_RUNS):
        row = {"run": f"{number:04}", "when": number, "outcome": "ran" if number % 4 == 0 else "cached", **padding}
        append_row(folder, row)
    kept = runs(folder)
    assert [row.run for row in kept if row.outcome == "ran"] == [f"{n:04}" for n in range(0, 3 * KEPT_RUNS, 4)]
    assert sum(row.outcome == "cached" for row in kept) == KEPT_RUNS
    assert kept[-1].run == f"{3 * KEPT_RUNS - 1:04}"


def test_a_run_with_nothing_to_do_costs_one_short_row(tmp_path: Path) -> None:
    folder = tmp_path / "journals"
    folder.mkdir()
    best = 1.0
    for number in range(20):
        begun = time.perf_counter()
        Journal(str(folder), Opening(f"{number}", "pipeline.py:main", {"k": "1"}, (), commit_of(tmp_path), 1.0)).close()
        best = min(best, time.perf_counter() - begun)
    assert best < 0.001
    assert [path.name for path in folder.iterdir()] == ["runs.jsonl"]
    assert (folder / "runs.jsonl").stat().st_size < 20 * 300


def test_a_cache_that_cannot_be_written_to_costs_the_journal_and_not_the_run(tmp_path: Path) -> None:
    (tmp_path / "journals").write_text("a file in the place of the folder")
    Journal(str(tmp_path / "journals"), Opening("1", "p")).close()
    assert log_of(str(tmp_path / "journals"), "1").items == []


def test_the_commit_is_read_without_git(tmp_path: Path) -> None:
    git = tmp_path / ".git"
    assert commit_of(tmp_path) == ""
    (git / "refs" / "heads").mkdir(parents=True)
    (git / "HEAD").write_text("ref: refs/heads/main\n")
    (git / "packed-refs").write_text(f"# pack-refs\n{'a' * 40} refs/heads/main\n")
    assert commit_of(tmp_path) == "a" * 12
    (git / "refs" / "heads" / "main").write_text("b" * 40 + "\n")
    assert commit_of(tmp_path) == "b" * 12
    worktree = tmp_path / "other"
    (git / "worktrees" / "other").mkdir(parents=True)
    (git / "worktrees" / "other" / "HEAD").write_text("ref: refs/heads/main\n")
    (git / "worktrees" / "other" / "commondir").write_text("../..\n")
    worktree.mkdir()
    (worktree / ".git").write_text(f"gitdir: {os.path.relpath(git / 'worktrees' / 'other', worktree)}\n")
    assert commit_of(worktree) == "b" * 12
