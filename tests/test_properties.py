"""For any pipeline, any edit and any number of workers a run gives what the plain script gives (P11)."""

from __future__ import annotations

import random
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Project

EDITS = 4
DRIVER = """
import random, sys
import jpipe
from jpipe import loader

main = loader.load("pipeline.py")
run = jpipe.api.run(main, n_jobs=int(sys.argv[1]), backend="threading" if sys.argv[1] != "1" else None)
print(repr((run.value, sum(end.ran for end in run.steps), sum(end.blocked for end in run.steps))))
"""
PLAIN = """
import types, sys

plain = types.ModuleType("jpipe")
plain.step = plain.pipeline = lambda function: function
plain.map = lambda function, *lists, **same: [function(*items, **same) for items in zip(*lists)]
sys.modules["jpipe"] = plain
import pipeline

print(repr(pipeline.main()))
"""


class Source:
    """A random pipeline as source text, which can be edited.

    Every step applies a helper with a constant; the calls take parameters, earlier results, lists of them, and files.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.constants = [self._random.randint(1, 9) for _ in range(3)]
        self.helpers = [self._random.choice("+-*") for _ in range(3)]
        self.file = self._random.randint(0, 5)
        self.length = self._random.randint(0, 4)
        self.uses = [(self._random.randrange(3), self._random.randrange(3)) for _ in range(4)]
        self.shape = [self._random.choice(["map", "chain", "zip", "list", "plain"]) for _ in range(5)]
        self.comment = 0

    def edit(self) -> str:
        """Change one thing; says which."""
        what = self._random.choice(["constant", "helper", "file", "length", "use", "comment", "shape"])
        if what == "constant":
            self.constants[self._random.randrange(3)] = self._random.randint(1, 9)
        elif what == "helper":
            self.helpers[self._random.randrange(3)] = self._random.choice("+-*")
        elif what == "file":
            self.file = self._random.randint(0, 5)
        elif what == "length":
            self.length = self._random.randint(0, 4)
        elif what == "use":
            self.uses[self._random.randrange(4)] = (self._random.randrange(3), self._random.randrange(3))
        elif what == "shape":
            self.shape[self._random.randrange(5)] = self._random.choice(["map", "chain", "zip", "list", "plain"])
        self.comment += 1
        return what

    def files(self) -> dict[str, str]:
        """The project's files."""
        helpers = "".join(f"def helper{i}(a, b):\n    return a {op} b\n\n" for i, op in enumerate(self.helpers))
        constants = "".join(f"C{i} = {value}\n" for i, value in enumerate(self.constants))
        steps = "".join(
            f"@step\ndef s{i}(x, y=1):\n    # {self.comment}\n    return helper{h}(x, y) + C{c}\n\n"
            for i, (h, c) in enumerate(self.uses)
        )
        head = "from jpipe import map, pipeline, step\nfrom helpers import *\n\n" + constants + "\n" + steps
        rest = (
            "@step\ndef numbers(n):\n    return list(range(n + int(open('n.txt').read())))\n\n"
            "@step\ndef total(xs):\n    return sum(xs)\n\n"
        )
        calls = "".join(f"    {self._call(i, kind)}\n" for i, kind in enumerate(self.shape))
        body = f"@pipeline\ndef main():\n    xs = numbers({self.length})\n    out = []\n{calls}    return out\n"
        return {"pipeline.py": head + rest + body, "helpers.py": helpers, "n.txt": str(self.file)}

    @staticmethod
    def _call(i: int, kind: str) -> str:
        step = f"s{i % 4}"
        return {
            "map": f"out.append(map({step}, xs, y={i}))",
            "chain": f"out.append(total(map({step}, map(s0, xs))))",
            "zip": f"out.append(map({step}, xs, [1, 2, 3]))",
            "list": f"out.append(total([{step}({i}, k) for k in range(3)]))",
            "plain": f"out.append({step}(total(xs), {i}))",
        }[kind]


def python(project: Project, code: str, *arguments: str) -> str:
    """What a new process prints."""
    command = [sys.executable, "-B", "-c", code, *arguments]
    done = subprocess.run(command, cwd=project.root, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def check(project: Project, seed: int) -> None:
    source = Source(seed)
    chooser = random.Random(seed)
    seen = []
    for _ in range(EDITS):
        project.write(source.files())
        expected = python(project, PLAIN)
        value, _, blocked = eval(python(project, DRIVER, chooser.choice("112")))
        assert (repr(value), blocked) == (expected, 0), f"seed {seed}"
        seen.append(source.files())
        source.edit()
    project.write(seen[0])
    again = python(project, DRIVER, "1")
    assert eval(again)[1] == 0, f"seed {seed}: going back to the first state ran something"
    assert repr(eval(again)[0]) == python(project, PLAIN)


@pytest.mark.parametrize("seed", range(6))
def test_a_run_gives_what_the_plain_script_gives_and_going_back_runs_nothing(project: Project, seed: int) -> None:
    check(project, seed)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(100, 500))
def test_many_more_pipelines_and_edits(project: Project, seed: int) -> None:
    check(project, seed)
