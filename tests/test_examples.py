"""The examples do what their READMEs say: each row of a table is done, and what runs is what stands beside it."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Project

EXAMPLES = Path(__file__).parents[1] / "examples"
NAMES = sorted(folder.name for folder in EXAMPLES.iterdir() if (folder / "README.md").exists())
NOTEBOOKS = {path.parent.name: path for path in EXAMPLES.glob("*/*.ipynb")}
PIPELINES = [name for name in NAMES if name not in NOTEBOOKS]
SMALL = {
    "bootstrap": {"replicates": 10},
    "coins": {},
    "digits": {"ks": (8,), "Cs": (1.0,)},
    "epidemic": {"seeds": 3},
    "grid": {"depths": (1, 2), "sizes": (3,), "seeds": 2},
    "images": {"clusters": 3, "least": 390_000},
    "series": {"first": 1970, "last": 1975},
    "tiles": {"size": 256},
}
"""Parameters that make an example quick; the others are quick as they are."""

DRAWN_ANEW = {"bootstrap"}
"""Without jpipe, `jpipe.seed()` is the same for all calls."""


@dataclass(frozen=True)
class Row:
    """A row of a README: what is done, and which items run then."""

    done: str
    ran: dict[str, int]

    def arguments(self) -> list[str]:
        """What is typed behind ``jpipe run``."""
        return [word for text in re.findall(r"`(--[^`]+)`", self.done) for word in shlex.split(text)]

    def edit(self) -> Callable[[Project], None] | None:
        """The edit of a file, where the row has one."""
        if found := re.match(r"`(.+?)` to `(.*?)`(?: in `(.+)`)?$", self.done):
            old, new, file = found[1], found[2].replace("\\n", "\n"), found[3] or "pipeline.py"
            return lambda project: project.edit(file, old, new)
        if found := re.match(r"delete `(.+)`$", self.done):
            return lambda project: (project.root / found[1]).unlink()
        return None


def rows(name: str) -> Iterator[Row]:
    for line in (EXAMPLES / name / "README.md").read_text("utf-8").splitlines():
        if line.startswith("| ") and not line.startswith(("| what", "| cell")):
            done, ran = re.split(r"(?<!\\) \| ", line[2:-2])
            counts = re.findall(r"(\d+) `(\w+)`", ran.partition(":")[0])
            assert counts or ran.startswith("nothing"), f"{name}: what runs after {done}?"
            yield Row(done, {step: int(count) for count, step in counts})


def copied(name: str, project: Project) -> Project:
    left_out = shutil.ignore_patterns("cache", "out", "figure.*", "*.db", "__pycache__", "jpipe.toml")
    shutil.copytree(EXAMPLES / name, project.root, dirs_exist_ok=True, ignore=left_out)
    if (project.root / "pyproject.toml").exists():
        (project.root / "jpipe.toml").unlink()
    return project


@pytest.mark.slow
@pytest.mark.parametrize("name", PIPELINES)
def test_each_row_of_a_readme_is_so(name: str, project: Project) -> None:
    first, *others = rows(name)
    copied(name, project)
    assert (first.done, project.run().ran) == ("run it for the first time", first.ran)
    before = {
        path: path.read_bytes() for path in project.root.rglob("*") if path.is_file() and "cache" not in path.parts
    }
    for row in others:
        edit = row.edit()
        if edit is not None:
            edit(project)
        run = project.run(*row.arguments())
        assert (row.done, run.ran) == (row.done, row.ran), run.stderr
        for path, content in before.items():
            if not path.exists() or path.read_bytes() != content:
                path.write_bytes(content)
        project.run()


def test_each_example_runs_small_and_once(project: Project) -> None:
    """All in one process, which imports what they need once."""
    for name in PIPELINES:
        shutil.copytree(EXAMPLES / name, project.root / name)
        (project.root / name / "jpipe.toml").touch()
    lines = ["import sys, jpipe.define.loader as loader"]
    for name in PIPELINES:
        file = project.root / name / "pipeline.py"
        run = f"print(main.run(n_jobs=1, **{SMALL.get(name, {})}))"
        lines += [f"main = loader.load({str(file)!r})", run, run, "del sys.modules['pipeline']"]
    done = project.python("-W", "error", "-c", "\n".join(lines))
    assert done.exit_code == 0, done.stderr


@pytest.mark.slow
def test_the_notebook_runs_what_its_readme_says(project: Project) -> None:
    """Twice, each time in a new kernel."""
    copied("notebook", project)
    (notebook,) = project.root.glob("*.ipynb")
    project.write({"run.py": RUNNER})
    for said in ([(16, 1), (6, 1)], []):
        done = project.python("run.py", str(notebook), env={"JPIPE_PROGRESS": "plain"})
        assert done.exit_code == 0, done.stderr
        ran = [int(count) for count in re.findall(r"ok in .*?, (\d+) ran", done.stdout)]
        assert [count for count in ran if count] == [items + step for items, step in said], done.stdout


RUNNER = """
import sys, nbformat
from nbclient import NotebookClient

notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
for cell in notebook.cells:
    for output in cell.get("outputs", ()):
        print(output.get("text", output.get("data", {}).get("text/plain", "")))
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in PIPELINES if name not in DRAWN_ANEW])
def test_without_its_decorators_an_example_is_a_script_that_gives_the_same(name: str, project: Project) -> None:
    copied(name, project)
    script = re.sub(r"(?m)^@(step|pipeline)\n", "", (project.root / "pipeline.py").read_text("utf-8"))
    script = re.sub(r"\bstep\(([\w.]+)\)", r"\1", script).replace("jpipe.map(", "listed(")
    project.write({"script.py": f"{script}\n\n{LISTED}" if "listed(" in script else script})
    path = {"PYTHONPATH": os.pathsep.join([str(project.root / "src"), *os.environ["PYTHONPATH"].split(os.pathsep)])}
    plain = project.python("-W", "error", "-c", "import script; print(script.main())", env=path)
    run = project.python("-c", "import pipeline; print(pipeline.main.run())", env=path)
    assert (plain.exit_code, run.exit_code) == (0, 0), plain.stderr + run.stderr
    assert run.stdout == plain.stdout


LISTED = """
def listed(function, *lists, **constants):
    return [function(*items, **constants) for items in zip(*lists)]
"""


@pytest.mark.parametrize("name", NAMES)
def test_every_example_has_a_page_a_picture_and_commands_that_name_it(name: str) -> None:
    readme = (EXAMPLES / name / "README.md").read_text("utf-8")
    (picture,) = re.findall(r"!\[[^]]+\]\(../../docs/gallery/(\S+)\)", readme)
    gallery = EXAMPLES.parent / "docs" / "gallery"
    assert (gallery / f"{name}.md").exists()
    index = (gallery / "index.md").read_text("utf-8")
    assert f"({picture})]({name}.md) | **[" in index
    commands = re.findall(r"^    (jpipe|cd|jupyter) (.+)$", readme, re.MULTILINE)
    assert f"examples/{name}" in commands[0][1]
    assert len(list(rows(name))) > 5 or name in NOTEBOOKS
