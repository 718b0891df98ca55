"""Fingerprints seen from outside: stable where nothing changed, explained where something did."""

from __future__ import annotations

import json
import linecache
import os
import random
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import jpipe
from jpipe.fingerprint import ChangeKind, Fingerprinter, PartKind, difference
from jpipe.system.ownership import owns

_CHILD = """
import json, sys
from pathlib import Path
root = Path(sys.argv[1])
sys.path.insert(0, str(root))
import pipeline
from jpipe.fingerprint import Fingerprinter
fingerprinter = Fingerprinter(root, Path(sys.argv[2]) if len(sys.argv) > 2 else None)
found = fingerprinter.of(pipeline.step)
print(json.dumps({
    "digest": found.digest.hex(),
    "unseen": [[u.what, u.name, u.file, u.line] for u in found.unseen],
    "environment": found.environment,
    "own": [[p.name, p.digest.hex()] for p in found.parts],
    "parts": [[p.kind.value, p.name, p.file, p.line, p.text, p.via] for p in found.parts],
    "result": repr(pipeline.step()),
}))
fingerprinter.save()
"""


class Project:
    """A project folder whose `pipeline.step` is fingerprinted in new processes."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, **files: str) -> None:
        for name, text in files.items():
            path = self.root / (name.replace("__", "/") + ".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text).lstrip("\n"))

    def read(self, cache: Path | None = None, cwd: Path | None = None, **env: str) -> dict[str, Any]:
        environment = {**os.environ, "PYTHONHASHSEED": str(random.randrange(2**31)), **env}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        command = [sys.executable, "-c", _CHILD, str(self.root), *([str(cache)] if cache else [])]
        done = subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "project").mkdir()
    return Project(tmp_path / "project")


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Writes a module and imports it; each call makes a new module of the same name."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def load_text(text: str) -> ModuleType:
        path = tmp_path / "sample.py"
        path.write_text(textwrap.dedent(text).lstrip("\n"))
        os.utime(path, (1_600_000_000, 1_600_000_000))
        monkeypatch.delitem(sys.modules, "sample", raising=False)
        module = ModuleType("sample")
        module.__file__ = str(path)
        monkeypatch.setitem(sys.modules, "sample", module)
        exec(compile(path.read_text(), str(path), "exec"), vars(module))
        return module

    return load_text


RICH = """
    import enum, re
    from dataclasses import dataclass
    from functools import lru_cache, partial

    NAMES = {"b", "a", "c"}
    TABLE = {"x": {3, 1, 2}, "y": frozenset("abc"), "z": re.compile("a+")}
    class Kind(enum.Enum):
        A = 1
        B = 2
    @dataclass
    class Model:
        kind: Kind = Kind.A
        def score(self): return helper(self.kind.value)
    @lru_cache
    def helper(x): return x if x in {1, 2, 3} else other(x)
    def other(x): return helper(x - 1)
    add = partial(helper, 1)
    def step(): return Model().score(), sorted(NAMES), add(), [f() for f in (lambda: 1, lambda: 2)]
"""


SETTLED = 0.1
"""Seconds after which a file is old enough for what parsing told of it to be kept."""


def test_equal_in_every_process(project: Project, tmp_path: Path) -> None:
    project.write(pipeline=RICH)
    found = [project.read(cwd=folder) for folder in (tmp_path, project.root, Path("/"))]
    assert len({one["digest"] for one in found}) == 1
    assert len({json.dumps(one["own"]) for one in found}) == 1, "sets have another order in each process"
    assert {part[4] for one in found for part in one["parts"] if part[1] == "pipeline.NAMES"} == {"{'a', 'b', 'c'}"}


def test_moving_and_renaming_keep_the_digest(project: Project) -> None:
    project.write(pipeline="K = 2\ndef h(x): return x * K\ndef step(): return h(1)\n")
    before = project.read()["digest"]
    project.write(
        lib__tools="FACTOR = 2\n\n# moved\ndef scale(x):\n    '''Scale.'''\n    return x * FACTOR\n",
        pipeline="import lib.tools as t\ndef step():\n    return t.scale(1)\n",
    )
    assert project.read()["digest"] == before


def test_parse_cache_changes_nothing(project: Project, tmp_path: Path) -> None:
    project.write(pipeline=RICH)
    time.sleep(SETTLED)
    cache = tmp_path / "cache" / "parsed"
    cold = project.read(cache)["digest"]
    assert cache.stat().st_size > 500
    assert project.read(cache)["digest"] == cold == project.read()["digest"]


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "noise"])
def test_damaged_parse_cache_is_a_miss(project: Project, tmp_path: Path, damage: str) -> None:
    project.write(pipeline=RICH)
    time.sleep(SETTLED)
    cache = tmp_path / "parsed"
    digest = project.read(cache)["digest"]
    raw = cache.read_bytes()
    flipped = bytearray(raw)
    flipped[len(raw) // 2] ^= 0xFF
    damaged = {"truncated": raw[:-40], "flipped": bytes(flipped), "empty": b"", "noise": random.randbytes(5000)}
    cache.write_bytes(damaged[damage])
    assert project.read(cache)["digest"] == digest
    assert project.read(cache)["digest"] == digest


@pytest.mark.parametrize("room", ["parts", "source/outline", "source/template", "source/syntax_tokens"])
def test_what_another_version_of_jpipe_parsed_is_a_miss(project: Project, tmp_path: Path, room: str) -> None:
    """Also where nobody thought of raising a number: what makes the facts has changed, and that is enough."""
    project.write(pipeline=RICH)
    cache = tmp_path / "parsed"
    other = tmp_path / "other" / "jpipe"
    shutil.copytree(Path(jpipe.__file__).parent, other, ignore=shutil.ignore_patterns("__pycache__"))
    with (other / "fingerprint" / f"{room}.py").open("a", encoding="utf-8") as file:
        file.write("\n_A_NEW_RULE = True\n")
    theirs = project.read(cache, tmp_path, PYTHONPATH=str(other.parent))
    kept = cache.read_bytes()
    assert project.read(cache)["digest"] == theirs["digest"]
    assert cache.read_bytes()[:32] != kept[:32], "what the other version kept was believed"


def test_an_old_pyc_counts_as_what_runs(project: Project) -> None:
    """CPython trusts a .pyc of the same second and size, and runs the old code under the new text."""
    path = project.root / "helper.py"
    project.write(helper="def f(): return 111\n", pipeline="import helper\ndef step(): return helper.f()\n")
    clock = 1_600_000_000
    os.utime(path, (clock, clock))
    first = project.read()
    project.write(helper="def f(): return 222\n")
    os.utime(path, (clock, clock))
    trapped = project.read()
    assert trapped["result"] == "111"
    assert [[what, file] for what, _, file, _ in trapped["unseen"]] == [
        ["code in memory differs from its source", "helper.py"]
    ]
    for compiled in (project.root / "__pycache__").iterdir():
        compiled.unlink()
    honest = project.read()
    assert honest["result"] == "222"
    assert not honest["unseen"]
    assert len({first["digest"], trapped["digest"], honest["digest"]}) == 3


def test_environment_variables_read_under_a_constant_name(project: Project) -> None:
    project.write(
        pipeline="""
        import os
        from os import environ, getenv
        NAME = "JPIPE_T_D"
        def step():
            home = "JPIPE_T_C" in environ
            return [os.environ.get("JPIPE_T_A"), getenv("JPIPE_T_B", "x"), home, os.getenv(NAME)]
        """
    )
    plain = project.read()
    assert sorted(plain["environment"]) == ["JPIPE_T_A", "JPIPE_T_B", "JPIPE_T_C", "JPIPE_T_D"]
    digests = {plain["digest"], *(project.read(**{f"JPIPE_T_{k}": "very secret"})["digest"] for k in "ABCD")}
    assert len(digests) == 5
    assert project.read(JPIPE_T_E="1")["digest"] == plain["digest"]
    assert "very secret" not in json.dumps(project.read(JPIPE_T_A="very secret")["parts"])


def test_what_cannot_be_seen_is_said(project: Project) -> None:
    project.write(
        pipeline="""
        import importlib, os
        SEEN = []
        COUNT = 0
        class Box: value = 1
        def step():
            global COUNT
            COUNT += 1
            SEEN.append(eval("1 + 1"))
            name = "val" + "ue"
            importlib.import_module("js" + "on")
            return getattr(Box, name), os.environ.get("HO" + "ME") is None
        """
    )
    found = {(what, line) for what, _, file, line in project.read()["unseen"] if file == "pipeline.py"}
    assert found == {
        ("global that the code assigns", 6),
        ("global container that the code changes", 8),
        ("evaluated text", 8),
        ("import under a computed name", 10),
        ("attribute under a computed name", 11),
        ("environment variable under a computed name", 11),
    }


def test_files_that_compiled_code_opens_are_said_unless_they_are_declared(project: Project) -> None:
    for module in ("duckdb", "pandas", "polars"):
        pytest.importorskip(module)
    project.write(
        pipeline="""
        import duckdb, pandas
        import polars as pl
        def own(path: "File"):
            return pl.read_csv(str(path))
        def step():
            if step is None:
                import h5py
                pl.scan_parquet("a"), h5py.File("b")
                pandas.read_csv("c")
                duckdb.sql("select x from 'd.csv'")
            frame = pl.DataFrame({"x": [1]})
            duckdb.sql("select x from frame")
            return own is None
        """
    )
    found = {
        (name, line) for what, name, _, line in project.read()["unseen"] if what == "files that compiled code opens"
    }
    assert found == {("pl.scan_parquet", 8), ("h5py.File", 8), ("duckdb.sql", 10)}


def test_processes_that_start_anew_are_named(project: Project) -> None:
    project.write(
        pipeline="""
        import multiprocessing as mp
        from joblib.externals.loky import get_reusable_executor
        def step():
            mp.get_context("fork"), mp.get_context()
            mp.get_context("spawn"), mp.get_context(method="forkserver")
            mp.set_start_method("spawn", force=True)
            return get_reusable_executor()
        """
    )
    found = {line: what for what, _, _, line in project.read()["unseen"]}
    assert found == dict.fromkeys((5, 6, 7), "processes that start anew")


def parts_of(module: ModuleType, tmp_path: Path, **options: Any) -> Any:
    return Fingerprinter(tmp_path).of(module.step, **options).parts


BEFORE = """
    RATE = 0.5
    LIMIT = 10
    def scale(x, by=LIMIT):
        return x * RATE * by
    class Model:
        bonus = 1
        def predict(self, x):
            return scale(x) + self.bonus
    def step():
        return Model().predict(2)
"""


@pytest.mark.parametrize(
    ("old", "new", "name", "line", "via"),
    [
        ("return x * RATE", "return x + RATE", "sample.scale", 3, "sample.Model.predict"),
        ("RATE = 0.5", "RATE = 0.6", "sample.RATE", 1, "sample.scale"),
        ("bonus = 1", "bonus = 2", "sample.Model.bonus", 6, "sample.Model"),
        ("return scale(x)", "return -scale(x)", "sample.Model.predict", 7, "sample.Model"),
        ("predict(2)", "predict(3)", "sample.step", 9, None),
        ("LIMIT = 10", "LIMIT = 11", "sample.scale(by=)", 3, "sample.scale"),
    ],
)
def test_difference_names_the_part(
    load: Callable[[str], ModuleType], tmp_path: Path, old: str, new: str, name: str, line: int, via: str | None
) -> None:
    before = parts_of(load(BEFORE), tmp_path)
    after = parts_of(load(BEFORE.replace(old, new)), tmp_path)
    (change,) = difference(before, after)
    assert (change.kind, change.name, change.file, change.line, change.via) == (
        ChangeKind.EDITED,
        name,
        "sample.py",
        line,
        via,
    )
    if change.part is PartKind.CONSTANT:
        assert change.diff is None
        assert str(change.new_text) in new
    else:
        assert change.diff is not None
        assert any(line.startswith("+") and new in line for line in change.diff.splitlines())


def test_difference_of_equal_code_is_empty(load: Callable[[str], ModuleType], tmp_path: Path) -> None:
    before = parts_of(load(BEFORE), tmp_path)
    assert difference(before, parts_of(load("# moved down\n" + textwrap.dedent(BEFORE)), tmp_path)) == []


def test_rebinding_is_named(load: Callable[[str], ModuleType], tmp_path: Path) -> None:
    text = """
        def low(x): return x
        def high(x): return -x
        pick = low
        def step(): return pick(1), low(1), high(1)
    """
    before = parts_of(load(text), tmp_path)
    after = parts_of(load(text.replace("pick = low", "pick = high")), tmp_path)
    (change,) = difference(before, after)
    assert (change.kind, change.name) == (ChangeKind.REBOUND, "sample.step: pick")
    assert (change.old_text, change.new_text) == ("sample.low", "sample.high")


def test_options(load: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = load(
        "import numpy as np\nK = 1\nDEBUG = 0\ndef extra(): return 1\ndef step(): return np.ones(K + DEBUG)\n"
    )
    (tmp_path / "table.csv").write_text("1")

    def digest(**options: Any) -> bytes:
        return Fingerprinter(tmp_path).of(module.step, **options).digest

    plain = digest()
    fixed = digest(version=3)
    with_file = digest(depends=["table.csv"])
    with_helper = digest(depends=[module.extra])
    with_package = digest(depends=["scipy"])
    with_variable = digest(env=["JPIPE_T_X"])
    no_packages = digest(packages="none")
    assert len({plain, fixed, with_file, with_helper, with_package, with_variable, no_packages}) == 7
    assert fixed != digest(version=4)
    module.DEBUG = 1
    assert digest() != plain
    assert digest(version=3) == fixed
    (tmp_path / "table.csv").write_text("2")
    assert digest(version=3, depends=["table.csv"]) != digest(version=3)
    monkeypatch.setenv("JPIPE_T_X", "1")
    assert digest(env=["JPIPE_T_X"]) != with_variable


def test_a_declared_folder_counts_with_all_that_is_in_it(load: Callable[[str], ModuleType], tmp_path: Path) -> None:
    step = load("def step(): return 1\n").step
    data = tmp_path / "data"
    (data / "deep").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    edits: dict[str, Callable[[], Any]] = {
        "nothing in it": lambda: None,
        "a file": lambda: (data / "a").write_text("1"),
        "its content": lambda: (data / "a").write_text("2"),
        "a file below": lambda: (data / "deep" / "b").write_text("1"),
        "its content too": lambda: (data / "deep" / "b").write_text("2"),
        "a file renamed": lambda: (data / "a").rename(data / "c"),
        "a file removed": lambda: (data / "c").unlink(),
        "an empty folder": lambda: (data / "empty").mkdir(),
        "a folder renamed": lambda: (data / "deep").rename(data / "deeper"),
        "a link into a void": lambda: (data / "void").symlink_to("nowhere"),
        "what it leads to": lambda: (data / "nowhere").write_text("1"),
        "a link to a folder": lambda: (data / "away").symlink_to("../elsewhere"),
        "a file behind a link": lambda: (tmp_path / "elsewhere" / "d").write_text("1"),
        "a link back": lambda: (data / "deeper" / "up").symlink_to(".."),
        "a file for a folder": lambda: ((data / "empty").rmdir(), (data / "empty").touch()),
    }
    known: dict[bytes, str] = {}
    for name, edit in edits.items():
        edit()
        found, again = (Fingerprinter(tmp_path).of(step, depends=[folder]).digest for folder in ("data", Path("data")))
        assert found == again and found not in known, (name, known.get(found))
        known[found] = name
    (data / "__pycache__").mkdir()
    assert Fingerprinter(tmp_path).of(step, depends=["data"]).digest in known, "Python's own"


def test_library_functions_by_name_and_version(tmp_path: Path) -> None:
    import textwrap as library

    fingerprinter = Fingerprinter(tmp_path)
    assert fingerprinter.of(library.dedent).digest != fingerprinter.of(library.indent).digest
    import numpy as np

    names = {part.name: part.text for part in fingerprinter.of(np.linalg.norm).parts if part.kind is PartKind.PACKAGE}
    assert names["numpy"] == np.__version__


def test_cells_of_a_notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    main = ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", main)

    def cell(number: int, text: str) -> None:
        name = f"<ipython-input-{number}-0123456789ab>"
        monkeypatch.setitem(linecache.cache, name, (len(text), None, text.splitlines(keepends=True), name))
        exec(compile(text, name, "exec"), vars(main))

    vars(main).update(namespace)
    cell(1, "K = 1\ndef h(x):\n    return x + K\n")
    cell(2, "def step():\n    return h(1)\ndef unrelated():\n    return 5\n")
    first = Fingerprinter(tmp_path).of(vars(main)["step"]).digest
    other = Fingerprinter(tmp_path).of(vars(main)["unrelated"]).digest
    cell(3, "K = 1\ndef h(x):\n    # a comment\n    return x + K\n")
    assert Fingerprinter(tmp_path).of(vars(main)["step"]).digest == first
    cell(4, "K = 1\ndef h(x):\n    return x - K\n")
    assert Fingerprinter(tmp_path).of(vars(main)["step"]).digest != first
    assert Fingerprinter(tmp_path).of(vars(main)["unrelated"]).digest == other


def test_code_inside_values(load: Callable[[str], ModuleType], tmp_path: Path) -> None:
    text = """
        class Model:
            def predict(self):
                return 1
        def make(n):
            def inner():
                return n
            return inner
    """
    old = load(text)
    fingerprinter = Fingerprinter(tmp_path)
    before = fingerprinter.of_object(old.Model)
    assert fingerprinter.of_reference("sample", "Model") == before
    assert owns(old.Model)
    assert owns(old.make(1))
    assert not owns(os.path.join)
    assert fingerprinter.of_object(old.make(1)) != fingerprinter.of_object(old.make(2))
    new = load(text.replace("return 1", "return 2"))
    assert Fingerprinter(tmp_path).of_object(new.Model) != before
    gone = {Fingerprinter(tmp_path).of_reference(*where) for where in (("sample", "Nobody"), ("no_such_module", "x"))}
    assert len(gone) == 1
