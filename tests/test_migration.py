"""The pages for people who come from other tools: each script after gives what the script before gave, and more."""

from __future__ import annotations

import importlib.util
import re
import shutil
from pathlib import Path

import pytest

PAGES = Path(__file__).parents[1] / "docs" / "how-to"
SCRIPTS = PAGES / "migration"
NAMES = sorted(path.name.removesuffix("_before.py") for path in SCRIPTS.glob("*_before.py"))
PIPELINES = ["memory", "product", "sklearn"]
NEEDS = {"p_tqdm": "p_tqdm", "tqdm_batch": "tqdm_batch"}
PRINTS = {
    "p_tqdm": "[10, 40, 90]\n328350\n",
    "tqdm_batch": "999999000.0\n",
}


def script(project, name):
    shutil.copy(SCRIPTS / name, project.root / name)
    return name


@pytest.mark.parametrize("name", NAMES)
def test_the_script_after_prints_what_the_script_before_printed(project, name):
    after = project.python("-W", "error", script(project, f"{name}_after.py"))
    assert after.exit_code == 0, after.stderr
    if importlib.util.find_spec(NEEDS.get(name, "joblib")) is None:
        assert after.stdout == PRINTS[name]
        return
    before = project.python(script(project, f"{name}_before.py"))
    assert before.exit_code == 0, before.stderr
    assert after.stdout == before.stdout != ""


@pytest.mark.parametrize("name", PIPELINES)
def test_the_second_run_runs_nothing_and_prints_the_same(project, name):
    file = script(project, f"{name}_after.py")
    first = project.python(file)
    assert project.run(file).counts[0] == 0
    assert project.python(file).stdout == first.stdout


def test_a_further_parameter_runs_only_what_is_new(project):
    file = script(project, "product_after.py")
    assert project.run(file).ran == {"simulate": 12, "mean": 3}
    assert project.run(file, "--set", "seeds=5").ran == {"simulate": 3, "mean": 3}

    file = script(project, "sklearn_after.py")
    assert project.run(file).ran["score"] == 18
    assert project.run(file, "--set", "Cs=0.1,1,10,100").ran == {"score": 6, "best": 1}


def test_an_edit_keeps_what_it_does_not_touch_and_undoing_it_finds_the_rest(project):
    file = script(project, "memory_after.py")
    project.run(file)
    project.edit(file, "** 2))", "** 2)) + 0.0  # the same")
    assert project.run(file).ran == {"error": 3}, "equal results: the step after them has nothing to do"
    project.edit(file, "** 2)) + 0.0  # the same", "** 2))")
    assert project.run(file).ran == {}


def test_every_script_is_shown_and_every_page_shows_one():
    shown = [
        name for page in PAGES.glob("from-*.md") for name in re.findall(r"migration/(\w+\.py)", page.read_text("utf-8"))
    ]
    assert sorted(shown) == sorted(path.name for path in SCRIPTS.glob("*.py"))
