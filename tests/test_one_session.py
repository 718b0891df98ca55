"""Runs, loads, remembered calls, checks and the debugger mean the same project, cache, files and code."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Project

pytestmark = pytest.mark.usefixtures("one_job")

STUDY = """
    from pathlib import Path
    from jpipe import pipeline, step

    HERE = Path(__file__).parent

    @step
    def total(name: str) -> int:
        return sum(map(int, (HERE / name).read_text().split()))

    @step
    def twice(n: int) -> int:
        return 2 * n

    @pipeline
    def main() -> int:
        return twice(total("numbers.txt"))
"""
FRONTS = """
    import json, os
    import jpipe
    from jpipe.debugging import load_item
    import pipeline

    def tried(function, *args, **kwargs):
        try:
            return function(*args, **kwargs)
        except jpipe.errors.JpipeError as error:
            return str(error)

    def remembered():
        with jpipe.cached(**options):
            return pipeline.total("numbers.txt")

    options = {"cache_dir": os.environ["GIVEN"]} if os.environ.get("GIVEN") else {}
    print(json.dumps({
        "by call": tried(jpipe.load, pipeline.total, "numbers.txt", **options),
        "by step": tried(jpipe.load, pipeline.twice, **options),
        "remembered": tried(remembered),
        "debugged": tried(load_item, pipeline.__file__, "twice", 0, **options)[1:],
        "run again": sum(step.ran for step in jpipe.run(pipeline.main, **options).outcomes.values()),
    }))
"""
ANSWERS = {"by call": 6, "by step": 12, "remembered": 6, "debugged": [[], {"n": 6}], "run again": 0}

CACHES: dict[str, tuple[dict[str, str], dict[str, str], list[str], str]] = {
    # name -> files, variables, arguments of the command, where the cache is
    "beside the project's marker": ({}, {}, [], "study/cache"),
    "as the project file says": (
        {"study/pyproject.toml": '[tool.jpipe]\ncache_dir = "results/kept"\n'},
        {},
        [],
        "study/results/kept",
    ),
    "as a project file above says": (
        {"pyproject.toml": '[tool.jpipe]\ncache_dir = "shared"\n', "study/jpipe.toml": ""},
        {},
        [],
        "shared",
    ),
    "as the environment says": ({}, {"JPIPE_CACHE_DIR": "{root}/far/away"}, [], "far/away"),
    "as is said each time": ({}, {"GIVEN": "{root}/other/cache"}, ["--cache-dir", "{root}/other/cache"], "other/cache"),
    "in a folder of the project": ({}, {"GIVEN": "{root}/study/a/b"}, ["--cache-dir", "{root}/study/a/b"], "study/a/b"),
    "in another project": (
        {"other/pyproject.toml": ""},
        {"GIVEN": "{root}/other/store"},
        ["--cache-dir", "{root}/other/store"],
        "other/store",
    ),
}


def _fronts(project: Project, env: dict[str, str]) -> Any:
    result = project.python("study/fronts.py", env=env)
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


@pytest.mark.parametrize("name", CACHES)
def test_every_front_finds_what_a_run_kept(project: Project, name: str) -> None:
    files, variables, arguments, where = CACHES[name]
    project.write({"study/jpipe.toml": "", "study/pipeline.py": STUDY, "study/numbers.txt": "1 2 3", **files})
    project.write({"study/fronts.py": FRONTS})
    env = {key: value.format(root=project.root) for key, value in variables.items()}
    first = project.run(*[word.format(root=project.root) for word in arguments], env=env, cwd=project.root / "study")
    assert first.ran == {"total": 1, "twice": 1}, first.stderr
    assert (project.root / where / "CACHEDIR.TAG").exists()
    assert _fronts(project, env) == ANSWERS
    assert len([*project.root.rglob("CACHEDIR.TAG")]) == 1, "a front made a second cache"
    project.edit("study/numbers.txt", "1 2 3", "1 2 4")
    changed = _fronts(project, env)
    assert "the cache has no result of this call of total" in changed["by call"]
    assert changed["remembered"] == 7


def test_a_step_of_another_project_is_loaded_from_the_cache_of_the_pipeline(project: Project) -> None:
    project.write(
        {"lab/pyproject.toml": "", "lab/lab.py": STUDY.replace("HERE = Path(__file__).parent", "HERE = Path()")}
    )
    project.write(
        {
            "study/jpipe.toml": "",
            "study/numbers.txt": "1 2 3",
            "study/pipeline.py": "import sys\nsys.path.append('../lab')\nfrom lab import main\n"
            "from jpipe import pipeline\n\n@pipeline\ndef study():\n    return main()\n",
            "study/load.py": "import jpipe, pipeline, lab\n"
            "print(jpipe.load(lab.total, 'numbers.txt', cache_dir='cache'))",
        }
    )
    study = project.root / "study"
    assert project.run("pipeline.py:study", cwd=study).ran == {"total": 1, "twice": 1}
    assert project.python("load.py", cwd=study).stdout.split() == ["6"]


def test_options_of_a_copied_step_count_in_remembered_calls(project: Project) -> None:
    project.write(
        {
            "script.py": """
                import os
                import jpipe

                @jpipe.step
                def read():
                    os.write(1, b"read ")
                    return os.getenv("".join(["COL", "OUR"]))

                with jpipe.cached():
                    print(read(), read(), read.options(env=["COLOUR"])(), read.options(version=2)())
            """
        }
    )
    runs = [project.python("script.py", env={"COLOUR": colour}).stdout.split() for colour in ("red", "blue")]
    assert [run.count("read") for run in runs] == [3, 1]
    assert runs[1][-4:] == ["red", "red", "blue", "red"]


def test_check_looks_without_making_a_cache(project: Project) -> None:
    project.write({"pipeline.py": STUDY, "numbers.txt": "1 2 3"})
    assert project.command("check").exit_code == 0
    assert not project.cache.exists()
    assert project.run().ran == {"total": 1, "twice": 1}
    assert project.command("check", "--json").exit_code == 0
