"""What jpipe has for tests of pipelines: the plugin of pytest, the assertions, the hooks."""

from __future__ import annotations

import importlib
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from jpipe.cli.command_line import call

if TYPE_CHECKING:
    from conftest import Project

ROOT = Path(__file__).parents[1]
STUDY = """
    from pathlib import Path
    from jpipe import pipeline, step

    SCALE = 1

    @step
    def fit(x: float) -> float:
        with Path("ran.txt").open("a") as file:
            file.write("x")
        return x * SCALE

    @pipeline
    def main(n: int = 3):
        return [fit(float(i)) for i in range(n)]
"""
TESTS = """
    import jpipe, pytest
    from pathlib import Path
    from jpipe.testing import assert_up_to_date
    from pipeline import main

    def ran():
        return len(Path("ran.txt").read_text())

    def test_fixture(jpipe_cache, tmp_path):
        before = ran()
        assert not jpipe_cache.exists() or jpipe_cache.name == "jpipe-cache"
        assert main.run(n=3, n_jobs=1) == [0.0, 1.0, 2.0]
        assert jpipe_cache.parent == tmp_path and (jpipe_cache / "CACHEDIR.TAG").exists()
        main.run(n=4, n_jobs=1)
        print("RAN", ran() - before)
        assert jpipe.load("fit", x=2.0) == 2.0
        assert_up_to_date(main)

    def test_fixture_again(jpipe_cache):
        with pytest.raises(AssertionError, match="5 items: .*will run"):
            assert_up_to_date(main, {"n": 5})

    def test_file():
        assert_up_to_date("pipeline.py:main")
        assert_up_to_date(main)
"""


def test_a_test_has_a_cache_of_its_own_or_a_copy(project: Project) -> None:
    project.write({"pipeline.py": STUDY, "test_study.py": TESTS})
    assert project.run("-j1").exit_code == 0
    before = files_of(project.cache)
    # Not a second time, where it is installed.
    env = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    words = ("-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", "-p", "jpipe.testing.pytest_plugin")
    own = project.python(*words, env=env)
    assert (own.exit_code, "RAN 4" in own.stdout) == (0, True), own.stdout
    copied = project.python(*words, "--jpipe-cache", "cache", env=env)
    assert (copied.exit_code, "RAN 1" in copied.stdout) == (0, True), copied.stdout
    project.write({"pytest.ini": "[pytest]\njpipe_cache = cache\n"})
    assert "RAN 1" in project.python(*words, env=env).stdout
    missing = project.python(*words, "--jpipe-cache", "elsewhere", "-k", "again", env=env)
    assert "there is no cache at" in missing.stdout
    assert files_of(project.cache) == before, "nothing is written to the cache that was named"


def files_of(cache: Path) -> dict[Path, tuple[int, int]]:
    """Every file of a cache that holds results, with what would tell that it was written again."""
    found = [path for room in ("families", "blobs") for path in (cache / "v1" / room).rglob("*") if path.is_file()]
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in found}


def test_check_says_whether_anything_would_run(project: Project) -> None:
    project.write(STUDY)
    first = project.command("check", "--frozen")
    assert (first.exit_code, "3 will run" in first.stdout, (project.root / "ran.txt").exists()) == (4, True, False)
    assert project.run("-j1").exit_code == 0
    fine = project.command("check", "--frozen")
    assert (fine.exit_code, fine.stdout.splitlines()[-1]) == (0, "✓ main is up to date")
    project.edit("pipeline.py", "SCALE = 1", "SCALE = 2")
    edited = project.command("check", "--frozen")
    assert (edited.exit_code, "constant SCALE changed" in edited.stdout.replace("pipeline.", "")) == (4, True), (
        edited.stdout
    )
    assert project.command("check", "--frozen", "--json").exit_code == 4
    project.edit("pipeline.py", "return [fit(", "return len(fit(1.0)), [fit(")
    assert project.command("check", "--frozen").exit_code == 3


def test_pytest_finds_the_plugin_and_loads_little_for_it() -> None:
    points = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["entry-points"]["pytest11"]
    assert hasattr(importlib.import_module(points["jpipe"]), "jpipe_cache")
    code = f"import pytest, sys; before = set(sys.modules); import {points['jpipe']}; print(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"numpy", "joblib", "networkx", "rich", "click", "tqdm", "blake3", "jpipe.compare.values", "jpipe.api"}
    assert not heavy & set(done.stdout.split())


@pytest.mark.parametrize(
    "hook", yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text("utf-8")), ids=lambda h: h["id"]
)
def test_hooks_call_commands_that_there_are(hook: dict[str, object], capsys: pytest.CaptureFixture[str]) -> None:
    program, *words = shlex.split(str(hook["entry"]))
    assert program == "jpipe"
    assert call([*words, "--help"]) == 0
    assert all(word in capsys.readouterr().out for word in words if word.startswith("-"))
    assert re.search(
        rf"id: {hook['id']}\b", (ROOT / "docs" / "how-to" / "continuous-integration.md").read_text("utf-8")
    )
