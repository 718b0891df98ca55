"""A run in a real notebook kernel: one block, complete at the end, and the value as the cell's result."""

from __future__ import annotations

import re
import textwrap
import warnings
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Project

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")

MEASURED = "import sys\nif 'coverage' in sys.modules: sys.modules['coverage'].Coverage.current().save()"
"""The last cell: a kernel with joblib's workers is ended by a signal, before it would write what was measured."""
STEPS = """
    import time
    from jpipe import pipeline, step

    @step
    def square(i: int) -> int:
        time.sleep(0.1)
        return i * i

    @step
    def total(values: list[int]) -> int:
        return sum(values)

    @pipeline
    def main(n: int = 8):
        return total([square(i) for i in range(n)])
"""


def test_a_cell_shows_one_block_and_the_second_run_one_line(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.write({"study.py": STEPS})
    cells = ["from study import main\nmain.run()", "import jpipe\njpipe.run(main).value", MEASURED]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(project.root)}}).execute()
    first, second, _ = (cell["outputs"] for cell in notebook["cells"])
    blocks = [output for output in first if output["output_type"] == "display_data"]
    assert len(blocks) == 1, first
    text = blocks[0]["data"]["text/plain"]
    assert "✓ square     8 ran" in text and "main finished in" in text
    assert "%|" not in text, "the bars are gone when the run is over"
    assert blocks[0]["data"]["text/html"].startswith("<pre>")
    assert [output["data"]["text/plain"] for output in first if output["output_type"] == "execute_result"] == ["140"]
    (again,) = [output for output in second if output["output_type"] == "display_data"]
    assert again["data"]["text/plain"].startswith("main is up to date · 9 items from cache")


def test_a_script_whose_output_is_no_terminal_runs_silently(project: Project) -> None:
    project.write({"study.py": STEPS})
    quiet = project.python("-c", "from study import main; print(main.run(3))")
    assert (quiet.stdout.strip(), quiet.stderr) == ("5", "")
    told = project.python("-c", "from study import main; print(main.run(3))", env={"JPIPE_PROGRESS": "plain"})
    assert told.stderr.strip() == "main is up to date · 4 items from cache"


FAILING = """
    import time
    from jpipe import map, pipeline, step

    def helper(i):
        if i == 2:
            raise ValueError("from a cell")
        return i

    @step
    def work(i: int) -> int:
        return helper(i)

    @step
    def total(values: list[int]) -> int:
        return sum(values)

    @pipeline
    def main(n: int = 5):
        return total(map(work, range(n)))
"""
SEEN = """\
✗ work[i=2]   item 2 of 0-4 · failed after #s

  In[1]:11 in work
  ❱ 11 │     return helper(i)
  In[1]:6 in helper
    4 │ def helper(i):
    5 │     if i == 2:
  ❱ 6 │         raise ValueError("from a cell")

  ValueError: from a cell

  with  i = 2

main failed in #s · 4 of 5 work items done and kept · total not started
  what finished is kept: the next run does only item 2 of work, total"""


def test_a_failure_of_code_in_cells_is_shown_by_cell(project: Project) -> None:
    keeping_going = "from jpipe import run\nrun(main, keep_going=True, n_jobs=2)"
    cells = [textwrap.dedent(FAILING).strip(), keeping_going, "main.run()", MEASURED]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nbclient.NotebookClient(
            notebook, timeout=120, allow_errors=True, resources={"metadata": {"path": str(project.root)}}
        ).execute()
    (block,) = [output for output in notebook["cells"][2]["outputs"] if output["output_type"] == "display_data"]
    shown = re.sub(r"\d+\.\d+s( · worker \d)?", "#s", block["data"]["text/plain"])
    assert shown[shown.index("✗ work[i=2]") :] == SEEN
    (error,) = [output for output in notebook["cells"][2]["outputs"] if output["output_type"] == "error"]
    assert error["ename"] == "StepError" and "at In[1]:6" in error["evalue"]


DISPLAYED = [
    "import jpipe\nfrom study import main, square\nrun = jpipe.run(main, n_jobs=1)\nrun",
    "run.outcomes",
    'run["square"]',
    "main.plan()",
    "main.graph()",
    "square",
    "main",
    "main.run(n=3, n_jobs=1)",
    "%load_ext jpipe",
    """%%cached
from jpipe import step

@step
def slow(k):
    print("ran", k)
    return k + 1

slow(1)""",
    "%%cached\nslow(1)",
    "slow(1)",
]


def test_what_a_cell_ends_in_is_shown_as_text_and_as_html_without_scripts(project: Project) -> None:
    project.write({"study.py": STEPS})
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in [*DISPLAYED, MEASURED]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(project.root)}}).execute()
    results, printed = [], []
    for cell in notebook["cells"][: len(DISPLAYED)]:
        results += [one["data"] for one in cell["outputs"] if one["output_type"] == "execute_result"] or [{}]
        printed.append("".join(one["text"] for one in cell["outputs"] if one.get("name") == "stdout"))
    run, outcomes, items, plan, graph, step, pipeline, value, _, first, again, plain = results
    assert run["text/plain"].startswith("main: ran in")
    assert "total" in outcomes["text/plain"] and "<table>" in outcomes["text/html"]
    assert items["text/plain"] == "[0, 1, 4, 9, 16, 25, 36, 49]"
    assert plan["text/plain"].startswith("main is up to date")
    assert graph["image/svg+xml"].startswith("<svg")
    assert step["text/plain"].startswith("step square(i: int) -> int")
    assert pipeline["text/plain"].startswith("pipeline main(n: int = 8)")
    assert (value["text/plain"], first["text/plain"], again["text/plain"], plain["text/plain"]) == ("5", "2", "2", "2")
    assert ["ran" in text for text in printed[-3:]] == [True, False, True], "only a cell that remembers does not run it"
    for shown in (run, outcomes, items, plan, graph, step, pipeline):
        assert set(shown) >= {"text/plain", "text/html"}
        assert "<script" not in shown["text/html"] and "http" not in shown["text/html"].replace("http://www.w3.org", "")
