"""What programs read: each path of a run sends the same events, which the published schema describes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conftest import Project

STUDY = """
from jpipe import pipeline, step

@step
def one(n):
    assert n != 13
    return n

@step
def total(ns):
    return sum(ns)

@pipeline
def main(ns: list[int] = [1, 2, 3]):
    return total([one(n) for n in ns])
"""


def test_a_run_starts_alike_and_ends_whichever_way_it_goes(project: Project) -> None:
    """`Project.run` holds each event against the schema."""
    project.write(STUDY)
    paths = {
        "frozen": ["--frozen"],
        "ran": ["-v", "-j1"],
        "at once": [],
        "looked up": ["-f", "total", "-j1"],
        "failed": ["--set", "ns=1,13", "-v", "-j1"],
    }
    runs = {name: project.run(*flags) for name, flags in paths.items()}
    assert {run.of("run_start")[0]["calls"] for run in runs.values()} == {2}
    outcomes = {name: (run.exit_code, run.end["outcome"]) for name, run in runs.items()}
    assert outcomes == {
        "frozen": (4, "blocked"),
        "ran": (0, "ran"),
        "at once": (0, "cached"),
        "looked up": (0, "ran"),
        "failed": (1, "failed"),
    }
    for run in runs.values():
        assert [run.events[0]["event"], run.events[-1]["event"]] == ["run_start", "run_end"]


def test_the_schema_is_printed(project: Project) -> None:
    printed = project.command("schema")
    names = {branch["$ref"].rpartition("/")[2] for branch in json.loads(printed.stdout)["oneOf"]}
    assert names == {"run_start", "step_end", "item_end", "item_failed", "run_end"}
