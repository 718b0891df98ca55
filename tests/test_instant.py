"""The instant answer: given without importing the pipeline file, and never when anything that matters has changed."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.usefixtures("one_job")

FILES = {
    "pyproject.toml": "[project]\nname = 'study'\nversion = '0'\n",
    "pipeline.py": """
        import os
        from pathlib import Path
        import fakelib
        import jpipe
        import settings
        from helpers import scaled

        HERE = Path(__file__).parent
        with open(os.environ["IMPORTED"], "a") as log:
            log.write("x")
        FACTOR = int((HERE / "factor.txt").read_text())
        INPUTS = sorted(name for name in os.listdir(HERE / "inputs"))
        MODE = os.environ.get("STUDY_MODE", "plain")

        @jpipe.step
        def read(name: str) -> int:
            return len((HERE / "inputs" / name).read_text())

        @jpipe.step
        def combine(sizes: list[int], factor: int, mode: str, extra: int) -> str:
            return f"{mode} {scaled(sum(sizes)) * factor + settings.OFFSET + fakelib.f(extra)}"

        @jpipe.pipeline
        def main(extra: int = 1):
            return combine([read(name) for name in INPUTS], FACTOR, MODE, extra)
    """,
    "helpers.py": "def scaled(x):\n    return x * 2\n",
    "settings.py": "OFFSET = 5\n",
    "factor.txt": "3",
    "inputs/a.txt": "aaa",
    "inputs/b.txt": "bb",
    "libs/site-packages/fakelib/__init__.py": "def f(x):\n    return x\n",
    "libs/site-packages/fakelib-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: fakelib\nVersion: 1.0\n",
    "libs/site-packages/fakelib-1.0.dist-info/top_level.txt": "fakelib\n",
    "libs/site-packages/fakelib-1.0.dist-info/RECORD": "fakelib/__init__.py,,\n",
}


class Study:
    """A project whose pipeline file leaves a mark whenever it is imported."""

    def __init__(self, project: Any, marks: Path) -> None:
        self.project = project
        self.marks = marks
        packages = str(project.root / "libs" / "site-packages")
        path = os.pathsep.join(filter(None, (packages, os.environ.get("PYTHONPATH"))))
        self.env = {"IMPORTED": str(marks), "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}

    def imports(self) -> int:
        return len(self.marks.read_text()) if self.marks.exists() else 0

    def run(self, *arguments: str, **env: str) -> tuple[bool, dict[str, int]]:
        """Whether the file was imported, and how many items ran, by step."""
        before = self.imports()
        result = self.project.run("-j", "1", *arguments, env={**self.env, **env})
        assert result.exit_code == 0, result.stderr
        return self.imports() > before, result.ran


@pytest.fixture
def study(project: Any, tmp_path_factory: pytest.TempPathFactory) -> Study:
    project.write(FILES)
    made = Study(project, tmp_path_factory.mktemp("marks") / "imported")
    assert made.run() == (True, {"read": 2, "combine": 1})
    assert made.run() == (False, {}), "the second run is answered at once"
    return made


def test_run_plan_and_status_answer_without_importing_the_file(study: Study) -> None:
    before = study.imports()
    for command in (["run"], ["plan"], ["status"], ["status", "--check"], ["plan", "--json"], ["run", "--json"]):
        result = study.project.command(*command, env=study.env)
        assert result.exit_code == 0, result.stderr
    assert study.imports() == before
    ends = study.project.run(env=study.env)
    assert ends.counts == (0, 3)
    assert {name: end["items"] for name, end in ends.steps.items()} == {"read": 2, "combine": 1}


def test_one_run_after_an_edit_is_enough(study: Study) -> None:
    """Also where Python compiled the file a moment after it was written, so that jpipe looks into what it compiled."""
    study.project.write({"helpers.py": "def scaled(x):\n    return x * 3\n"})
    os.utime(study.project.root / "helpers.py")
    assert study.run(PYTHONDONTWRITEBYTECODE="") == (True, {"combine": 1})
    assert study.run(PYTHONDONTWRITEBYTECODE="") == (False, {})


def test_what_a_package_does_when_it_is_imported_is_its_own_affair(study: Study) -> None:
    """matplotlib looks for fonts with another program, the first time; a program that the user's code starts counts."""
    starts = "import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'pass'], check=True)\n"
    library = study.project.root / "libs" / "site-packages" / "fakelib" / "__init__.py"
    library.write_text(f"{starts}\n\n{library.read_text()}\n\ndef start():\n    {starts.replace(chr(10), '; ')}\n")
    assert study.run()[0]
    assert not study.run()[0]
    study.project.edit("pipeline.py", "import settings\n", "import settings\nfakelib.start()\n")
    assert study.run()[0]
    assert study.run()[0]


def test_another_parameter_or_target_is_another_question(study: Study) -> None:
    assert study.run("--set", "extra=2") == (True, {"combine": 1})
    assert study.run("--set", "extra=2") == (False, {})
    assert study.run() == (False, {})
    assert study.run("pipeline.py", "read") == (True, {})


@pytest.mark.parametrize(
    ("file", "old", "new", "ran"),
    [
        ("pipeline.py", "return len(", "return 1 + len(", {"read": 2, "combine": 1}),
        ("helpers.py", "x * 2", "x * 3", {"combine": 1}),
        ("settings.py", "OFFSET = 5", "OFFSET = 6", {"combine": 1}),
        ("factor.txt", "3", "4", {"combine": 1}),
        ("inputs/a.txt", "aaa", "aaaa", {"read": 1, "combine": 1}),
        ("pipeline.py", "import settings", "import settings  # a comment", {}),
        ("pyproject.toml", "version = '0'", "version = '1'", {}),
    ],
    ids=["module source", "helper", "imported data", "file read at import", "input of a step", "comment", "pyproject"],
)
@pytest.mark.parametrize("same_second", [False, True])
def test_an_edited_file_is_seen(
    study: Study, file: str, old: str, new: str, ran: dict[str, int], same_second: bool
) -> None:
    study.project.edit(file, old, new, same_second=same_second)
    assert study.run() == (True, ran)
    assert study.run() == (False, {})


def test_a_file_that_appears_in_a_listed_folder_is_seen(study: Study) -> None:
    study.project.write({"inputs/c.txt": "cccc"})
    assert study.run() == (True, {"read": 1, "combine": 1})
    (study.project.root / "inputs" / "c.txt").unlink()
    assert study.run() == (True, {}), "what was there before is found again"


def test_an_environment_variable_is_seen(study: Study) -> None:
    assert study.run(STUDY_MODE="other") == (True, {"combine": 1})
    assert study.run(STUDY_MODE="other") == (False, {})
    assert study.run() == (True, {})
    assert study.run(UNRELATED="1") == (False, {})


def test_a_package_version_is_seen(study: Study) -> None:
    site = study.project.root / "libs" / "site-packages"
    info = site / "fakelib-1.1.dist-info"
    (site / "fakelib-1.0.dist-info").rename(info)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fakelib\nVersion: 1.1\n")
    assert study.run() == (True, {"combine": 1})


def test_a_new_module_that_shadows_another_is_seen(study: Study) -> None:
    study.project.write({"fakelib.py": "def f(x):\n    return x + 100\n"})
    assert study.run() == (True, {"combine": 1})


def test_another_interpreter_is_seen(study: Study, tmp_path: Path) -> None:
    other = tmp_path / "environment"
    other.mkdir()
    link = other / Path(sys.executable).name
    link.symlink_to(sys.executable)
    before = study.imports()
    done = study.project.python("-m", "jpipe", "run", env=study.env)
    assert done.exit_code == 0
    assert study.imports() == before
    import subprocess

    environment = {**os.environ, **study.env, "PYTHONPATH": os.pathsep.join([study.env["PYTHONPATH"], *sys.path])}
    command = [str(link), "-m", "jpipe", "run"]
    subprocess.run(command, cwd=study.project.root, env=environment, check=True, capture_output=True)
    assert study.imports() == before + 1


@pytest.mark.parametrize("how", ["damaged", "removed", "emptied"])
def test_a_record_that_is_not_as_it_was_is_seen(study: Study, how: str) -> None:
    packs = sorted((study.project.cache / "v1" / "families").rglob("*.pack"))
    assert packs
    for pack in packs:
        if how == "removed":
            pack.unlink()
            continue
        pack.chmod(0o600)
        content = bytearray(pack.read_bytes())
        content[len(content) // 2] ^= 1
        pack.write_bytes(b"" if how == "emptied" else bytes(content))
    imported, _ = study.run()
    assert imported
    assert study.run()[1] == {}, "it healed"


def test_a_cache_that_is_gone_is_seen(study: Study) -> None:
    shutil.rmtree(study.project.cache)
    assert study.run() == (True, {"read": 2, "combine": 1})


def test_a_damaged_note_is_no_answer(study: Study) -> None:
    (note,) = (path for path in (study.project.cache / "v1" / "answers").iterdir() if not path.suffix)
    raw = bytearray(note.read_bytes())
    raw[40] ^= 1
    note.write_bytes(bytes(raw))
    assert study.run() == (True, {})


MOMENTS = {
    "clock": "NOW = time.time()",
    "a name for the clock": "clock = time.monotonic\nNOW = clock()",
    "an attribute by name": "NOW = getattr(time, 'time')()",
    "a date": "NOW = datetime.datetime.now().year",
    "a constructor": "class A:\n    def __init__(self):\n        self.today = datetime.date.today()\nNOW = A()",
    "a property": "class Config:\n    @property\n    def now(self):\n        return time.time()\nNOW = Config().now",
    "a default": "def moment(now=time.time()):\n    return now",
    "a table of functions": "NOW = {'clock': time.time}['clock']()",
    "a helper": "def moment():\n    return time.time()\nNOW = moment()",
    "randomness": "DRAW = random.random()",
    "randomness by a method": "DRAW = random.choice([1, 2])",
    "an own generator": "DRAW = random.Random().random()",
    "randomness of numpy": "DRAW = numpy.random.rand()",
    "entropy": "DRAW = secrets.token_hex()",
    "an identifier": "ID = uuid.uuid4().hex",
    "a temporary name": "NAME = tempfile.mkdtemp()",
    "the process": "PID = os.getpid()",
    "a program": "OUT = subprocess.run(['true'])",
    "arguments": "MODE = sys.argv[1:]",
}


@pytest.mark.parametrize("way", MOMENTS)
def test_what_depends_on_the_moment_gets_no_instant_answer(study: Study, way: str) -> None:
    head = "import datetime, os, random, secrets, subprocess, sys, tempfile, time, uuid\nimport numpy\n"
    study.project.write({"settings.py": f"{head}{MOMENTS[way]}\nOFFSET = 5\n"})
    study.run()
    assert study.run()[0], "the file is imported each time"
    assert "every run" in study.project.command("check", env=study.env).stdout


MENTIONS = """
    import argparse, datetime, logging, os, random, subprocess, sys, time, uuid
    from pathlib import Path

    log = logging.getLogger(__name__)
    log.warning("a record has a time")
    random.seed(3)
    DRAW = random.random()
    OWN = random.Random(5).random()
    THERE = Path("missing").exists()
    SIZE = os.path.getsize("factor.txt")

    def timed(timing=False):
        return time.time() if timing else 0

    def never():
        return uuid.uuid4(), input(), sys.stdin.read(), subprocess.run(["false"])

    TABLE = {"never": never, "timed": timed}
    BEGUN = TABLE["timed"]()
    id, input, now, today = 1, 2, 3, 4

    class Clock:
        def now(self):
            return "noon"

    NOON = Clock().now()
    OFFSET = 5

    if __name__ == "__main__":
        print(sys.argv[1], datetime.datetime.now())
"""


def test_a_mention_is_no_call(study: Study) -> None:
    study.project.write({"settings.py": MENTIONS})
    study.run()
    assert study.run() == (False, {})
    assert "every run" not in study.project.command("check", env=study.env).stdout
    (study.project.root / "missing").touch()
    assert study.run()[0], "what was looked at is a condition"


DECIDED = {
    "file_argument": ("", "x", "File('data')"),
    "annotation": ("", "x: File", "'data'"),
    "files_in_a_dict": ("", "x", "{'a': [File('data')]}"),
    "depends_file": ("(depends=['data'])", "x", "1"),
    "depends_folder": ("(depends=['folder'])", "x", "1"),
    "hash_that_reads": ("(hash={Named: lambda named: open(named.name).read()})", "x", "Named('data')"),
    "hash_that_looks": ("(hash={Named: lambda named: os.path.getsize(named.name)})", "x", "Named('data')"),
    "hash_that_lists": ("(hash={Named: lambda named: sorted(os.listdir(named.name))})", "x", "Named('folder')"),
    "state_that_reads": ("", "x", "Reading('data')"),
    "layout_that_reads": ("", "x", "open('data').read()"),
    "layout_that_looks": ("", "x", "os.path.getsize('data')"),
    "import_inside": ("", "x", "'lazy'"),
    "computed_import": ("", "x", "'computed'"),
}


@pytest.mark.parametrize("jobs", [pytest.param("-j1", marks=pytest.mark.slow), "-j2"])
def test_whatever_a_decision_looked_at_is_a_condition_of_the_answer(project: Any, jobs: str) -> None:
    steps = "".join(
        f"@step{options}\ndef {name}({parameter}):\n    return look(x), '{name}'\n\n"
        for name, (options, parameter, _) in DECIDED.items()
    )
    lists = "".join(f"    map({name}, [{argument}])\n" for name, (*_, argument) in DECIDED.items())
    main = f"@pipeline\ndef main(which: str = ''):\n{lists}    return 1\n"
    project.write({"plug/__init__.py": "", "plug/lazy.py": "VALUE = 1\n", "plug/computed.py": "VALUE = 1\n"})
    (project.root / "pipeline.py").write_text(f"{textwrap.dedent(DECIDED_HEAD)}\n{steps}{main}")
    change(project, "1")
    assert project.run(jobs).ran == dict.fromkeys(DECIDED, 1)
    assert project.run(jobs).ran == {}
    for name in DECIDED:  # each alone, since one condition that does not hold is enough
        project.run(jobs, name)
    change(project, "another")
    for name in DECIDED:
        assert project.run(jobs, name).ran == {name: 1}


DECIDED_HEAD = """
    import importlib, os, subprocess
    from jpipe import File, map, pipeline, step

    class Named:
        def __init__(self, name):
            self.name = name

    class Reading(Named):
        def __getstate__(self):
            return {"name": self.name, "content": open(self.name).read()}

    def look(x):
        if x == "lazy":
            import plug.lazy
            return plug.lazy.VALUE
        if x == "computed":
            return importlib.import_module("plug." + x[:4] + "uted").VALUE
        return subprocess.run("cat dat* folder/*", shell=True, capture_output=True, text=True).stdout
"""


def change(project: Any, text: str) -> None:
    """Change everything that is looked at."""
    (project.root / "folder").mkdir(exist_ok=True)
    (project.root / "folder" / text).write_text(text)
    (project.root / "data").write_text(text)
    for name in ("lazy", "computed"):
        (project.root / "plug" / f"{name}.py").write_text(f"VALUE = {len(text)}\n")


def test_the_run_that_was_answered_at_once_is_the_last_one(project: Any) -> None:
    project.write(
        """
        from jpipe import pipeline, step

        @step
        def a(n):
            return n * 10

        @pipeline
        def main(n: int = 1):
            return a(n)
        """
    )
    for n in (1, 2, 1, 2):
        project.run("--set", f"n={n}")
        assert project.command("show", "a").stdout.strip() == str(n * 10)
    project.command("plan", "--set", "n=1")
    project.run("--set", "n=1")
    assert project.command("show", "a").stdout.strip() == "10"


MEANWHILE = """
    import time
    from jpipe import File, pipeline, step

    @step
    def opens():
        return open("data").read()

    @step
    def takes(file: File):
        return len(str(file))

    @step
    def plain(n):
        return n + 1

    @step
    def last(result):
        time.sleep(2)
        return result

    @pipeline
    def main():
        return last({call})
"""


@pytest.mark.parametrize("call", ["opens()", 'takes("data")', "plain(1)"])
def test_what_becomes_of_a_call_that_is_done_before_the_run_is_over_is_seen_by_the_next_run(
    project: Any, call: str
) -> None:
    """Its file is edited; where there is none, its record is removed."""
    project.write({"pipeline.py": MEANWHILE.replace("{call}", call), "data": "1", "jpipe.toml": ""})
    step = call.partition("(")[0]
    with project.start("run", "--json") as running:
        while f'"step_end","step":"{step}"' not in running.stdout.readline():
            pass
        (project.root / "data").write_text("22")
        for pack in project.cache.glob("v1/**/*.pack") if step == "plain" else ():
            pack.unlink()
    assert running.returncode == 0
    assert step in project.run().ran
