"""Files that a step is seen to read are its inputs, whichever way it reads them, and nothing else is."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sysconfig
import time
import venv
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import jpipe

if TYPE_CHECKING:
    from conftest import Project

pytestmark = pytest.mark.usefixtures("one_job")

WAYS = {
    "sqlite": "sqlite3.connect('data.db').execute('select sum(x) from t').fetchone()",
    "sqlite as an address": "sqlite3.connect('file:data.db?mode=ro', uri=True).execute('select * from t').fetchall()",
    "a shell": "subprocess.check_output('cat data.txt', shell=True)",
    "a program": "subprocess.run(['cat', 'data.txt'], capture_output=True).stdout",
    "mmap": "bytes(mmap.mmap(os.open('data.txt', os.O_RDONLY), 0, access=mmap.ACCESS_READ))",
    "numpy": "numpy.fromfile('data.txt', 'u1').tolist()",
    "pandas": "pandas.read_csv('data.txt').columns.tolist()",
    "a thread": "ThreadPoolExecutor(1).submit(lambda: open('data.txt').read()).result()",
    "a hard link": "(os.link('data.txt', 'link'), open('link').read(), os.unlink('link'))[1]",
    "a symbolic link": "(os.symlink('data.txt', 'link'), open('link').read(), os.unlink('link'))[1]",
    "an iterator that jpipe draws from": "map(str, fileinput.input('data.txt'))",
    "a handle opened before": "HANDLE.seek(0) or HANDLE.read()",
    "a name in a pickle": "pickle.loads(b'cdata\\nx\\n.')",
    "workers of a map": "map(Path.read_text, [Path('data.txt')] * 2)",
    "workers of loky": "Parallel(2)(delayed(Path.read_text)(Path('data.txt')) for _ in range(3))",
    "processes that start anew": "pooled(get_context('spawn'))",
    "a script": "runpy.run_path('data.py')['x']",
}
if hasattr(os, "fork"):
    WAYS["a process that is forked"] = (
        "ProcessPoolExecutor(1, get_context('fork')).submit(Path.read_text, Path('data.txt')).result()"
    )


def project_that_reads(project: Project, expression: str) -> None:
    project.write(
        f"""
        import fileinput, mmap, os, pickle, runpy, sqlite3, subprocess
        from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
        from multiprocessing import get_context
        from pathlib import Path

        import numpy, pandas
        from joblib import Parallel, delayed
        from jpipe import map, pipeline, step

        {"HANDLE = open('data.txt')" if "HANDLE" in expression else ""}

        def pooled(context):
            with context.Pool(1) as pool:
                return pool.map(Path.read_text, [Path('data.txt')])

        @step
        def read():
            return {expression}

        @pipeline
        def main():
            return read()
        """
    )
    change(project, 1)


def change(project: Project, number: int) -> None:
    """Change the inputs; their lengths stay."""
    (project.root / "data.txt").write_text(f"content {number}")
    (project.root / "data.py").write_text(f"x = {number}")
    with sqlite3.connect(project.root / "data.db") as database:
        database.execute("create table if not exists t (x)")
        database.execute(f"insert into t values ({number})")
    database.close()


@pytest.mark.parametrize("way", WAYS)
def test_what_a_step_reads_is_its_input(project: Project, way: str) -> None:
    project_that_reads(project, WAYS[way])
    assert project.run().ran == {"read": 1}
    assert project.run().ran == {}
    change(project, 2)
    assert project.run().ran == {"read": 1}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the processes are forked")
def test_what_the_processes_of_a_pool_read_is_an_input_of_each_item_that_they_work_for(project: Project) -> None:
    """They stay, also after the item that failed; those of loky, too."""
    project.write("""
        from concurrent.futures import ProcessPoolExecutor
        from multiprocessing import get_context
        from pathlib import Path
        from joblib import Parallel, delayed
        from jpipe import map, pipeline, step

        POOL = ProcessPoolExecutor(1, get_context("fork"))

        @step
        def pooled(n):
            return POOL.submit(Path.read_text, Path(f"{n}.txt")).result()

        @step
        def loky(n):
            return Parallel(2)(delayed(Path.read_text)(Path(f"{n}.txt")) for _ in range(2))

        @pipeline
        def main():
            return map(pooled, range(3)), map(loky, range(1, 3))
    """)
    for number in (1, 2):
        (project.root / f"{number}.txt").write_text("before")
    assert project.run("--keep-going").ran == {"pooled": 2, "loky": 2}
    (project.root / "0.txt").write_text("before")
    (project.root / "2.txt").write_text("after!")
    assert project.run().ran == {"pooled": 2, "loky": 1}
    assert project.run().ran == {}


def test_a_database_that_a_step_makes_is_not_its_input(project: Project) -> None:
    project_that_reads(project, "fill()")
    project.edit(
        "pipeline.py",
        "@step",
        """def fill():
    with sqlite3.connect('data.db') as database:
        database.execute('insert into t values (7)')
        return database.execute('select count(*) from t').fetchone()


@step""",
    )
    assert project.run().ran == {"read": 1}
    assert project.run().ran == {}


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_what_jpipe_and_the_import_of_packages_look_at_is_no_input(project: Project, backend: str) -> None:
    """An import inside a step lists the folders on the path, the project's among them; runs keep folders in /tmp."""
    project.write("""
        from jpipe import map, pipeline, step

        @step
        def drawn(x):
            print("a line that is kept")
            from importlib.metadata import entry_points
            from sklearn.utils import shuffle
            return shuffle([x, 1, 2]), len(entry_points())

        @pipeline
        def main():
            return map(drawn, range(6))
    """)
    arguments = ("--backend", backend, "-j", "2")
    assert project.run(*arguments).ran == {"drawn": 6}
    (project.root / "new.txt").touch()
    (project.root / "other.py").touch()
    assert project.run(*arguments).ran == {}


@pytest.mark.parametrize("call", ["slow(1)", "map(slow, [1])"])
def test_what_was_read_of_a_file_that_was_edited_meanwhile_is_not_kept(project: Project, call: str) -> None:
    project.write(
        f"""
        import time
        from pathlib import Path
        from jpipe import map, pipeline, step

        @step
        def slow(x):
            text = Path("in.txt").read_text()
            if Path("wait").exists():
                Path("read").touch()
                while Path("wait").exists():
                    time.sleep(0.01)
            return text

        @pipeline
        def main():
            return {call}
        """
    )
    wait = project.root / "wait"
    (project.root / "in.txt").write_text("before")
    wait.touch()
    with project.start("run", "-j1") as run:
        while not (project.root / "read").exists():
            assert run.poll() is None
            time.sleep(0.01)
        (project.root / "in.txt").write_text("afterwards")
        wait.unlink()
        _, told = run.communicate(timeout=60)
    assert "in.txt was edited while slow() read it" in told
    assert not project.plan()["up_to_date"]
    assert project.run("-j1").ran == {"slow": 1}
    assert "afterwards" in project.command("show", "slow").stdout
    assert project.plan()["up_to_date"]


@pytest.mark.parametrize("environment", [".", "../stud", "../study-tools"])
def test_where_the_virtual_environment_lies_does_not_matter(project: Project, environment: str) -> None:
    """In the project's own folder, as `python -m venv .` makes it, or in one whose name begins like the project's."""
    project = type(project)(project.root / "study")
    folder = (project.root / environment).resolve()
    venv.create(folder, symlinks=os.name != "nt", with_pip=False)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    packages = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), str(Path(jpipe.__file__).parents[1])]
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(dict.fromkeys(packages))}

    def ran(mode: str) -> int:
        command = [str(python), "-m", "jpipe", "run", "--json"]
        done = subprocess.run(
            command, cwd=project.root, env={**variables, "MODE": mode}, capture_output=True, text=True, check=True
        )
        return int(json.loads(done.stdout.splitlines()[-1])["ran"])

    project.write(
        """
        import os
        from pathlib import Path
        from jpipe import pipeline, step

        MODE = os.environ["MODE"]

        @step
        def read():
            return Path("data.txt").read_text() + MODE

        @pipeline
        def main():
            return read()
        """
    )
    (project.root / "data.txt").write_text("one")
    assert [ran("fast"), ran("fast"), ran("slow"), ran("fast")] == [1, 0, 1, 0]
    (project.root / "data.txt").write_text("two")
    assert [ran("fast"), ran("fast")] == [1, 0]
