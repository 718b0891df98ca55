"""Steps that are typed into a notebook or at a prompt: a redefined cell runs again exactly what it touched."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Project

CELLS = {
    "imports": "import json\nfrom jpipe import pipeline, run, step",
    "rate": "RATE = 2",
    "helper": "def helper(x):\n    return x * RATE",
    "first": "@step\ndef first(n):\n    return n + 1",
    "second": "@step\ndef second(v):\n    return helper(v)",
    "main": "@pipeline\ndef main(ns=(1, 2, 3)):\n    return [second(first(n)) for n in ns]",
}
RUN = """
finished = run(main, n_jobs=2)
print("ran", json.dumps([{s.step: s.ran for s in finished.steps if s.ran}, finished.value]))
"""
WHY = """
print("ran", json.dumps([[s.name, str(r), r.file, r.line] for s in main.plan().steps for r, _ in s.reasons]))
"""
SHELL = """
import json, sys
from IPython.core.interactiveshell import InteractiveShell

shell = InteractiveShell.instance()
for cell in json.load(sys.stdin):
    result = shell.run_cell(cell, store_history=True)
    assert result.success, cell
"""

FRESH: dict[str, int] = {}
FIRST = [{"first": 3, "second": 3}, [4, 6, 8]]


def told(stdout: str) -> list[Any]:
    return [json.loads(line.partition("ran ")[2]) for line in stdout.splitlines() if "ran [" in line]


def in_notebook(project: Project, *cells: str) -> list[Any]:
    pytest.importorskip("IPython")
    project.write({"shell.py": SHELL})
    done = subprocess.run(
        [sys.executable, "shell.py"],
        cwd=project.root,
        input=json.dumps(cells),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return told(done.stdout)


def at_prompt(project: Project, *inputs: str) -> list[Any]:
    typed = "\n\n".join(textwrap.dedent(text).strip() + "\n" for text in inputs)
    done = subprocess.run(
        [sys.executable, "-i", "-q"],
        cwd=project.root,
        input=typed,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return told(done.stdout)


@pytest.mark.parametrize("session", [in_notebook, at_prompt])
def test_a_redefined_cell_runs_again_what_it_touched(project: Project, session: Any) -> None:
    results = session(
        project,
        *CELLS.values(), RUN,
        RUN,
        CELLS["second"].replace("helper(v)", "helper(v) + 1"), RUN,
        CELLS["main"], RUN,
        CELLS["helper"].replace("RATE", "RATE * 10"), RUN,
        "RATE = 3", RUN,
        CELLS["rate"], CELLS["helper"], CELLS["second"], RUN,
        CELLS["main"].replace("(1, 2, 3)", "(1, 2, 3, 4)"), RUN,
    )  # fmt: skip
    assert results == [
        FIRST,
        [FRESH, [4, 6, 8]],
        [{"second": 3}, [5, 7, 9]],
        [FRESH, [5, 7, 9]],
        [{"second": 3}, [41, 61, 81]],
        [{"second": 3}, [61, 91, 121]],
        [FRESH, [4, 6, 8]],
        [{"first": 1, "second": 1}, [4, 6, 8, 10]],
    ]


@pytest.mark.parametrize("session", [in_notebook, at_prompt])
def test_results_are_found_again_after_a_restart(project: Project, session: Any) -> None:
    assert session(project, *CELLS.values(), RUN) == [FIRST]
    others = ["x = 1", *reversed(list(CELLS.values())[1:5]), CELLS["main"]]
    assert session(project, CELLS["imports"], *others, RUN) == [[FRESH, [4, 6, 8]]], "whatever order the cells came in"


def test_comments_and_docstrings_of_a_cell_run_nothing(project: Project) -> None:
    documented = '# why\n@step\ndef first(n):\n    """Add one."""\n\n    return n + 1  # one'
    assert in_notebook(project, *CELLS.values(), RUN, documented, RUN) == [FIRST, [FRESH, [4, 6, 8]]]


def test_the_reason_names_the_cell(project: Project) -> None:
    changed = CELLS["helper"].replace("RATE", "RATE * 10")
    results = in_notebook(project, *CELLS.values(), RUN, changed, WHY)
    assert results[1] == [["second", "its helper helper changed (In[8]:1)", "In[8]", 1]]


def test_runs_of_a_notebook_are_filed_under_its_path(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    (project.root / "study.ipynb").write_text("{}")
    monkeypatch.setenv("JPY_SESSION_NAME", str(project.root / "study.ipynb"))
    in_notebook(project, *CELLS.values(), RUN, CELLS["main"].replace("(1, 2, 3)", "(1, 2)"), RUN, "RATE = 5", RUN)
    runs = json.loads(project.command("history", "--json").stdout)["runs"]
    assert {run["pipeline"] for run in runs} == {"study.ipynb:main"}
    assert [run["outcome"] for run in runs] == ["ran", "cached", "ran"]
    assert runs[2]["changed"] == ["RATE 2 → 5"]


def test_two_notebooks_with_functions_of_one_name_do_not_disturb_each_other(project: Project) -> None:
    other = {**CELLS, "second": CELLS["second"].replace("helper(v)", "-helper(v)")}
    assert in_notebook(project, *CELLS.values(), RUN) == [FIRST]
    assert in_notebook(project, *other.values(), RUN) == [[{"second": 3}, [-4, -6, -8]]]
    assert in_notebook(project, *CELLS.values(), RUN) == [[FRESH, [4, 6, 8]]]
