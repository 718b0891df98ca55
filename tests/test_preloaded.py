"""Workers forked from a process that has imported already: right results, or loky's where a fork is not safe."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Project

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is forked")

PIPELINE = """
    {imports}
    import os
    from jpipe import map, pipeline, step

    @step
    def work(i: int):
        {body}

    @step
    def whole(results: list):
        return results

    @pipeline
    def main(n: int = 4):
        return whole(map(work, range(n)))
"""
FELL_BACK = "workers are started anew, not forked"


def write(project: Project, body: str, imports: str = "") -> None:
    """A pipeline of four items."""
    project.write(PIPELINE.format(body=textwrap.indent(textwrap.dedent(body), " " * 8).strip(), imports=imports))


def install(project: Project, name: str, code: str) -> dict[str, str]:
    """An installed package; the environment in which it is found."""
    folder = project.root / "lib" / "site-packages" / name
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(textwrap.dedent(code))
    return {"PYTHONPATH": os.pathsep.join(filter(None, [str(folder.parent), os.environ.get("PYTHONPATH")]))}


def result_of(project: Project, env: dict[str, str] | None = None, *flags: str) -> tuple[list[Any], str]:
    """What the items gave with two workers, and what was said."""
    ran = project.run("-j2", "-v", *flags, env=env)
    assert ran.exit_code == 0, ran.stderr
    code = "import json, jpipe; from pipeline import whole; print(json.dumps(jpipe.load(whole)))"
    loaded = subprocess.run(
        [sys.executable, "-c", code],
        cwd=project.root,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
    )
    assert loaded.returncode == 0, loaded.stderr
    return json.loads(loaded.stdout), ran.stderr


NATIVE = {
    "numpy": (
        "import numpy as np",
        "a = np.random.default_rng(i).normal(size=(300, 300)); return float((a @ a).sum())",
    ),
    "scipy": (
        "import numpy as np\n    from scipy import linalg",
        "return float(linalg.svdvals(np.random.default_rng(i).normal(size=(200, 200)))[0])",
    ),
    "sklearn": (
        "import numpy as np\n    from sklearn.ensemble import HistGradientBoostingClassifier",
        """
        X = np.random.default_rng(i).normal(size=(300, 4))
        return float(HistGradientBoostingClassifier(max_iter=5).fit(X, X[:, 0] > 0).score(X, X[:, 0] > 0))
        """,
    ),
    "pandas": (
        "import pandas as pd",
        "return pd.DataFrame({'a': range(100 + i), 'b': 1}).groupby('b').a.sum().item()",
    ),
    "pyarrow": (
        "import pyarrow as pa, pyarrow.compute as pc",
        "return pc.sum(pa.chunked_array([list(range(1000 + i))] * 8)).as_py()",
    ),
    "polars": (
        "import polars as pl",
        "return pl.DataFrame({'a': range(1000 + i)}).lazy().select(pl.col('a').sum()).collect().item()",
    ),
    "torch": ("import torch", "torch.manual_seed(i); a = torch.randn(200, 200); return float((a @ a).sum())"),
    "xgboost": (
        "import numpy as np, xgboost",
        """
        X = np.random.default_rng(i).normal(size=(200, 4))
        return float(xgboost.XGBClassifier(n_estimators=3).fit(X, X[:, 0] > 0).score(X, X[:, 0] > 0))
        """,
    ),
}


@pytest.mark.parametrize("package", NATIVE)
def test_native_libraries_compute_in_workers_as_in_the_script(project: Project, package: str) -> None:
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    imports, body = NATIVE[package]
    write(project, body, imports)
    ran = project.run("-j2")
    assert ran.exit_code == 0, ran.stderr
    code = "import json, jpipe; from pipeline import main, whole; print(json.dumps([jpipe.load(whole), main()]))"
    told = project.python("-c", code)
    assert told.exit_code == 0, told.stderr
    parallel, plain = json.loads(told.stdout)
    assert parallel == pytest.approx(plain)


UNSAFE = {
    "thread": "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()",
    "file": "import os\nLOG = open(os.path.join(os.path.dirname(__file__), 'log'), 'w')",
    "socket": "import socket\nLINK = socket.socketpair()",
    "connection": "import os, sqlite3\nDB = sqlite3.connect(os.path.join(os.path.dirname(__file__), 'db'))",
    "pipe": "import os\nENDS = os.pipe()",
}


@pytest.mark.parametrize("kind", UNSAFE)
def test_what_cannot_be_shared_by_forks_makes_workers_start_anew(project: Project, kind: str) -> None:
    env = install(project, "helper", UNSAFE[kind])
    write(project, "return i * i", "import helper")
    values, said = result_of(project, env)
    assert values == [0, 1, 4, 9]
    assert FELL_BACK in said


def test_a_harmless_package_is_imported_once_for_all_workers(project: Project) -> None:
    env = install(project, "helper", "import os\nopen(os.environ['NOTES'], 'a').write(f'{os.getpid()} ')")
    write(project, "import time; time.sleep(0.3); return os.getpid()", "import helper")
    notes = project.root / "notes.txt"
    pids, said = result_of(project, {**env, "NOTES": str(notes)})
    assert FELL_BACK not in said
    assert len(set(pids)) == 2
    imported = [int(pid) for pid in notes.read_text().split()]
    assert not set(pids) & set(imported)


def test_the_users_own_modules_are_not_imported_beside_the_run(project: Project) -> None:
    """What they do when they are imported may not be done twice at the same time."""
    (project.root / "own.py").write_text("import os\nos.mkdir('made')\nos.rmdir('made')\nVALUE = 3\n")
    write(project, "return VALUE * i", "from own import VALUE")
    for _ in range(3):
        values, said = result_of(project, None, "-f", "work")
        assert values == [0, 3, 6, 9]
        assert FELL_BACK not in said


@pytest.mark.parametrize(
    "setting", ["os.environ['MODE'] = 'b'", "os.environ.update(MODE='b')", "os.environ.setdefault('MODE', 'b')"]
)
def test_a_variable_set_before_an_import_counts_in_workers(project: Project, setting: str) -> None:
    env = install(project, "helper", "import os\nMODE = os.environ.get('MODE', 'a')")
    write(project, "return [helper.MODE, os.environ['MODE']]", f"import os\n    {setting}\n    import helper")
    values, said = result_of(project, env)
    assert values == [["b", "b"]] * 4
    assert FELL_BACK not in said


def test_another_copy_of_a_package_is_taken_where_the_file_says_so(project: Project) -> None:
    env = install(project, "helper", "NAME = 'installed'")
    (project.root / "vendor").mkdir()
    (project.root / "vendor" / "helper.py").write_text("NAME = 'vendored'\n")
    imports = (
        "import os, sys\n    sys.path.insert(0, os.path.join(os.path.dirname(__file__), 'vendor'))\n    import helper"
    )
    write(project, "return helper.NAME", imports)
    assert result_of(project, env)[0] == ["vendored"] * 4


def test_no_more_workers_than_items(project: Project) -> None:
    write(project, "import time; time.sleep(0.5); return os.getpid()")
    ran = project.run("-j16", "--set", "n=2", "-v")
    assert ran.exit_code == 0, ran.stderr
    workers = {end["worker"] for end in ran.of("item_end") if end["step"] == "work"}
    assert len(workers) == 2


@pytest.mark.parametrize("backend", ["loky", None])
def test_loky_starts_no_more_workers_than_there_are_items(project: Project, backend: str | None) -> None:
    """Also where it takes the place of forked workers: all of its workers start together."""
    env = install(project, "helper", UNSAFE["thread"])
    write(project, "return i", "" if backend else "import helper")
    script = f"""
        import jpipe, pipeline
        from joblib.externals.loky import reusable_executor
        if __name__ == "__main__":
            assert jpipe.run(pipeline.main, {{"n": 2}}, n_jobs=16, backend={backend!r}).value == [0, 1]
            print(reusable_executor._executor._max_workers)
    """
    project.write({"script.py": script})
    ran = project.python("script.py", env=env)
    # One more, for the step that takes them.
    assert (ran.exit_code, ran.stdout) == (0, "3\n"), ran.stderr


def test_code_that_was_edited_between_two_runs_of_one_process(project: Project) -> None:
    (project.root / "own.py").write_text("FACTOR = 2\n")
    write(project, "return [own.FACTOR * i, os.getpid()]", "import own")
    script = """
        import importlib, pathlib
        import jpipe, own, pipeline
        first = jpipe.run(pipeline.main, n_jobs=2).value
        pathlib.Path("own.py").write_text("FACTOR = 30  # edited\\n")
        importlib.reload(own); importlib.reload(pipeline)
        second = jpipe.run(pipeline.main, n_jobs=2).value
        assert [v for v, _ in first] == [0, 2, 4, 6], first
        assert [v for v, _ in second] == [0, 30, 60, 90], second
    """
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], cwd=project.root, capture_output=True, text=True, timeout=120
    )
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("backend", ["preloaded", "loky"])
def test_what_a_file_prints_when_it_is_imported_is_shown_once(project: Project, backend: str) -> None:
    imports = "import os, sys; print('to stdout'); print('to stderr', file=sys.stderr); os.system('echo from below')"
    write(project, "return i", imports)
    ran = project.run("-j2", env={"JPIPE_BACKEND": backend})
    assert ran.exit_code == 0
    assert ran.stderr.count("to stderr") == 1
    assert (ran.stdout + ran.stderr).count("to stdout") == 1
    assert (ran.stdout + ran.stderr).count("from below") == 1


CONTRACT = """
    import os
    import numpy as np
    import pytest
    import jpipe
    from joblib import Parallel, delayed, parallel_config

    def square(i): return i * i, os.getpid()
    def kind(a): return type(a).__name__, float(a.sum())
    def fail(i): raise ValueError(f"bad {i}")
    def end(i): os._exit(3)
    def threads(i): return os.environ["OMP_NUM_THREADS"]

    def main():
        with Parallel(2, backend="preloaded") as parallel:
            values = parallel(delayed(square)(i) for i in range(50))
            assert [v for v, _ in values] == [i * i for i in range(50)]
            assert os.getpid() not in {pid for _, pid in values}
            assert parallel(delayed(kind)(np.ones(300_000)) for _ in range(3)) == [("memmap", 300_000.0)] * 3
            with pytest.raises(ValueError, match="bad"):
                parallel(delayed(fail)(i) for i in range(4))
        lazily = Parallel(2, backend="preloaded", return_as="generator")
        assert list(lazily(delayed(abs)(-i) for i in range(9))) == [*range(9)]
        with pytest.raises(Exception, match="EXIT"):
            Parallel(2, backend="preloaded")(delayed(end)(i) for i in range(2))
        with parallel_config("preloaded", n_jobs=2, inner_max_num_threads=3):
            assert Parallel()(delayed(threads)(i) for i in range(2)) == ["3", "3"]

    if __name__ == "__main__":
        main()
"""


def test_joblibs_parallel_can_use_it(project: Project) -> None:
    (project.root / "script.py").write_text(textwrap.dedent(CONTRACT))
    ran = subprocess.run([sys.executable, "script.py"], cwd=project.root, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    assert "Traceback" not in ran.stderr


# ---- plain maps of one process


NOTED = """
    import os
    with open(os.environ["NOTES"], "a") as notes:
        notes.write(f"{os.getpid()} ")
"""
MAPS = """
    import importlib, os, pathlib, sys, threading, time, warnings
    import first, second
    import jpipe

    def workers(found):
        assert os.getpid() not in found
        return set(found)

    if __name__ == "__main__":
        # A process with threads, as a notebook's, does not fork itself.
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
        one, two = workers(jpipe.map(first.work, range(8))), workers(jpipe.map(second.work, range(8)))
        again = workers(jpipe.map(first.work, range(8)))
        assert not one & two and not one & again, "a worker of an earlier map"
        inside = jpipe.map(lambda i: first.helper.NAME, range(4))
        assert inside == ["helper"] * 4, inside
        print(len({*pathlib.Path(os.environ["NOTES"]).read_text().split()} - {str(os.getpid())}))
"""


BEHIND = "threading.Thread(target=time.sleep, args=(60,), daemon=True).start()"


@pytest.mark.parametrize(("unsafe", "servers"), [("", 1), (BEHIND, None)], ids=["safe", "with a thread"])
def test_maps_of_a_process_with_threads_import_once(project: Project, unsafe: str, servers: int | None) -> None:
    env = install(project, "helper", f"{textwrap.dedent(NOTED)}NAME = __name__\nimport threading, time\n{unsafe}\n")
    for name, packages in (("first", "helper"), ("second", "json, helper")):
        (project.root / f"{name}.py").write_text(
            f"import os, time, {packages}\ndef work(i):\n    time.sleep(0.02)\n    return os.getpid()\n"
        )
    project.write({"script.py": MAPS})
    ran = project.python("script.py", env={**env, "NOTES": str(project.root / "notes.txt")})
    assert ran.exit_code == 0, ran.stderr
    # Where forks of what has imported it are unsafe, each worker imports it for itself.
    assert int(ran.stdout) == servers if servers else int(ran.stdout) > 2


def test_maps_of_one_process_see_edits_and_variables_and_leave_each_other_alone(project: Project) -> None:
    project.write(
        {
            "own.py": "import os\nFACTOR = 2\ndef work(i): return FACTOR * i, os.environ.get('SAID')\n",
            "script.py": """
                import importlib, os, pathlib, threading, time
                import jpipe, own

                def slowly(i):
                    time.sleep(0.3)
                    return i

                if __name__ == "__main__":
                    found = []
                    thread = threading.Thread(target=lambda: found.extend(jpipe.map(slowly, range(8))))
                    thread.start()
                    time.sleep(0.5)
                    assert jpipe.map(own.work, range(3)) == [(0, None), (2, None), (4, None)]
                    # What decides about imports is another: another server, while the workers of this one go on.
                    os.environ["SAID"] = "yes"
                    assert jpipe.map(own.work, range(3)) == [(0, "yes"), (2, "yes"), (4, "yes")]
                    pathlib.Path("own.py").write_text(pathlib.Path("own.py").read_text().replace("2", "3000"))
                    importlib.reload(own)
                    assert jpipe.map(own.work, range(3)) == [(0, "yes"), (3000, "yes"), (6000, "yes")]
                    thread.join(60)
                    assert found == [*range(8)], found
                    child = os.fork()
                    if child == 0:
                        code = 1
                        try:
                            code = 7 if jpipe.map(own.work, range(2)) == [(0, "yes"), (3000, "yes")] else 1
                        finally:
                            os._exit(code)
                    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
                    assert jpipe.map(own.work, range(2)) == [(0, "yes"), (3000, "yes")]
            """,
        }
    )
    ran = project.python("-W", "ignore::DeprecationWarning", "script.py")
    assert (ran.exit_code, "Traceback" in ran.stderr) == (0, False), ran.stderr


def test_no_process_imports_for_workers_that_are_not_needed(project: Project) -> None:
    """Nor where items are so short that they run in the main process, or where no file has changed."""
    write(project, "import time; time.sleep(0.1); return i", "from pathlib import Path")
    counted = project.root / "started"
    env = install(project, "counting", f"import os; open({str(counted)!r}, 'a').write(f'{{os.getpid()}} ')")
    project.edit("pipeline.py", "from pathlib import Path", "from pathlib import Path; import counting")

    def processes(*flags: str, **variables: str) -> int:
        counted.unlink(missing_ok=True)
        ran = project.run("-j2", *flags, env={**env, **variables})
        assert ran.exit_code == 0, ran.stderr
        return len(set(counted.read_text().split()))

    assert processes() == 2, "this one, and that of the workers"
    assert processes("-v") == 1, "it has to look, and no file has changed"
    assert processes("--force", "work") == 2
    project.edit("pipeline.py", "return i", "return i + 1")
    assert processes() == 2
    project.edit("pipeline.py", "time.sleep(0.1)", "time.sleep(0)")
    assert processes() == 2
    project.edit("pipeline.py", "return i + 1", "return i + 2")
    assert processes() == 1, "all items together take less than workers to start"
