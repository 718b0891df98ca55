"""Whose file it is has one answer, whichever part of jpipe asks and whatever the folders are called."""

from __future__ import annotations

import os
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jpipe.system.ownership import Installation, Owner, decide_owner, owner_name, owner_of

if TYPE_CHECKING:
    from conftest import Project

pytestmark = pytest.mark.usefixtures("one_job")

HERE = Installation(
    standard=("/opt/py/lib/python3.11/",),
    packages=("/home/ann/study/.venv/lib/python3.11/site-packages/", "/srv/shared packages/"),
    jpipe=("/home/ann/study/.venv/lib/python3.11/site-packages/jpipe/",),
)
PATHS = {
    "/home/ann/study/pipeline.py": Owner.USER,
    "/home/ann/study/data.csv": Owner.USER,
    "pipeline.py": Owner.USER,
    "/home/ann/site-packages-study/pipeline.py": Owner.USER,
    "/home/ann/my-site-packages/pipeline.py": Owner.USER,
    "/home/ann/site-packages/study/pipeline.py": Owner.USER,
    "/home/ann/dist-packages.old/helper.py": Owner.USER,
    "/home/ann/libraries/site-packages/helper.py": Owner.USER,
    "/home/ann/study/jpipe/helper.py": Owner.USER,
    "/home/ann/study/numpy/helper.py": Owner.USER,
    "/opt/py/lib/python3.11-study/pipeline.py": Owner.USER,
    "/opt/py/work/pipeline.py": Owner.USER,
    "/srv/shared packages of ann/tool.py": Owner.USER,
    "/home/ann/.venv-notes/lib/helper.py": Owner.USER,
    "/home/ann/study/.venv/lib/python3.11/site-packages/numpy/core.py": Owner.PACKAGE,
    "/home/ann/study/.venv/lib/python3.11/site-packages/six.py": Owner.PACKAGE,
    "/home/ann/study/.venv/lib/python3.11/site-packages/jpipe_tools/a.py": Owner.PACKAGE,
    "/home/ann/study/env of another/lib/python3.13t/site-packages/numpy/core.py": Owner.PACKAGE,
    "/home/ann/study/env/lib64/python3.12/site-packages/a.py": Owner.PACKAGE,
    "/usr/lib/python3/dist-packages/yaml/__init__.py": Owner.PACKAGE,
    "/usr/lib/pypy3.10/site-packages/a.py": Owner.PACKAGE,
    "/opt/py/lib/python3.11/site-packages/pip/__init__.py": Owner.PACKAGE,
    "/srv/shared packages/tool.py": Owner.PACKAGE,
    "C:\\Users\\ann\\study\\env\\Lib\\site-packages\\numpy\\core.py": Owner.PACKAGE,
    "C:\\Users\\ann\\AppData\\Roaming\\Python\\Python311\\site-packages\\six.py": Owner.PACKAGE,
    "C:\\Users\\ann\\site-packages-study\\pipeline.py": Owner.USER,
    "/home/ann/study/.venv/lib/python3.11/site-packages/jpipe/api.py": Owner.JPIPE,
    "/opt/py/lib/python3.11/json/decoder.py": Owner.PYTHON,
    "/opt/py/lib/python3.11/lib-dynload/_ssl.so": Owner.PYTHON,
    "<frozen importlib._bootstrap>": Owner.PYTHON,
    "<stdin>": Owner.CELL,
    "<ipython-input-3-abc>": Owner.CELL,
    "/tmp/ipykernel_123/456.py": Owner.CELL,
    "<string>": Owner.GENERATED,
    "<__array_function__ internals>": Owner.GENERATED,
}


@pytest.mark.skipif(os.name == "nt", reason="the table is of a POSIX interpreter")
@pytest.mark.parametrize("path", PATHS)
def test_a_file_has_one_owner(path: str) -> None:
    assert decide_owner(path, HERE) is PATHS[path]


def test_the_running_interpreter_knows_its_own_folders() -> None:
    import json

    import click

    import jpipe

    assert owner_of(json.__file__) is Owner.PYTHON
    assert owner_of(click.__file__) is Owner.PACKAGE
    assert owner_of(str(jpipe.__file__)) is Owner.JPIPE
    assert owner_of(__file__) is Owner.USER
    for kind, owner in {"purelib": Owner.PACKAGE, "platlib": Owner.PACKAGE, "stdlib": Owner.PYTHON}.items():
        assert owner_of(os.path.join(sysconfig.get_path(kind), "a.py")) is owner
    assert (owner_name(json.__file__), owner_name(click.__file__)) == ("Python", "click")


def test_a_package_that_is_linked_to_the_users_folder_is_the_users(tmp_path: Path) -> None:
    installed = tmp_path / "env" / "lib" / "python3.11" / "site-packages"
    for folder in (installed / "tool", tmp_path / "work" / "mine", installed / "other"):
        folder.mkdir(parents=True)
    (installed / "mine").symlink_to(tmp_path / "work" / "mine", target_is_directory=True)
    (installed / "alias").symlink_to(installed / "other", target_is_directory=True)
    owners = {name: owner_of(str(installed / name / "a.py")) for name in ("tool", "mine", "alias")}
    assert owners == {"tool": Owner.PACKAGE, "mine": Owner.USER, "alias": Owner.PACKAGE}


@pytest.mark.parametrize("name", ["site-packages-study", "python3.11/dist-packages.old"])
def test_a_project_may_be_called_as_folders_of_packages_are(project: Project, name: str) -> None:
    project.write(
        {
            f"{name}/jpipe.toml": "",
            f"{name}/numbers.txt": "1 2 3",
            f"{name}/helper.py": "def times():\n    return 1\n",
            f"{name}/pipeline.py": """
                import os
                from pathlib import Path
                from helper import times
                from jpipe import pipeline, step

                @step
                def total(file: str) -> int:
                    return times() * sum(map(int, Path(file).read_text().split()))

                @step
                def end() -> int:
                    os._exit(3)

                @pipeline
                def main() -> int:
                    return total(str(Path(__file__).with_name("numbers.txt")))

                @pipeline
                def ends() -> int:
                    return end()
                """,
        }
    )
    folder = project.root / name

    def run(*words: str) -> tuple[int, dict[str, int], str]:
        result = project.command("run", *words, "--json", cwd=folder)
        return result.exit_code, result.ran, result.stderr

    assert run("pipeline.py:main")[:2] == (0, {"total": 1})
    assert run("pipeline.py:main")[:2] == (0, {})
    (folder / "numbers.txt").write_text("10 20 30")
    assert run("pipeline.py:main")[:2] == (0, {"total": 1})
    project.edit(f"{name}/helper.py", "return 1", "return 2")
    assert run("pipeline.py:main")[:2] == (0, {"total": 1})
    code, _, said = run("pipeline.py:ends")
    assert code == 1
    assert "end not done" in said
    project.edit(f"{name}/helper.py", "return 2", "return missing\n\nmissing.name")
    code, _, said = run("pipeline.py:main")
    assert code == 3
    assert "helper.py:4" in said


def test_what_an_environment_in_the_project_holds_is_not_the_users(project: Project) -> None:
    packages = "envs/other/lib/python3.11/site-packages"
    project.write(
        {
            f"{packages}/tool/__init__.py": """
                from pathlib import Path

                def read(text):
                    return int(Path(__file__).with_name("table.txt").read_text()) + int(text)
                """,
            f"{packages}/tool/table.txt": "1",
            f"{packages}/tool-1.0.dist-info/METADATA": "Name: tool\nVersion: 1.0\n",
            f"{packages}/tool-1.0.dist-info/RECORD": "tool/__init__.py,,\n",
            "pipeline.py": """
                import tool
                from jpipe import pipeline, step

                @step
                def number(text: str) -> int:
                    return tool.read(text)

                @pipeline
                def main(text: str = "2") -> int:
                    return number(text)
                """,
        }
    )
    env = {"PYTHONPATH": os.pathsep.join([str(project.root / packages), os.environ.get("PYTHONPATH", "")])}
    assert project.run(env=env).ran == {"number": 1}
    project.edit(f"{packages}/tool/__init__.py", "+ int", "+  int")
    (project.root / packages / "tool" / "table.txt").write_text("5")
    assert project.run(env=env).ran == {}
    (project.root / packages / "tool-1.0.dist-info").rename(project.root / packages / "tool-1.1.dist-info")
    (project.root / packages / "tool-1.1.dist-info" / "METADATA").write_text("Name: tool\nVersion: 1.1\n")
    assert project.run(env=env).ran == {"number": 1}
    failed = project.run("--set", "text=x", env=env, json=False)
    assert "1 frame in tool hidden" in failed.stderr
    assert "pipeline.py:6" in failed.stderr
