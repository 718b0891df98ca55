"""Mistakes that everybody makes once: what to do about one stands in the first three lines that are said of it."""

from __future__ import annotations

import json
import os
import re
import textwrap
from typing import TYPE_CHECKING

import pytest

from jpipe import step
from jpipe.errors import UsageError

if TYPE_CHECKING:
    from conftest import Project

HEAD = """
    import argparse, bdb, json, pdb, sys, threading
    import numpy as np
    import jpipe
    from jpipe import pipeline, step

    @step
    def a(n):
        return n
"""
MAIN = """
@pipeline
def main():
    return [a(n) for n in (1, 2)]
"""

MISTAKES: dict[str, tuple[str, str, str]] = {
    # what the file says below `HEAD`, what is wrong, what helps
    "argparse": (
        "parser = argparse.ArgumentParser()\nparser.add_argument('--n')\nARGS = parser.parse_args()\n" + MAIN,
        "argparse in argparse_.py read jpipe's arguments", "parameters of the pipeline, for --set"),
    "exit": ("sys.exit('usage: FILE')\n" + MAIN, "ends the process when it is imported", '__name__ == "__main__"'),
    "run at import": (MAIN + "main.run()", "a run begins while", '__name__ == "__main__"'),
    "file at import": ("open('near/x.csv')\n" + MAIN, "raised FileNotFoundError", "Path(__file__).parent"),
    "no pipeline": ("def main(): ...", "defines no pipeline", "@jpipe.pipeline"),
    "condition": ("@pipeline\ndef main():\n    return a(1) if a(2) > 1 else 3", "is used with `>`", "in a step"),
    "length": ("@pipeline\ndef main(): return len(a(1))", "asked for its length", "take the length in a step"),
    "attribute": ("@pipeline\ndef main(): return a(a(1).shape)", "asked for .shape", "move the expression into a step"),
    "text": ("@pipeline\ndef main(): return f'{a(1)}'", "put into a text", "build the text in a step"),
    "loop": ("@pipeline\ndef main(): return [a(v) for v in a(3)]", "is iterated over", "use jpipe.map over its items"),
    "no call": ("@pipeline\ndef main(): return a", "calls no step", "mark the functions that it calls with @step"),
    "argument": ("@pipeline\ndef main(): return a(1, k=2)", "unexpected keyword argument 'k'", "its parameters are n"),
    "lock": ("@pipeline\ndef main(): return a(threading.Lock())", "cannot digest <_thread.lock>", "@step(ignore="),
    "option": ("@step(retry=3)\ndef b(n): ...\n" + MAIN, "no option 'retry'", "did you mean 'retries'?"),
    "options": (
        "@step(compress=3, mmap_mode='r')\ndef b(n): ...\n" + MAIN, "exclude each other", "cannot be mapped"),
    "generator": (
        "@step\ndef b(n): yield n\n@pipeline\ndef main(): return b(3)",
        "b() is a generator function: what it gives can be read only once", "return a list in its place"),
    "generators": (
        "@step\ndef b(n): return (x for x in range(n))\n@pipeline\ndef main(): return [b(n) for n in range(9)]",
        "result is a generator, which can be read only once", "return a list in its place"),
    "asynchronous generator": (
        "@step\nasync def b(n): yield n\n@pipeline\ndef main(): return [b(n) for n in range(3)]",
        "b() is a generator function: what it gives can be read only once", "return a list in its place"),
    "generator handed in": (
        "@pipeline\ndef main(): return a(x for x in range(3))",
        "cannot digest <generator> at n", "pass a list in its place"),
    "open file handed in": (
        "@pipeline\ndef main(): return a(open(__file__))",
        "cannot digest <_io.TextIOWrapper> at n", "as jpipe.File(path)"),
    "library": (
        "@pipeline\ndef main(): return np.mean([a(1), a(2)])", "is used with `numpy`", "library_.py:10"),
    "written as JSON": (
        "@pipeline\ndef main(): return json.dumps(a(1))",
        "Output is not JSON serializable", "use the result in a step"),
    "printed": ("@pipeline\ndef main(): print(a(1))", "is turned into text", "look at the result once it ran"),
    "map's order": (
        "@pipeline\ndef main(): return jpipe.map([1], a)", "takes the function first", "jpipe.map(function, items)"),
    "option without a name": (
        "@step(True)\ndef b(n): ...\n" + MAIN, "step() takes a function, not True", "options have names"),
    "ignored name": (
        "@step(ignore='m')\ndef b(n): ...\n" + MAIN, "ignore='m': b() has no such parameter", "its parameters are n"),
    "pipeline of a step": (
        "@pipeline\n@step\ndef main(): ...", "takes a function, not <step main>", "a step or a pipeline"),
    "step of a pipeline": (
        "@step\n@pipeline\ndef main(): ...", "takes a function, not <pipeline main>", "a step or a pipeline"),
    "step in a step": (
        "@step\ndef b(n): return a(n)\n@pipeline\ndef main(): return b(3)",
        "b() calls the step a, which is not cached there", "call it in the pipeline"),
    "missing file": (
        "@step\ndef b(): return open('near/x.csv').read()\n@pipeline\ndef main(): return b()",
        "failed after", "near/x.csv is not in the current folder but in ..: start jpipe there"),
    "missing table": (
        "@step\ndef b(): return np.loadtxt('near/x.csv')\n@pipeline\ndef main(): return b()",
        "failed after", "near/x.csv is not in the current folder but in ..: start jpipe there"),
    "missing everywhere": (
        "@step\ndef b(): return open('gone.csv').read()\n@pipeline\ndef main(): return b()",
        "failed after", "gone.csv is not in the current folder, where jpipe was started"),
    "breakpoint": (
        "@step\ndef b(n): breakpoint()\n@pipeline\ndef main(): return [b(n) for n in range(3)]",
        "b[n=0]", "run ../breakpoint_.py b --item 0 -j 1"),
    "debugger": (
        "@step\ndef b(n): pdb.set_trace()\n@pipeline\ndef main(): return [b(n) for n in range(3)]",
        "b[n=0]", "run ../debugger_.py b --item 0 -j 1"),
}  # fmt: skip
DRIVER = """
import contextlib, io, json, sys
from jpipe.cli.command_line import call
if __name__ == "__main__":
    said = {}
    for name, file in json.loads(sys.argv[1]).items():
        with contextlib.redirect_stderr(io.StringIO()) as stream:
            code = call(["run", file, "-j2"])
        said[name] = code, stream.getvalue()
    print(json.dumps(said))
"""
LOG = re.compile(r"\d\d:\d\d:\d\d ")


def test_the_remedy_stands_in_the_first_three_lines(project: Project) -> None:
    files = {name: f"{name.replace(' ', '_')}_.py" for name in MISTAKES}
    texts = {files[name]: textwrap.dedent(HEAD) + textwrap.dedent(text) for name, (text, _, _) in MISTAKES.items()}
    project.write({**texts, "driver.py": DRIVER, "near/x.csv": "1\n", "away/x": ""})
    asked = json.dumps({name: f"../{file}" for name, file in files.items()})
    result = project.python("../driver.py", asked, cwd=project.root / "away")
    assert result.exit_code == 0, result.stderr
    for name, (code, stderr) in json.loads(result.stdout.splitlines()[-1]).items():
        _, wrong, helps = MISTAKES[name]
        told = "\n".join([line for line in stderr.splitlines() if line and not LOG.match(line)][:3])
        assert wrong in told and helps in told, (name, code, stderr)
        assert "generator" not in name or stderr.count(wrong) == 1, "not once for each item"


@pytest.mark.parametrize(
    "options",
    [{"compress": 3, "mmap_mode": "c"}, {"compress": "zlib", "mmap_mode": "r"}, {"cache": False, "expires": "1d"}],
)
def test_options_that_exclude_each_other_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="exclude each other"):
        step(**options)  # type: ignore[arg-type]
    first, second = ({name: value} for name, value in options.items())
    if second.get("mmap_mode") != "c":  # the default, so nobody has asked for it
        with pytest.raises(UsageError, match="exclude each other"):
            step(**second)(abs).options(**first)  # type: ignore[arg-type]
    assert step(compress=3)(abs).options(mmap_mode=None).declared.compress == 3
    assert step(mmap_mode="r")(abs).options(compress=0).declared.mmap_mode == "r"


KILLED = """
import os, signal, sys
import jpipe
from jpipe import pipeline, step
from jpipe.schedule import in_flight

@step
def b(n):
    os.kill(os.getpid(), signal.SIGKILL)

@pipeline
def main():
    return [b(n) for n in range(2)]

if __name__ == "__main__":
    in_flight.killed_for_memory = lambda: 0
    for memory in (1 << 60, 1 << 20):
        in_flight.machine_memory = lambda: memory
        run = jpipe.run(main, n_jobs=2, keep_going=True)
        print([failure.message for failure in run.failures][:1])
"""


@pytest.mark.skipif(os.name == "nt", reason="no such signal")
def test_a_killed_worker_was_out_of_memory_only_near_the_limit(project: Project) -> None:
    project.write({"script.py": KILLED})
    done = project.python("script.py")
    without, with_guess = done.stdout.splitlines()
    assert "was killed" in without and "out of memory" not in without, done.stdout
    assert "most likely out of memory" in with_guess, done.stdout
