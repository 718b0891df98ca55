"""What programs read: each path of a run sends the same events, which the published schema describes."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

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
    assert [end["outcome"] for end in runs["frozen"].steps.values()] == ["blocked", "blocked"]
    assert runs["frozen"].end["blocked"] == 4
    for run in runs.values():
        assert [run.events[0]["event"], run.events[-1]["event"]] == ["run_start", "run_end"]


def test_the_schema_is_printed(project: Project) -> None:
    printed = project.command("schema")
    names = {branch["$ref"].rpartition("/")[2] for branch in json.loads(printed.stdout)["oneOf"]}
    assert names == {"run_start", "step_end", "item_end", "item_failed", "run_end"}


DOCUMENTS = [
    ["plan"], ["status"], ["graph"], ["explain", "one"], ["show", "one"], ["show"], ["log"], ["history"], ["diff"],
    ["check"], ["accept", "--list"], ["cache"], ["cache", "dir"], ["cache", "size"], ["cache", "list"],
    ["cache", "verify"], ["cache", "prune"], ["history", "--diff", "1", "2"], ["cache", "clear", "-y"],
]  # fmt: skip
DRIVER = """
import contextlib, io, json, sys
from jpipe.cli.command_line import call

for words in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()) as stream:
        code = call([*words, "--json"])
    print(json.dumps([words, code, stream.getvalue()]))
"""


def test_every_document_says_its_version(project: Project) -> None:
    project.write({"pipeline.py": STUDY, "driver.py": DRIVER})
    project.run("-j1")
    project.edit("pipeline.py", "return n", "return n + 1")
    project.run("-j1")
    told = project.python("driver.py", json.dumps(DOCUMENTS))
    assert told.exit_code == 0, told.stderr
    for words, code, text in map(json.loads, told.stdout.splitlines()):
        assert (code, text[:1]) == (0, "{") and json.loads(text)["v"] == 1, (words, code, text, told.stderr)


def recipes() -> list[str]:
    """The command lines of the page on events that hand something to jq."""
    page = (Path(__file__).parents[1] / "docs" / "reference" / "events.md").read_text("utf-8")
    return [line[2:] for line in page.splitlines() if line.startswith("$ ") and "| jq" in line]


@pytest.mark.skipif(shutil.which("jq") is None or os.name == "nt", reason="needs jq and a shell")
def test_the_recipes_for_jq_give_what_they_say(project: Project) -> None:
    names = {"def one": "def score", "one(n)": "score(n)", "def total": "def table", "total(": "table("}
    text = STUDY.replace("return n\n", "import warnings; warnings.warn('odd'); return n\n")
    for old, new in names.items():
        text = text.replace(old, new)
    project.write(text)
    command = f"{shlex.quote(sys.executable)} -m jpipe "
    failing = "run --json -v -k --set ns=1,13"
    lines = [line.replace("jpipe ", command, 1).replace("run --json -v", failing) for line in recipes()]
    first = ("run --json |", "log --json")  # the run that gives them all, and what it warned of
    order = sorted(lines, key=lambda line: [part not in line for part in first])
    script = "\n".join(f"{line.partition('  #')[0]}; echo @@" for line in order)
    done = subprocess.run(["sh", "-c", script], cwd=project.root, capture_output=True, encoding="utf-8", check=False)
    answers = dict(zip([line.partition("  #")[2].strip() for line in order], done.stdout.split("@@\n"), strict=False))
    assert answers["the slowest step"] in ('"score"\n', '"table"\n'), done.stderr
    assert answers["of the items' results"] == "3\n"
    assert answers["the one result of a step"] == "6\n"
    assert answers["what failed"] == "score[n=13]: AssertionError\n"
    assert answers["items that would run"] == "0\n"
    assert answers["all runs as a table"].count("\t") >= 4
    assert "score[n=1]\n" in answers["what warned"]
    assert "score\t" in answers["what takes room"]
    assert answers["why"] == ""
