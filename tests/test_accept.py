"""Old results kept despite an edit: what they answer for, what they do not, and how they are taken back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from jpipe.errors import ExitCode

if TYPE_CHECKING:
    from conftest import Project

pytestmark = pytest.mark.usefixtures("one_job")

FILES = {
    "pipeline.py": """
        from jpipe import map, pipeline, step
        from helper import scaled


        @step
        def numbers(n):
            return list(range(n))


        @step
        def power(values, p):
            return scaled(sum(v**p for v in values))


        @step
        def squared(v):
            return scaled(v) ** 2


        @step
        def table(rows, squares):
            return [*rows, *squares]


        @pipeline
        def main(n: int = 4, ps: tuple[int, ...] = (1, 2)):
            values = numbers(n)
            return table([power(values, p) for p in ps], map(squared, values))
    """,
    "helper.py": """
        def scaled(x):
            return x * 10
    """,
}


@pytest.fixture
def study(project: Project) -> Project:
    """Run once, then edited in a helper that two steps use."""
    project.write(FILES)
    assert project.run().ran == {"numbers": 1, "power": 2, "squared": 4, "table": 1}
    project.edit("helper.py", "x * 10", "x * 100")
    return project


def counts(project: Project, *arguments: str) -> dict[str, tuple[int, int, int]]:
    """By step: stale, pending and accepted items."""
    return {row["step"]: (row["stale"], row["pending"], row["accepted"]) for row in project.plan(*arguments)["steps"]}


def shown(project: Project, step: str) -> Any:
    shown = json.loads(project.command("show", step, "--json").stdout)["items"]
    return shown[0]["value"] if len(shown) == 1 else [item["value"] for item in shown]


def test_accepted_results_count_and_those_of_other_steps_do_not(study: Project) -> None:
    assert study.command("accept", "power", "--yes").exit_code == 0
    assert counts(study) == {"numbers": (0, 0, 0), "power": (0, 0, 2), "squared": (4, 0, 0), "table": (0, 1, 0)}
    assert study.run().ran == {"squared": 4, "table": 1}
    assert shown(study, "power") == [60, 140], "the old results, under the old code"
    assert shown(study, "table") == [60, 140, 0, 10_000, 40_000, 90_000]
    assert study.run().counts == (0, 8)
    assert "power" in study.command("status").stdout.partition("accepted")[2]
    assert "2 old results accepted despite an edit" in study.command("explain", "power").stdout


def test_a_mapped_call_is_accepted_as_a_whole_and_item_by_item(study: Project) -> None:
    assert study.command("accept", "squared", "--yes").exit_code == 0
    assert counts(study)["squared"] == (0, 0, 4)
    study.run()
    assert shown(study, "squared") == [0, 100, 400, 900]
    run = study.run("--set", "n=6")
    assert run.ran["squared"] == 2 and run.steps["squared"]["cached"] == 4
    assert shown(study, "squared") == [0, 100, 400, 900, 160_000, 250_000]
    assert study.run("--set", "n=6").counts[0] == 0


def test_what_runs_under_accepted_code_is_no_result_of_the_old_code(study: Project) -> None:
    study.command("accept", "power", "--yes")
    assert study.run("power", "--set", "ps=1,3").ran == {"power": 1}
    assert shown(study, "power") == [60, 3600]
    study.edit("helper.py", "x * 100", "x * 10")
    assert counts(study, "--set", "ps=1,3")["power"] == (1, 0, 0), "only the new code ran p=3"


def test_undoing_makes_it_stale_again(study: Project) -> None:
    study.command("accept", "power", "--yes")
    study.command("accept", "squared", "--yes")
    assert study.plan()["up_to_date"]
    assert study.run().counts == (0, 8)
    undone = study.command("accept", "power", "--undo")
    assert undone.exit_code == 0
    assert counts(study)["power"] == (2, 0, 0) and counts(study)["squared"] == (0, 0, 4)
    assert study.run().ran == {"power": 2, "table": 1}
    assert study.command("accept", "power", "--undo").exit_code == ExitCode.NOTHING_SELECTED


def test_the_next_edit_counts_again_and_can_be_accepted_too(study: Project) -> None:
    study.command("accept", "power", "--yes")
    study.edit("pipeline.py", "sum(v**p", "1 + sum(v**p")
    assert counts(study)["power"] == (2, 0, 0)
    assert study.command("accept", "power", "--yes").exit_code == 0
    assert counts(study)["power"] == (0, 0, 2)
    listed = json.loads(study.command("accept", "--list", "--json").stdout)["accepted"]
    assert [one["step"] for one in listed] == ["power", "power"]


def test_the_edit_is_shown_first_and_nothing_is_kept_without_consent(study: Project) -> None:
    for arguments, code in (("--dry-run",), ExitCode.OK), ((), ExitCode.USAGE):
        told = study.command("accept", "power", *arguments)
        assert told.exit_code == code
        assert "-    return x * 10" in told.stdout and "+    return x * 100" in told.stdout
        assert "keeps 2 old results of 2 items" in told.stdout
    assert counts(study)["power"] == (2, 0, 0)
    assert study.command("accept", "--list").stdout.strip() == "nothing was accepted"


def test_a_step_that_waits_for_another_can_be_accepted(study: Project) -> None:
    study.edit("pipeline.py", "return [*rows", "return [0, *rows")
    assert study.command("accept", "table", "--yes").exit_code == 0
    for step in "power", "squared":
        assert study.command("accept", step, "--yes").exit_code == 0
    assert study.plan()["up_to_date"]


def test_what_cannot_be_accepted_says_why(study: Project) -> None:
    assert "up to date" in study.command("accept", "numbers", "--yes").stderr
    study.run("numbers", "--set", "n=9")
    nothing = study.command("accept", "power", "--yes", "--set", "n=9")
    assert nothing.exit_code == ExitCode.NOTHING_SELECTED
    assert study.command("accept", "pwer").exit_code == ExitCode.USAGE
