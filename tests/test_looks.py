"""What a step looks at is its input, whatever it looks at it with: one project holds a step for each way."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pandas
import pytest

if TYPE_CHECKING:
    from conftest import Project

LOOKS = {
    "size": "os.path.getsize('d/a')",
    "size_by_path": "Path('d/a').stat().st_size",
    "size_by_stat": "os.stat('d/a').st_size",
    "size_by_name": "getsize('d/a')",
    "time": "os.path.getmtime('d/a')",
    "is_there": "os.path.exists('d/new')",
    "is_there_by_path": "Path('d/new').exists()",
    "is_file": "Path('d/kind').is_file()",
    "is_folder": "os.path.isdir('d/kind')",
    "may_be_read": "os.access('d/new', os.R_OK)",
    "tried": "attempt('d/new')",
    "names": "sorted(os.listdir('d'))",
    "names_by_path": "sorted(p.name for p in Path('d').iterdir())",
    "names_by_glob": "sorted(glob.glob('d/*'))",
    "names_by_walk": "sorted(next(os.walk('d'))[2])",
    "names_by_descriptor": "sorted(os.listdir(os.open('d', os.O_RDONLY)))",
    "sizes": "sum(entry.stat().st_size for entry in os.scandir('d'))",
    "kinds": "sorted(entry.name for entry in os.scandir('d') if entry.is_dir())",
    "target": "os.readlink('link')",
    "beside_target": "open('link/../a.txt').read()",
    "through_link": "open('link/a').read()",
    "by_descriptor": "os.read(os.open('a', os.O_RDONLY, dir_fd=os.open('d', os.O_RDONLY)), 99)",
    "size_by_descriptor": "os.stat('a', dir_fd=os.open('d', os.O_RDONLY)).st_size",
    "updated": "open('d/a', 'r+').read()",
    "appended": "read_from_start(open('d/a', 'a+'))",
    "opened_for_both": "os.read(os.open('d/a', os.O_RDWR), 99)",
    "mapped": "numpy.memmap('d/a', 'u1').tolist()",
    "archive": "zipfile.ZipFile('d/z.zip', 'a').namelist()",
    "parquet": "pandas.read_parquet('d/t.parquet').a.tolist()",
    "parquet_by_polars": "polars.read_parquet(Path('d/t.parquet')).height",
    "parquet_by_arrow": "pyarrow.parquet.read_table('d/t.parquet').num_rows",
}
HEAD = """
import glob, os, zipfile
from os.path import getsize
from pathlib import Path
import numpy, pandas, polars, pyarrow.parquet
from jpipe import pipeline, step

def attempt(path):
    try:
        return open(path).read()
    except FileNotFoundError:
        return None

def read_from_start(file):
    file.seek(0)
    return file.read()
"""


def make(root: Path, number: int) -> None:
    """Put the inputs there, in their first or second form."""
    for folder in ("d", "other/sub", "third/sub"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "d" / "a").write_text("x" * number)
    (root / "other" / "a.txt").write_text(f"content {number}")
    pandas.DataFrame({"a": range(number)}).to_parquet(root / "d" / "t.parquet")
    with zipfile.ZipFile(root / "d" / "z.zip", "w") as archive:
        archive.writestr(f"member{number}", "")
    (root / "link").unlink(missing_ok=True)
    (root / "link").symlink_to("other/sub" if number == 1 else "other/../other/sub")
    for sub in ("other", "third"):
        (root / sub / "sub" / "a").write_text(f"content {number}")
    if number == 1:
        (root / "d" / "kind").touch()
    else:
        (root / "d" / "kind").unlink()
        (root / "d" / "kind").mkdir()
        (root / "d" / "new").touch()


@pytest.mark.skipif(os.name == "nt", reason="links and descriptors of folders")
@pytest.mark.parametrize("jobs", ["-j1", "-j2"])
def test_whatever_a_step_looks_at_is_its_input(project: Project, jobs: str) -> None:
    steps = [f"@step\ndef {name}():\n    return {expression}\n" for name, expression in LOOKS.items()]
    calls = "".join(f"{name}(), " for name in LOOKS)
    project.write(HEAD + "\n".join(steps) + f"\n@pipeline\ndef main():\n    return [{calls}]\n")
    make(project.root, 1)
    assert project.run(jobs).ran == dict.fromkeys(LOOKS, 1)
    assert project.run(jobs).ran == {}
    make(project.root, 2)
    assert project.run(jobs).ran == dict.fromkeys(LOOKS, 1)


def _nothing(root: Path) -> None:
    """Change nothing."""


QUIET = {
    "touched": ("os.path.getsize('a') and open('a').read()", lambda root: os.utime(root / "a")),
    "larger_but_only_there": ("os.path.exists('a')", lambda root: (root / "a").write_text("longer than before")),
    "written_anew": ("(os.path.exists('out'), Path('out').write_text('x'))[1]", _nothing),
    "renamed": ("renamed('out')", _nothing),
    "made_if_missing": ("os.makedirs('made/deep', exist_ok=True)", _nothing),
    "another_file": ("open('a').read()", lambda root: (root / "b").touch()),
    "own_temporary": ("own_temporary()", _nothing),
    "changed_in_place": ("changed_in_place('counter')", _nothing),
    "cache_appears": ("sorted(os.listdir('.'))", _nothing),
    "resolved": ("Path('a').resolve().read_text()", lambda root: (root / "b").touch()),
    "a_run_inside": ("jpipe.run(inner).value", _nothing),
    "a_memory_inside": ("joblib.Memory('memory', verbose=0).cache(cheap)(1)", _nothing),
}


@pytest.mark.parametrize("name", QUIET)
def test_what_it_did_not_see_does_not_count(project: Project, name: str) -> None:
    expression, change = QUIET[name]
    project.write(
        f"""
        import os, tempfile
        from pathlib import Path
        import joblib
        import jpipe
        from jpipe import pipeline, step

        def renamed(path):
            there = os.path.exists(path)
            Path("beside").write_text("x")
            os.replace("beside", path)
            return "renamed"

        def own_temporary():
            with tempfile.NamedTemporaryFile("w+") as file:
                file.write("x")
                file.seek(0)
                return file.read()

        def changed_in_place(path):
            with open(path, "a+") as file:
                file.seek(0)
                text = file.read()
                file.write("x")
            return "done"

        def cheap(x):
            return x

        @step
        def sub(x):
            return x

        @pipeline
        def inner(n: int = 2):
            return [sub(i) for i in range(n)]

        @step
        def look():
            return {expression}

        @pipeline
        def main():
            return look()
        """
    )
    (project.root / "a").write_text("content")
    assert project.run("pipeline.py:main").ran == {"look": 1}
    change(project.root)
    again = project.run("pipeline.py:main", "--frozen")
    assert again.exit_code == 0, again.stderr
