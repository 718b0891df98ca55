"""Other tools behind the same door as jpipe: each runs all steps of a case once, in a new process.

The functions of a case are given to a tool from outside, as its users would write it. Which of them ran is seen by a
profile function, so nothing that a tool says about itself is believed. A tool's defaults are taken: no adapter tells it
about helpers.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DRIVER = '''\
import json, os, sys, threading

CACHE, ORDER, NEEDS, OUT = json.loads(sys.argv[1])
RAN = set()


def seen(frame, event, argument):
    if event == "call" and frame.f_code.co_name in NEEDS and frame.f_code.co_filename.endswith("pipeline.py"):
        RAN.add(frame.f_code.co_name)


def watched(action):
    """What an action gives; the steps that are called meanwhile are noted."""
    threading.setprofile(seen)
    sys.setprofile(seen)
    try:
        return action()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


def functions():
    import pipeline

    return {name: getattr(pipeline, name) for name in ORDER}


def in_order(call):
    """Call the steps one after the other, each with the results that it needs."""
    results = {}
    for name in ORDER:
        results[name] = call(name, {need: results[need] for need in NEEDS[name]})
    return results


'''
END = """
with open(OUT, "w") as file:
    json.dump(sorted(RAN), file)
"""

JOBLIB = """
import joblib
memory = joblib.Memory(CACHE, verbose=0)
steps = {name: memory.cache(function) for name, function in functions().items()}
watched(lambda: in_order(lambda name, needs: steps[name](**needs)))
"""
CHECKPOINTER = """
from checkpointer import checkpoint
steps = {name: checkpoint(directory=CACHE%s)(function) for name, function in functions().items()}
watched(lambda: in_order(lambda name, needs: steps[name](**needs)))
"""
HAMILTON = """
from typing import Any
from hamilton import ad_hoc_utils, driver
import inspect
steps = functions()
for function in steps.values():
    known = inspect.signature(function).parameters
    function.__annotations__ = {**dict.fromkeys(known, Any), "return": Any}
module = ad_hoc_utils.create_temporary_module(*steps.values())
built = driver.Builder().with_modules(module).with_cache(path=CACHE).build()
watched(lambda: built.execute(ORDER))
"""
PIPEFUNC = """
from pipefunc import PipeFunc, Pipeline
import pipefunc.cache
steps = [PipeFunc(function, output_name=name, cache=True) for name, function in functions().items()]
whole = Pipeline(steps, cache_type="disk", cache_kwargs={"cache_dir": CACHE})
watched(lambda: [whole(name) for name in ORDER])
"""
REDUN = """
import redun
from redun import Scheduler, task
from redun.config import Config
steps = {name: task(name=name, namespace="case")(function) for name, function in functions().items()}
os.makedirs(CACHE, exist_ok=True)
scheduler = Scheduler(config=Config({"backend": {"db_uri": f"sqlite:///{CACHE}/redun.db"}}))
scheduler.load()
watched(lambda: scheduler.run(list(in_order(lambda name, needs: steps[name](**needs)).values())))
"""
PYTASK = """
import pytask
watched(lambda: pytask.build(paths=[__import__("pathlib").Path("task_pipeline.py")], verbose=0))
"""
MARIMO = """
import re
from pathlib import Path
from marimo._ast.cell import CellConfig
from marimo._ast.codegen import generate_filecontents

mark = f"@mo.persistent_cache(save_path={CACHE!r})\\n"
first, *steps = re.split(r"(?m)^# STEP[ \\t]*\\r?\\n", Path("pipeline.py").read_text("utf-8"))
calls = [f"of_{name} = {name}(" + ", ".join(f"{need}=of_{need}" for need in NEEDS[name]) + ")" for name in ORDER]
cells = ["import marimo as mo", first, *(mark + step for step in steps), "\\n".join(calls)]
cells = [cell.strip() for cell in cells if cell.strip()]
text = generate_filecontents(cells, ["_"] * len(cells), [CellConfig()] * len(cells))  # as its editor saves them
Path("notebook_pipeline.py").write_text(text, "utf-8")
sys.path.insert(0, "")
import notebook_pipeline
watched(notebook_pipeline.app.run)
"""
"""A notebook: a cell of its own for each step, and one for what stands before them."""
_PYTASK_FOOTER = """

import pickle as _pickle
from pathlib import Path as _Path
from typing import Annotated as _Annotated
from pytask import PickleNode as _Node, task as _task

"""


def in_order(needs: dict[str, list[str]]) -> list[str]:
    """The steps, each after those that it needs."""
    done: list[str] = []

    def visit(name: str) -> None:
        if name not in done:
            for need in needs[name]:
                visit(need)
            done.append(name)

    for name in needs:
        visit(name)
    return done


@dataclass(frozen=True)
class Peer:
    """A tool that is driven by a script of its own."""

    name: str
    script: str
    python: str = sys.executable
    distribution: str = ""
    """What is installed for it, where that has another name."""

    def version(self) -> str | None:
        """The version that is installed, or nothing."""
        code = f"import importlib.metadata as m; print(m.version({(self.distribution or self.name)!r}))"
        done = subprocess.run([self.python, "-c", code], capture_output=True, text=True, check=False)
        return done.stdout.strip() or None

    def files(self, version: Any) -> dict[str, str]:
        """The files of a version, and the script that runs them."""
        files = {**version.files, "drive_it.py": DRIVER + self.script + END}
        if self.name == "pytask":
            files["task_pipeline.py"] = version.files["pipeline.py"] + _PYTASK_FOOTER + _tasks(version.steps)
        return files

    def run(self, root: Path, cache: Path, version: Any, environment: dict[str, str]) -> set[str]:
        """Run all steps in a new process; return those whose functions were called."""
        kept = cache.with_name("kept")
        if self.name == "pytask" and kept.exists():
            shutil.copytree(kept, root, dirs_exist_ok=True)
        out = root / ".ran.json"
        out.unlink(missing_ok=True)
        given = json.dumps([str(cache), in_order(version.steps), version.steps, str(out)])
        done = subprocess.run(
            [self.python, "drive_it.py", given],
            cwd=root, env=environment, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        if done.returncode or not out.exists():
            raise RuntimeError(f"exit {done.returncode}: {(done.stderr or done.stdout)[-600:]}")
        ran = set(json.loads(out.read_text("utf-8")))
        if self.name == "pytask":  # it keeps what it knows in the project, which the next version wipes
            shutil.copytree(
                root, kept, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.py", "*.json", "__pycache__")
            )
        return ran


def _tasks(steps: dict[str, list[str]]) -> str:
    """A task for each step, whose result is kept beside the file."""
    lines = []
    for name, needs in steps.items():
        takes = [f"{need}: _Annotated[object, _Node(path=_Path('{need}.pkl').absolute())]" for need in needs]
        gives = f"_Annotated[object, _Node(path=_Path('{name}.pkl').absolute())]"
        lines += [f"def task_{name}({', '.join(takes)}) -> {gives}:"]
        lines += [f"    return {name}({', '.join(f'{need}={need}' for need in needs)})", ""]
    return "\n".join(lines)


def peers(python: str = sys.executable) -> dict[str, Peer]:
    """All that there is an adapter for, driven by an interpreter that has them installed."""
    made = [
        Peer("joblib", JOBLIB, python),
        Peer("pipefunc", PIPEFUNC, python),
        Peer("hamilton", HAMILTON, python, "sf-hamilton"),
        Peer("redun", REDUN, python),
        Peer("pytask", PYTASK, python),
        Peer("marimo", MARIMO, python),
        Peer("checkpointer", CHECKPOINTER % "", python),
        Peer("checkpointer-capture", CHECKPOINTER % ", capture=True", python, "checkpointer"),
    ]
    return {peer.name: peer for peer in made}
