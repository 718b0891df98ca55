"""Files that steps hand on by name, leave behind, or find by where they are."""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Project

HEAD = """
import json, os, pickle, shutil, time
from pathlib import Path
import joblib, numpy, pandas
from jpipe import File, map, pipeline, step

def written(path, text):
    Path(path).write_text(text)
    return path

def replaced(path, text):
    Path(path + ".new").write_text(text)
    os.replace(path + ".new", path)
    return path

def note(log, text):
    with open(log, "a") as file:
        file.write(text)
    return text

memory = joblib.Memory("memory", verbose=0)

@memory.cache
def slow(x):
    return x
"""
WRITES = {
    "write_text": ("written('{0}', str(n))", "open(path).read()"),
    "open": ("open('{0}', 'w').write(str(n)) and '{0}'", "Path(path).read_text()"),
    "rename": ("replaced('{0}', str(n))", "open(path).read()"),
    "json": ("json.dump(n, open('{0}', 'w')) or '{0}'", "json.load(open(path))"),
    "numpy": ("numpy.save('{0}.npy', n) or '{0}.npy'", "int(numpy.load(path))"),
    "pandas": ("pandas.DataFrame({{'a': [n]}}).to_csv('{0}') or '{0}'", "pandas.read_csv(path).a.tolist()"),
    "joblib": ("joblib.dump(n, '{0}')[0]", "joblib.load(path)"),
    "copy": ("shutil.copy(written('{0}.first', str(n)), '{0}')", "open(path).read()"),
    "descriptor": (
        "os.write(os.open('{0}', os.O_CREAT | os.O_WRONLY), b'%d' % n) and '{0}'",
        "open(path).read()",
    ),
    "absolute": ("os.path.abspath(written('{0}', str(n)))", "open(path).read()"),
}
"""A step that writes a file, and one that reads it: {0} is the name of the file."""


def project_of(project: Project, make: str, use: str, body: str) -> None:
    (project.root / "pipeline.py").write_text(
        f"{HEAD}\n@step\ndef make(n):\n    return {make}\n\n@step\ndef use(path):\n    return {use}\n\n"
        "@step\ndef same(path):\n    return path\n\n"
        f"@pipeline\ndef main(n: int = 1):\n    {body}\n"
    )


def test_what_a_step_wrote_and_gave_the_name_of_is_as_it_was_for_who_takes_it(project: Project) -> None:
    """After an undo the file is as the earlier version left it, and a file that is gone is made again."""
    steps = "".join(
        f"@step\ndef make_{way}(n):\n    return {make.format(way)}\n\n@step\ndef use_{way}(path):\n    return {use}\n\n"
        for way, (make, use) in WRITES.items()
    )
    calls = "".join(f"use_{way}(make_{way}(n)), " for way in WRITES)
    (project.root / "pipeline.py").write_text(
        f"{HEAD}\n{steps}@pipeline\ndef main(n: int = 1):\n    return [{calls}]\n"
    )
    shown = []
    for n in (1, 2, 1):
        run = project.run("-j1", "--set", f"n={n}")
        assert run.exit_code == 0, run.stderr
        shown.append(json.loads(project.command("show", "--set", f"n={n}", "--json").stdout)["items"][0]["value"])
    assert shown[0] == shown[2]
    assert all(one != two for one, two in zip(*shown[:2], strict=True)), shown
    assert project.run("-j1", "--set", "n=1").ran == {}
    for way in WRITES:
        for output in (way, f"{way}.npy"):
            (project.root / output).unlink(missing_ok=True)
    assert project.run("-j1", "--set", "n=1").ran == {f"make_{way}": 1 for way in WRITES}


@pytest.mark.parametrize("jobs", ["-j1", "-j2"])
@pytest.mark.parametrize("way", ["open", "rename", "numpy"])
def test_a_file_handed_on_by_its_name_alone_is_an_error(project: Project, way: str, jobs: str) -> None:
    make, use = WRITES[way]
    name = "o.npy" if way == "numpy" else "o"
    project_of(project, make.format("o"), use, f"make(n)\n    return use('{name}')")
    for n in (1, 2):
        failed = project.run(jobs, "--set", f"n={n}")
        assert failed.exit_code == 1
        assert "make() writes" in failed.stderr or "FileNotFoundError" in failed.stderr
    assert "pass what make() returns to use()" in failed.stderr


@pytest.mark.parametrize(
    ("body", "jobs"),
    [
        ("return use(make(n)), use(make(n + 1))", "-j2"),
        ("return map(use, map(make, [n, n + 1]))", "-j1"),
        ("return map(use, [make(n), make(n + 1)])", "-j1"),
        ("return map(use, map(same, map(make, [n, n + 1])))", "-j2"),
    ],
)
def test_one_file_for_two_values_is_an_error_and_stays_one(project: Project, body: str, jobs: str) -> None:
    """Whoever reads it may find the other value, in this run and in what is kept of it."""
    project_of(project, *WRITES["open"], body)
    for _ in range(2):
        failed = project.run(jobs)
        assert failed.exit_code == 1 and "a file of its own" in failed.stderr, failed.stderr


def test_check_says_which_paths_are_handed_on_as_texts(project: Project) -> None:
    make, use = WRITES["open"]
    project_of(project, make.format("o"), use, "return use(make(n))")
    assert "as a text" not in project.command("check").stdout
    project.run("-j1")
    said = project.command("check")
    assert "use() gets the path of o, which make() writes, as a text" in said.stdout
    project.edit("pipeline.py", "and 'o'", "and File('o')")
    project.run("-j1")
    assert "as a text" not in project.command("check").stdout


LEGIT = {
    "a log of many": ("note('log', 'x')", "note('log', 'y')", "return use(make(n))"),
    "the same file by many": ("written('o', str(n))", "path", "return map(make, range(4))"),
    "a cache inside": ("slow(n)", "slow(1)", "return make(n), use('o')"),
    "through another": ("written('o', str(n))", "open('o').read()", "return use([make(n)])"),
    "looks first": ("written('o', '1')", "os.path.exists('o') and open('o').read()", "return use(make(n))"),
}


def test_what_is_in_order_comes_to_rest(project: Project) -> None:
    texts = []
    for number, (make, use, body) in enumerate(LEGIT.values()):
        steps = f"@step\ndef make(n):\n    return {make}\n\n@step\ndef use(path):\n    return {use}\n\n"
        text = f"{steps}@pipeline\ndef main_{number}(n: int = 1):\n    {body}\n"
        texts.append(re.sub(r"\b(make|use)\b", rf"\1_{number}", text).replace("'o'", f"'o{number}'"))
    calls = "".join(f"main_{number}(n), " for number in range(len(LEGIT)))
    whole = f"@pipeline\ndef main(n: int = 1):\n    return [{calls}]\n"
    (project.root / "pipeline.py").write_text(HEAD + "\n" + "\n".join([*texts, whole]))
    for _ in range(3):
        last = project.run("-j2", "pipeline.py:main")
        assert last.exit_code == 0, last.stderr
    assert last.ran == {}


PLACES = {
    "returns_paths": "sorted(map_of(Path(__file__).parent.glob('*.txt')))",
    "returns_text": "str(Path('a.txt').resolve())",
    "returns_array": "numpy.array([os.path.abspath('a.txt')])",
    "returns_frame": "pandas.DataFrame({'path': [os.path.abspath('a.txt')]})",
    "returns_folder": "{'root': Path(__file__).parent}",
    "reads_beside": "Path(__file__).parents[1].joinpath('beside.txt').read_text()",
    "reads_beside_by_name": "open('../beside.txt').read()",
    "reads_here": "open('a.txt').read()",
}
SAME_ELSEWHERE = {"reads_here", "reads_beside_by_name"}
"""What leads to equal files in the copy too, whose results therefore count there."""


def test_what_names_the_folder_counts_for_this_folder_only(project: Project, tmp_path: Path) -> None:
    steps = "".join(f"@step\ndef {name}():\n    return {text}, {name!r}\n\n" for name, text in PLACES.items())
    calls = "".join(f"{name}(), " for name in PLACES)
    home = tmp_path / "ann" / "study"
    home.mkdir(parents=True)
    (home / "jpipe.toml").touch()
    head = HEAD + "\ndef map_of(paths):\n    return list(paths)\n\n"
    (home / "pipeline.py").write_text(f"{head}{steps}@pipeline\ndef main():\n    return [{calls}]\n")
    (home / "a.txt").write_text("a")
    (home.parent / "beside.txt").write_text("b")
    assert project.run(str(home / "pipeline.py"), cwd=home).ran == dict.fromkeys(PLACES, 1)
    assert project.run(str(home / "pipeline.py"), cwd=home).ran == {}
    other = tmp_path / "ben" / "study"
    shutil.copytree(home.parent, other.parent)
    assert set(project.run(str(other / "pipeline.py"), cwd=other).ran) == set(PLACES) - SAME_ELSEWHERE


@pytest.mark.parametrize("jobs", ["-j1", "-j2"])
def test_a_relative_path_belongs_to_the_folder_of_the_run(project: Project, jobs: str) -> None:
    project.write(
        """
        import os
        from jpipe import map, pipeline, step

        @step
        def read(i):
            return open("which.txt").read()

        @step
        def where():
            return os.path.basename(os.getcwd())

        @step
        def moved():
            os.chdir(os.path.dirname(os.path.abspath(__file__)))
            return open("pipeline.py").read()[:9]

        @pipeline
        def main():
            return map(read, range(3)), where(), moved()
        """
    )
    for name in "ab":
        (project.root / name).mkdir()
        (project.root / name / "which.txt").write_text(name)
    for name in "aba":
        result = project.run("../pipeline.py", jobs, cwd=project.root / name)
        assert result.exit_code == 0, result.stderr
        shown = project.command("show", "read", "--item", "1").stdout.strip()
        assert shown == name
        assert project.command("show", "where").stdout.strip() == name
