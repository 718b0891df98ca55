"""Replay the history of a real library as the user's own code: nothing stale may come out, and what runs is counted.

Each commit that touches the package is written to a folder beside a pipeline whose steps call it. The plain script says
what is right, and which definitions ran; a step that runs again although none of those was edited runs needlessly.

    python benchmarks/replays.py more-itertools ~/clones/more-itertools --commits 40 --jpipe .
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

MANIFEST = Path(__file__).with_name("replays.toml")
RUN = """
import json, sys
sys.dont_write_bytecode = True
from jpipe import api
try:
    from jpipe.define import loader
except ImportError:  # before rooms were made
    from jpipe import loader
run = api.run(loader.load("pipeline.py"), n_jobs=1, keep_going=True, observer=lambda event: None)
values = {}
for name in json.loads(sys.argv[1]):
    try:
        values[name] = repr(run[name][0])
    except Exception:
        values[name] = "failed"
print(json.dumps({"ran": [end.step for end in run.steps if end.ran or end.failed], "values": values}))
"""
SCRIPT = """
import hashlib, json, os, sys, types
sys.dont_write_bytecode = True
plain = types.ModuleType("jpipe")
plain.step = plain.pipeline = lambda function: function
sys.modules["jpipe"] = plain
sys.path.insert(0, "")
import pipeline
here = os.getcwd() + os.sep

def said(code):
    inner = [said(c) if isinstance(c, types.CodeType) else repr(c) for c in code.co_consts]
    return repr((code.co_name, code.co_code, code.co_names, code.co_varnames, code.co_freevars, inner))

def ran(step):
    codes = set()
    def heard(frame, event, argument):
        if event == "call" and frame.f_code.co_filename.startswith(here):
            codes.add(frame.f_code)
    sys.setprofile(heard)
    try:
        value = repr(step())
    except Exception:
        value = "failed"
    finally:
        sys.setprofile(None)
    return value, hashlib.sha256("".join(sorted(map(said, codes))).encode()).hexdigest()

print(json.dumps({name: ran(getattr(pipeline, name)) for name in json.loads(sys.argv[1])}))
"""


class Library(NamedTuple):
    """What is replayed of a library: its package in the repository, and expressions over it."""

    package: str
    steps: list[str]

    @property
    def names(self) -> list[str]:
        """The names of the steps."""
        return [f"s{number}" for number in range(len(self.steps))]

    def pipeline(self) -> str:
        """The pipeline file."""
        steps = "".join(
            f"@step\ndef {name}():\n    return {text}\n\n" for name, text in zip(self.names, self.steps, strict=True)
        )
        calls = ", ".join(f"{name}()" for name in self.names)
        head = f"import {Path(self.package).name} as m\nfrom jpipe import pipeline, step\n\n"
        return f"{head}{steps}@pipeline\ndef main():\n    return [{calls}]\n"


class Count(NamedTuple):
    """What came of a replay, in items of steps."""

    commits: int
    items: int
    ran: int
    needless: int
    stale: list[str]


def commits(clone: Path, package: str, count: int) -> list[str]:
    """The last commits that touch the package, the oldest first."""
    told = _git(clone, "log", "--first-parent", f"-{count}", "--format=%H", "--", package)
    return told.decode().split()[::-1]


def write(clone: Path, commit: str, package: str, folder: Path) -> None:
    """Bring the package in a folder to a commit."""
    shutil.rmtree(folder / package, ignore_errors=True)
    with tarfile.open(fileobj=io.BytesIO(_git(clone, "archive", commit, package))) as archive:
        archive.extractall(folder, filter="data")


def replay(library: Library, clone: Path, count: int, jpipe: str) -> Count:
    """Replay a history."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "jpipe.toml").touch()
        (folder / "pipeline.py").write_text(library.pipeline(), "utf-8")
        ran = needless = 0
        stale: list[str] = []
        before: dict[str, str] = {}
        chosen = commits(clone, library.package, count)
        for number, commit in enumerate(chosen):
            write(clone, commit, library.package, folder)
            right = _python(folder, SCRIPT, library.names, jpipe, "-OO")
            given = _python(folder, RUN, library.names, jpipe)
            for name, (value, codes) in right.items():
                if given["values"][name] != value:
                    stale.append(f"{commit[:9]} {name}: {given['values'][name]:.60} in place of {value:.60}")
                if number and name in given["ran"]:
                    ran += 1
                    needless += before[name] == codes and value != "failed"
                before[name] = codes
    return Count(len(chosen), max(0, len(chosen) - 1) * len(library.steps), ran, needless, stale)


def _git(clone: Path, *words: str) -> bytes:
    return subprocess.run(["git", "-C", str(clone), *words], check=True, capture_output=True).stdout


def _python(folder: Path, script: str, names: list[str], jpipe: str, *flags: str) -> dict[str, Any]:
    environment = {**os.environ, "PYTHONPATH": os.path.abspath(jpipe), "JPIPE_PROGRESS": "off"}
    done = subprocess.run(
        [sys.executable, *flags, "-c", script, json.dumps(names)],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def told(name: str, count: Count) -> Iterator[str]:
    """The result in words."""
    share = count.needless / count.ran if count.ran else 0.0
    yield (
        f"{name}: {count.commits} commits, {count.items} items; {count.ran} ran again, {count.needless} of them"
        f" needlessly ({share:.0%}); {len(count.stale)} stale"
    )
    yield from (f"  STALE {one}" for one in count.stale)


def main() -> int:
    """The command."""
    known = {name: Library(**table) for name, table in tomllib.loads(MANIFEST.read_text("utf-8")).items()}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library", choices=sorted(known))
    parser.add_argument("clone", type=Path, help="a local clone of its repository")
    parser.add_argument("--commits", type=int, default=40)
    parser.add_argument("--jpipe", default=".", help="the folder that holds the jpipe to try")
    given = parser.parse_args()
    count = replay(known[given.library], given.clone, given.commits, given.jpipe)
    print("\n".join(told(given.library, count)))
    return 1 if count.stale else 0


if __name__ == "__main__":
    sys.exit(main())
