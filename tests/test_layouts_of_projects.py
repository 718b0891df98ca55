"""Pipeline files in packages, in ``src`` and beside modules that lie elsewhere: found by each process, and watched."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from tests.conftest import Project

pytestmark = pytest.mark.usefixtures("one_job")


class Form(NamedTuple):
    """A way to lay a project out.

    Parameters
    ----------
    flow
        The pipeline file.
    line
        How it imports `Kept` and `times`.
    parts
        The file that defines them.
    more
        Other files.
    env
        Variables.
    module
        The name that the pipeline file is imported under.
    """

    flow: str
    line: str
    parts: str
    more: dict[str, str] = {}
    env: dict[str, str] = {}
    module: str = ""


FORMS = {
    "in a package": Form("study/flow.py", "from .parts import Kept, times", "study/parts.py",
                         {"study/__init__.py": ""}, module="study.flow"),
    "the whole module": Form("study/flow.py", "from . import parts\nfrom .parts import Kept\ntimes = parts.times",
                             "study/parts.py", {"study/__init__.py": ""}, module="study.flow"),
    "two levels up": Form("study/runs/flow.py", "from ..lib.parts import Kept, times", "study/lib/parts.py",
                          {"study/__init__.py": "", "study/runs/__init__.py": "", "study/lib/__init__.py": ""},
                          module="study.runs.flow"),
    "no __init__": Form("study/flow.py", "from .parts import Kept, times", "study/parts.py", module="study.flow"),
    "no __init__, two levels up": Form("study/runs/flow.py", "from ..parts import Kept, times", "study/parts.py",
                                       module="study.runs.flow"),
    "by its whole name": Form("study/flow.py", "from study.parts import Kept, times", "study/parts.py",
                              {"study/__init__.py": ""}, module="study.flow"),
    "as a script beside it": Form("study/flow.py", "from parts import Kept, times", "study/parts.py",
                                  {"study/__init__.py": ""}, module="study.flow"),
    "the package imports it": Form("study/flow.py", "from .parts import Kept, times", "study/parts.py",
                                   {"study/__init__.py": "from .flow import main\n"}, module="study.flow"),
    "a package called as Python's": Form("code/flow.py", "from parts import Kept, times", "code/parts.py",
                                         {"code/__init__.py": ""}, module="flow"),
    "inside a step": Form("study/flow.py", "def times(x):\n    from .parts import times\n    return times(x)\n"
                          "from .parts import Kept", "study/parts.py", {"study/__init__.py": ""}, module="study.flow"),
    "src": Form("flow.py", "from lib.parts import Kept, times", "src/lib/parts.py", module="flow"),
    "in src": Form("src/lib/flow.py", "from .parts import Kept, times", "src/lib/parts.py",
                   {"src/lib/__init__.py": ""}, module="lib.flow"),
    "a setting": Form("runs/flow.py", "from parts import Kept, times", "deep/er/parts.py",
                      {"jpipe.toml": 'pythonpath = ["deep/er", "elsewhere"]\n'}, module="flow"),
    "a variable": Form("runs/flow.py", "from parts import Kept, times", "deep/parts.py",
                       env={"JPIPE_PYTHONPATH": "deep"}, module="flow"),
}  # fmt: skip
FLOW = """
import sys
from jpipe import pipeline, step

{line}

@step
def work(i):
    return Kept(times(i), __name__)

@step
def opened(kept):
    return [kept.value, kept.module, type(kept).__module__]

@pipeline
def main():
    return [opened(work(i)) for i in range(3)]
"""
PARTS = """
class Kept:
    def __init__(self, value, module):
        self.value, self.module = value, module

def times(x):
    return x * 10
"""


EVERYDAY = ("in a package", "no __init__, two levels up", "src", "a setting")
"""The others take the same ways, each in a mixture of its own."""


@pytest.mark.parametrize("name", [pytest.param(n, marks=[] if n in EVERYDAY else pytest.mark.slow) for n in FORMS])
def test_a_file_is_loaded_as_what_it_is_part_of(project: Project, name: str) -> None:
    form = FORMS[name]
    project.write({form.flow: FLOW.format(line=form.line), form.parts: PARTS, **form.more})
    first = project.run("-j2", form.flow, env=form.env)
    assert first.ran == {"work": 3, "opened": 3}, first.stderr
    project.edit(form.parts, "x * 10", "x * 30")
    again = project.run("-j2", "--backend", "loky", form.flow, env=form.env)
    assert again.ran == {"work": 3, "opened": 2}, again.stderr
    shown = project.command("show", form.flow, "opened", "--item", "2", env=form.env)
    assert f"60, {form.module!r}" in shown.stdout.replace("\n", "").replace("  ", ""), shown.stdout + shown.stderr
    assert project.command("show", form.flow, "work", "--item", "2", env=form.env).exit_code == 0
    assert project.run("-j1", form.flow, env=form.env).counts == (0, 6)
