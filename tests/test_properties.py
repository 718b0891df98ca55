"""For any pipeline, edit, number of workers and failures before, a run gives what the plain script gives (P11)."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import pytest

from tests.properties.source import Source

STATES = 3
"""A pipeline and two edits of it; with going back to the first, four runs."""
SERVER = """
import faulthandler, json, os, sys
import joblib, numpy
import jpipe
from jpipe import api
from jpipe.decide.instant.answer import Asked, recall
from jpipe.define import loader

sys.dont_write_bytecode = True
out = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)

def script(folder):
    import types
    plain = types.ModuleType("jpipe")
    plain.step = lambda function=None, **options: function or (lambda other: other)
    plain.pipeline = lambda function: function
    plain.map = lambda function, *lists, **same: [function(*items, **same) for items in zip(*lists)]
    plain.File = type("File", (str,), {"__repr__": lambda file: f"File({str(file)!r})"})
    sys.modules["jpipe"] = plain
    sys.path.insert(0, folder)
    import pipeline
    try:
        return {"value": repr(pipeline.main())}
    except ValueError:
        return {"value": "failed"}

def answer(folder, jobs, backend):
    os.chdir(folder)
    if backend == "script":
        return script(folder)
    if backend == "kept":
        return {"value": repr(api.stored_value(loader.load("pipeline.py")))}
    asked = Asked(os.path.abspath("pipeline.py"), None, (), (), os.path.abspath("cache"))
    told = {"instant": recall(asked) is not None}
    run = api.run(loader.load("pipeline.py"), n_jobs=jobs, backend=backend, asked=asked)
    told |= {"ran": sum(end.ran for end in run.steps), "failures": [str(failure.message) for failure in run.failures]}
    try:
        return {**told, "value": repr(run.value)}
    except jpipe.errors.JpipeError as error:
        return {**told, "value": "failed" if "ValueError" in str(error) else repr(error)}

for line in sys.stdin:
    child = os.fork()
    if child == 0:
        faulthandler.dump_traceback_later(150, exit=True)
        try:
            said = answer(*json.loads(line))
        except BaseException:
            import traceback
            said = {"value": traceback.format_exc()}
        out.write(json.dumps(said) + "\\n")
        out.flush()
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        out.write(json.dumps({"value": "the process hung or died"}) + "\\n")
        out.flush()
"""


class Server:
    """A process that has imported jpipe, and answers each question in a copy of itself."""

    def __init__(self, stdin: IO[str], stdout: IO[str]) -> None:
        self._stdin, self._stdout = stdin, stdout

    def ask(self, folder: Path, jobs: int, backend: str | None) -> dict[str, Any]:
        """What a run of the project in `folder` gives, or with `backend="script"` what the plain script gives."""
        self._stdin.write(json.dumps([str(folder), jobs, backend]) + "\n")
        self._stdin.flush()
        found: dict[str, Any] = json.loads(self._stdout.readline())
        return found


@contextlib.contextmanager
def serving(hash_seed: str) -> Iterator[Server]:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    with subprocess.Popen(
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        yield Server(process.stdin, process.stdout)
        process.stdin.close()


@pytest.fixture(scope="module")
def servers() -> Iterator[Sequence[Server]]:
    """Two, with different hash seeds."""
    with serving("1") as one, serving("2") as other:
        yield one, other


def write(folder: Path, files: dict[str, str], clock: int) -> None:
    """Bring a project to a state, with times that CPython and jpipe can tell apart."""
    for path in [p for p in folder.rglob("*") if p.is_file() and "cache" not in p.parts]:
        if path.relative_to(folder).as_posix() not in files:
            path.unlink()
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")
            os.utime(path, (clock, clock))


Pool = tuple[int, str | None]
EVERYDAY: tuple[Pool, ...] = (*[(1, None)] * 12, *[(2, "threading")] * 6, (2, "preloaded"))
"""Workers with modules of their own take a third of a second to come; at night half of the runs have them."""
NIGHTLY: tuple[Pool, ...] = ((1, None), (2, "threading"), (2, "preloaded"), (2, "preloaded"), (2, "loky"))


def check(servers: Sequence[Server], folder: Path, seed: int, pools: Sequence[Pool] = EVERYDAY) -> None:
    source, draw = Source(seed), random.Random(seed)
    folder.mkdir()
    (folder / "jpipe.toml").touch()
    first = {**source.files(), "jpipe.toml": ""}
    states = [first]
    for _ in range(STATES - 1):
        source.edit()
        states.append({**source.files(), "jpipe.toml": ""})
    given = {}
    for number, files in enumerate([*states, first]):
        write(folder, files, 1_600_000_000 + 10 * number)
        expected = draw.choice(servers).ask(folder, 1, "script")["value"]
        jobs, backend = draw.choice(pools)
        given = draw.choice(servers).ask(folder, jobs, backend)
        where = f"seed {seed}, state {number}, {jobs} jobs, {backend}"
        assert given["value"] == expected, f"{where}: {given['value']} {given.get('failures')}"
        if number == 1 and expected != "failed":
            kept = draw.choice(servers).ask(folder, 1, "kept")["value"]
            assert kept == expected, f"{where}: {kept} is kept"
        assert not (given["instant"] and given["ran"]), f"{where}: it was said to be up to date, and was not"
    if given["value"] != "failed" and not source.leaves_files:
        assert given["ran"] == 0, f"seed {seed}: going back to the first state ran something"
    shutil.rmtree(folder)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="one process a run takes hours")
@pytest.mark.parametrize("seeds", [range(start, start + 10) for start in range(0, 150, 10)], ids=str)
def test_a_run_gives_what_the_plain_script_gives(servers: Sequence[Server], tmp_path: Path, seeds: range) -> None:
    for seed in seeds:
        check(servers, tmp_path / str(seed), seed)


@pytest.mark.nightly
@pytest.mark.skipif(not hasattr(os, "fork"), reason="one process a run takes hours")
@pytest.mark.parametrize("seeds", [range(start, start + 100) for start in range(200, 2200, 100)], ids=str)
def test_many_more_pipelines_and_edits(servers: Sequence[Server], tmp_path: Path, seeds: range) -> None:
    for seed in seeds:
        check(servers, tmp_path / str(seed), seed, NIGHTLY)
