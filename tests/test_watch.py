"""``jpipe watch`` in a pseudo-terminal: the last save counts, and nothing is left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from jpipe.cli.watch_loop import wants_run

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Project

pexpect = pytest.importorskip("pexpect")
pytest.importorskip("watchfiles")

PIPELINE = """
    import time

    from jpipe import pipeline, step
    from settings import SCALE


    @step
    def each(k: int) -> int:
        time.sleep(0.05)
        return k * SCALE


    @step
    def total(values: list[int]) -> int:
        if SCALE < 0:
            raise ValueError("negative scale")
        return sum(values)


    @pipeline
    def main():
        return total([each(k) for k in range(4)])
"""


def processes_of(project: Project) -> list[str]:
    """The command lines that name the folder of the project."""
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return [one for one in listed.splitlines() if str(project.root.parent) in one and "ps -eo" not in one]


@pytest.mark.skipif(os.name == "nt", reason="there are no pseudo-terminals")
def test_the_last_of_many_saves_stands_and_nothing_is_left_behind(project: Project) -> None:
    project.write({"pipeline.py": PIPELINE, "settings.py": "SCALE = 1\n"})
    watch = pexpect.spawn(
        sys.executable, ["-m", "jpipe", "watch", "-j2"], cwd=str(project.root), encoding="utf-8", timeout=120
    )
    watch.expect("watching")
    watch.expect("each 4 ran, total 1 ran")
    for scale in range(2, 12):
        (project.root / "settings.py").write_text(f"SCALE = {scale}\n", "utf-8")
        time.sleep(1 if scale == 2 else 0.15)
    last = "settings.py saved"
    watch.expect(last)
    while project.command("show", "total").stdout.strip() != "66":
        assert watch.isalive()
        watch.expect([last, pexpect.TIMEOUT], timeout=2)
    (project.root / "settings.py").write_text("SCALE = -1\n", "utf-8")
    watch.expect("total 1 failed")
    watch.expect("negative scale")
    (project.root / "settings.py").write_text("SCALE =\n", "utf-8")
    watch.expect("does not load")
    (project.root / "settings.py").write_text("SCALE = 11\n", "utf-8")
    watch.expect("up to date")
    (project.root / "notes.txt").write_text("nothing that the pipeline reads", "utf-8")
    watch.expect("up to date")
    watch.sendintr()
    watch.expect(pexpect.EOF)
    watch.close()
    assert watch.exitstatus == 0
    for _ in range(50):
        if not processes_of(project):
            return
        time.sleep(0.1)
    assert processes_of(project) == []


def test_wrong_options_are_refused_before_anything_is_watched(project: Project) -> None:
    project.write({"pipeline.py": PIPELINE, "settings.py": "SCALE = 1\n"})
    result = project.command("watch", "--no-such-option")
    assert (result.exit_code, "no such option" in result.stderr) == (2, True)


def test_what_the_run_itself_wrote_calls_for_no_other(tmp_path: Path) -> None:
    code, data = tmp_path / "a.py", tmp_path / "a.csv"
    for path in (code, data):
        path.touch()
    now = time.time()
    assert [wants_run(str(path), now + 1) for path in (code, data)] == [True, False]
    assert [wants_run(str(path), now - 60) for path in (code, data)] == [True, True]
    assert wants_run(str(tmp_path / "gone.csv"), now)


LONG = """
    import time

    from jpipe import pipeline, step
    from settings import SCALE


    @step
    def train(seconds: float) -> float:
        time.sleep(seconds)
        return seconds


    @step
    def scaled(n: int) -> int:
        time.sleep(60 if SCALE == 1 else 0)
        return n * SCALE


    @pipeline
    def main():
        return train(4), scaled(3)
"""


@pytest.mark.skipif(os.name == "nt", reason="there are no pseudo-terminals")
def test_a_save_ends_the_items_that_it_concerns_and_no_others(project: Project) -> None:
    project.write({"pipeline.py": LONG, "settings.py": "SCALE = 1\n"})
    watch = pexpect.spawn(
        sys.executable, ["-m", "jpipe", "watch", "-j2"], cwd=str(project.root), encoding="utf-8", timeout=120
    )
    watch.expect("watching")
    journals = project.cache / "v1" / "notes" / "journals"
    while sum(path.read_text("utf-8").count('"kind":"start"') for path in journals.glob("2*.jsonl")) < 2:
        time.sleep(0.05)
    (project.root / "settings.py").write_text("SCALE = 2\n", "utf-8")
    watch.expect("1 item of the run before may go on")
    watch.expect("scaled 1 ran")
    assert "train 1 ran" not in watch.before + watch.after
    assert project.command("show", "scaled").stdout.strip() == "6"
    rows = project.command("history", "--json").stdout
    assert [(row["outcome"], row["ran"]) for row in json.loads(rows)["runs"]] == [("interrupted", 1), ("ran", 1)]
    watch.sendintr()
    watch.expect(pexpect.EOF)
    watch.close()
    for _ in range(50):
        if not processes_of(project):
            return
        time.sleep(0.1)
    assert processes_of(project) == []
