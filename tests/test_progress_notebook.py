"""A run in a real notebook kernel: one block, complete at the end, and the value as the cell's result."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Project

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")

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
    cells = ["from study import main\nmain.run()", "main.run()"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(project.root)}}).execute()
    first, second = (cell["outputs"] for cell in notebook["cells"])
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
