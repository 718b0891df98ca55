"""Loading a pipeline file and its parameters: whatever is wrong is said in one message, with place and remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Project

pytestmark = pytest.mark.usefixtures("one_job")

GOOD = """
    import enum
    from typing import Literal
    from jpipe import pipeline, step

    @step
    def add(a: int, b: int) -> int:
        return a + b

    @pipeline
    def main(n: int = 1, ks: tuple[int, ...] = (1,), fast: bool = False, how: Literal["a", "b"] = "a", opt: float | None = None):
        return [add(n, k) for k in ks]
"""  # noqa: E501

BROKEN: dict[str, tuple[str, int, list[str]]] = {
    # file -> exit code, what is said
    "syntax error": ("def main(:\n    pass\n", 3, ["pipeline.py does not parse", "pipeline.py:1"]),
    "import that raises": (
        "x = 1\nraise RuntimeError('not today')\n",
        3,
        ["pipeline.py raised RuntimeError: not today", "pipeline.py:2"],
    ),
    "import that exits": (
        "import sys\nsys.exit(4)\n",
        3,
        ["pipeline.py ends the process when it is imported: SystemExit: 4", "pipeline.py:2"],
    ),
    "module that is not there": (
        "import no_such_module_here\n",
        3,
        ["cannot be imported", "no_such_module_here", "install"],
    ),
    "name that is not there": (
        "from json import nothing_of_the_kind\n",
        3,
        ["cannot be imported", "nothing_of_the_kind", "pipeline.py:1"],
    ),
    "no pipeline": ("x = 1\n", 3, ["defines no pipeline", "@jpipe.pipeline"]),
    "several pipelines": (
        "from jpipe import pipeline\n\n@pipeline\ndef one(): ...\n\n@pipeline\ndef two(): ...\n",
        3,
        ["defines several pipelines: one, two", "pipeline.py:one"],
    ),
    "no step": ("from jpipe import pipeline\n\n@pipeline\ndef main():\n    return 1\n", 5, ["calls no step", "@step"]),
    "wrong option": ("from jpipe import step\n\n@step(retrys=1)\ndef f(): ...\n", 3, ["no option 'retrys'", "retries"]),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_cannot_be_used(project: Project, name: str) -> None:
    text, code, said = BROKEN[name]
    project.write(text)
    result = project.run(json=False)
    for words in said:
        assert words in result.stderr
    assert "Traceback" not in result.stderr
    assert result.exit_code == code or (name == "wrong option" and result.exit_code == 2)
    assert result.stdout == ""


ASKED: dict[str, tuple[list[str], int, list[str]]] = {
    "file": (["pipelin.py"], 3, ["there is no pipeline file 'pipelin.py'", "did you mean 'pipeline.py'?"]),
    "file of another name": (["zzz.py"], 3, ["there is no pipeline file 'zzz.py'", "this folder has pipeline.py"]),
    "pipeline": (["pipeline.py:mian"], 3, ["has no pipeline 'mian'", "did you mean 'main'?"]),
    "step": (["ad"], 2, ["no step 'ad'", "did you mean 'add'?"]),
    "forced step": (["-f", "ad"], 2, ["no step 'ad'", "did you mean 'add'?"]),
    "parameter": (["--set", "k=1"], 2, ["no parameter 'k'", "ks"]),
    "value": (["--set", "n=many"], 2, ["n=many: expected int"]),
    "value in a tuple": (["--set", "ks=1,x"], 2, ["ks=1,x: expected tuple"]),
    "bool": (["--set", "fast=perhaps"], 2, ["fast=perhaps: expected bool"]),
    "literal": (["--set", "how=c"], 2, ["how=c: expected Literal['a', 'b']"]),
    "no name": (["--set", "3"], 2, ["that is not NAME=VALUE"]),
    "jobs 0": (["-j", "0"], 2, ["0"]),
    "jobs many": (["-j", "many"], 2, ["many"]),
}


@pytest.mark.parametrize("name", ASKED)
def test_something_that_is_not_there_is_named_with_what_was_meant(project: Project, name: str) -> None:
    arguments, code, said = ASKED[name]
    project.write(GOOD)
    result = project.run(*arguments, json=False)
    assert result.exit_code == code, result.stderr
    for words in said:
        assert words in result.stderr
    assert "Traceback" not in result.stderr


def test_a_folder_without_a_pipeline_says_how_to_get_one(project: Project) -> None:
    for arguments, said in (((), "`jpipe init`"), (("study.py",), "this folder has no Python files")):
        result = project.run(*arguments, json=False)
        assert (result.exit_code, result.stdout) == (3, "")
        assert said in result.stderr


def test_values_are_read_by_the_annotations(project: Project) -> None:
    project.write(GOOD)
    result = project.run(
        "--set", "n=10", "--set", "ks=1,2,3", "--set", "fast=yes", "--set", "how=b", "--set", "opt=none"
    )
    assert (result.exit_code, result.ran) == (0, {"add": 3})


@pytest.mark.parametrize("name", ["two words.py", "größe-2.py", "sub/json.py", "sub/random.py"])
def test_files_of_any_name_load_also_those_that_shadow_the_standard_library(project: Project, name: str) -> None:
    folder = name.rpartition("/")[0]
    project.write(
        {name: GOOD.replace("return a + b", "return plus(a, b)").replace("import enum", "from helpers import plus")}
    )
    project.write({f"{folder}/helpers.py" if folder else "helpers.py": "def plus(a, b):\n    return a + b\n"})
    first = project.run(name, "-j2", "--set", "ks=1,2,3,4")
    assert (first.exit_code, first.ran) == (0, {"add": 4}), first.stderr
    assert project.run(name, "-j2", "--set", "ks=1,2,3,4").counts == (0, 4)


def test_steps_of_neighbours_and_packages_run_in_workers(project: Project) -> None:
    project.write(
        {
            "lab/__init__.py": "",
            "lab/maths.py": "from jpipe import step\nfrom .deep import twice\n\n"
            "@step\ndef double(x):\n    return twice(x)\n",
            "lab/deep.py": "def twice(x):\n    return 2 * x\n",
            "pipeline.py": """
                from jpipe import map, pipeline
                from lab.maths import double

                @pipeline
                def main():
                    return map(double, range(4))
            """,
        }
    )
    assert project.run("-j2").ran == {"double": 4}
    project.edit("lab/deep.py", "2 * x", "x + x + 0")
    assert project.run("-j2").ran == {"double": 4}
    project.edit("lab/deep.py", "x + x + 0", "2 * x")
    assert project.run("-j2").ran == {}


def test_a_script_that_runs_its_own_pipeline_shares_results_with_the_command(project: Project) -> None:
    project.write(GOOD + '\n    if __name__ == "__main__":\n        print(main.run(5, (1, 2)))\n')
    direct = project.python("pipeline.py")
    assert direct.stdout.strip() == "[6, 7]", direct.stderr
    assert project.run("--set", "n=5", "--set", "ks=1,2").counts == (0, 2)
