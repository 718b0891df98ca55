"""The examples do what their READMEs say: what to edit, and what then runs."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Project

EXAMPLES = Path(__file__).parents[1] / "examples"
NAMES = sorted(folder.name for folder in EXAMPLES.iterdir() if (folder / "pipeline.py").exists())


def copied(name: str, project: Project) -> Project:
    shutil.copytree(EXAMPLES / name, project.root, dirs_exist_ok=True)
    return project


def test_the_digits_example_tells_the_whole_story(project: Project) -> None:
    copied("digits", project)
    assert project.run().ran == {"digits": 1, "project": 3, "score": 9, "table": 1}
    assert project.run().counts == (0, 14)

    project.edit("pipeline.py", "cv=5", "cv=4")
    the_plan_names_the_helper_that_was_edited_and_the_line(project)
    assert project.run().ran == {"score": 9, "table": 1}
    project.edit("pipeline.py", "cv=4", "cv=2 + 2")
    edited = project.run()
    assert edited.ran == {"score": 9}
    assert edited.steps["table"]["cached"] == 1

    project.edit("pipeline.py", "cv=2 + 2", "cv=5")
    assert project.run().counts == (0, 14)
    project.edit("pipeline.py", "    X, y = digits()", "    # Pictures and labels.\n    X, y = digits()")
    assert project.run().counts == (0, 14)

    more = project.run("--set", "ks=8,16,32,64")
    assert more.ran == {"project": 1, "score": 3, "table": 1}
    assert more.counts == (5, 13)


def the_plan_names_the_helper_that_was_edited_and_the_line(project: Project) -> None:
    steps = {step["step"]: step for step in project.plan()["steps"]}
    assert (steps["score"]["stale"], steps["table"]["pending"]) == (9, 1)
    assert (steps["digits"]["fresh"], steps["project"]["fresh"]) == (1, 3)
    (reason,) = steps["score"]["reasons"]
    assert reason["kind"] == "helper"
    assert reason["object"].endswith("accuracy")
    assert reason["file"].endswith("pipeline.py")
    assert "cv=5" in reason["diff"]
    assert "cv=4" in reason["diff"]


@pytest.mark.slow
def test_the_images_example_maps_over_a_list_known_during_the_run(project: Project) -> None:
    copied("images", project)
    assert project.run().ran == {"pictures": 1, "features": 6, "centres": 1, "shares": 6, "overview": 1}
    large = [file for file in project.cache.rglob("*") if file.is_file() and file.stat().st_size > 2**22]
    assert len(large) == 6, "each array of features is written once"
    assert project.run().counts == (0, 15)
    assert project.run("--set", "clusters=8").ran == {"centres": 1, "shares": 6, "overview": 1}
    assert project.run("--set", "least=210000").ran == {"pictures": 1}
    assert project.run("--set", "least=250000").ran == {"pictures": 1, "centres": 1, "shares": 5, "overview": 1}


@pytest.mark.slow
def test_the_series_example_keeps_forecasts_and_answers_for_its_figure(project: Project) -> None:
    copied("series", project)
    assert project.run().ran == {"series": 1, "forecast": 90, "errors": 1, "figure": 1}
    assert project.run().counts == (0, 93)
    assert project.run("--set", "every=10").ran == {"errors": 1, "figure": 1}
    project.run()

    project.edit("pipeline.py", "lags=9", "lags=11")
    assert project.run().ran == {"forecast": 30, "errors": 1, "figure": 1}
    project.edit("pipeline.py", "figsize=(8, 4)", "figsize=(8, 5)")
    assert project.run().ran == {"figure": 1}
    (project.root / "errors.png").unlink()
    assert project.run().ran == {"figure": 1}
    assert (project.root / "errors.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_without_its_decorators_an_example_is_a_script_that_gives_the_same(name: str, project: Project) -> None:
    copied(name, project)
    script = re.sub(r"(?m)^@(step|pipeline)\n", "", (EXAMPLES / name / "pipeline.py").read_text("utf-8"))
    project.write({"script.py": script})
    plain = project.python("-W", "error", "-c", "import script; print(script.main())")
    run = project.python("-c", "import pipeline; print(pipeline.main.run())")
    assert (plain.exit_code, run.exit_code) == (0, 0), plain.stderr + run.stderr
    assert run.stdout == plain.stdout


@pytest.mark.parametrize("name", NAMES)
def test_every_example_has_a_readme_that_says_what_to_edit(name: str) -> None:
    readme = (EXAMPLES / name / "README.md").read_text("utf-8")
    assert f"jpipe run examples/{name}/pipeline.py" in readme
    code = (EXAMPLES / name / "pipeline.py").read_text("utf-8")
    for edited in re.findall(r"^\| `([^`]+)` to `", readme, re.MULTILINE):
        assert edited in code, f"the README of {name} edits {edited!r}, which is not in the code"
