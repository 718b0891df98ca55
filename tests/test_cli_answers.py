"""What commands answer where something is missing, unusual or long: one process types many of them in a row."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

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
        def numbers(n: int) -> list[int]:
            return list(range(n))


        @step
        async def power(v: int, p: int) -> float:
            return scaled(v, p)


        @step
        def table(rows: list[float]) -> float:
            return sum(rows)


        @pipeline
        def main(n: int = 60, p: int = 2):
            return table(map(power, numbers(n), p=p))
    """,
    "helper.py": """
        def scaled(v, p):
            return v**p / 1
    """,
    "other.py": "from jpipe import pipeline\nfrom pipeline import numbers\n\n@pipeline\ndef small():\n    numbers(3)\n",
    "watched.py": """
        import sys

        def set_trace():
            print("a debugger has the terminal")
            sys.stdout.flush()

        def post_mortem(tb):
            while tb.tb_next:
                tb = tb.tb_next
            print("post mortem in", tb.tb_frame.f_code.co_name)

        def runcall(function, *args, **kwargs):
            print("stopped at", function.__name__, sorted(kwargs.items()), args)
            return function(*args, **kwargs)
    """,
}
TYPED = """
import contextlib, io, json, os, sys
from jpipe.cli.command_line import call

for arguments, environment in json.loads(sys.argv[1]):
    os.environ.update(environment)
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = call(arguments)
    print("\\0" + json.dumps([int(code), out.getvalue(), err.getvalue()]))
"""

Answer = tuple[int, str, str]


def typed(project: Project, *commands: str, **environment: str) -> list[Answer]:
    """Exit code, stdout and stderr of commands, typed one after the other."""
    done = project.python("-c", TYPED, json.dumps([[command.split(), environment] for command in commands]))
    assert done.exit_code == 0, done.stderr
    return [tuple(json.loads(text)) for text in re.findall("\0(.*)", done.stdout)]


@pytest.fixture
def study(project: Project) -> Project:
    project.write(FILES)
    return project


def test_before_the_first_run_every_command_says_so(study: Project) -> None:
    answers = typed(study, "log", "history", "show table", "accept --list", "status", "pipeline.py")
    codes = [code for code, _, _ in answers]
    assert codes == [
        ExitCode.NOTHING_SELECTED, ExitCode.NOTHING_SELECTED, answers[2][0], 0, 0, ExitCode.USAGE,
    ]  # fmt: skip
    assert answers[2][0] != 0 and "there is no cache" in answers[2][2] and "jpipe run" in answers[2][2]
    for _, _, err in answers[:2]:
        assert "there is no run yet" in err and "jpipe run  makes one" in err
    assert answers[3][1] == "nothing was accepted\n"


@pytest.mark.parametrize("command", ["log table numbers", "log --item 3", "show --item 3", "debug", "accept -y"])
def test_a_command_about_one_step_asks_for_it(study: Project, command: str) -> None:
    ((code, out, err),) = typed(study, command)
    assert (code, out) == (ExitCode.USAGE, "")
    assert "name the one step" in err and f"jpipe {command.split(maxsplit=1)[0]} STEP" in err


def test_what_was_run_is_shown_and_told_by_pipeline_step_and_item(study: Project) -> None:
    assert study.run("-j", "1").exit_code == study.run("other.py", "-j", "1").exit_code == 0
    many, all_, one, none, beyond, strange, missed, other, wrong = typed(
        study,
        "show power",
        "show power --json",
        "show power --item 59",
        "log power --item 99",
        "log power --item 99 --run 1",
        "log pipeline.py:mian",
        "show power --item 60",
        "history other.py:small --json",
        "history other.py:main",
    )
    assert many[1].count("\n") == 50 and "and 10 more items: --item N shows one, --json all" in many[2]
    assert len(json.loads(all_[1])["items"]) == 60
    assert one[1] == "3481.0\n"
    assert (none[0], beyond[0]) == (ExitCode.NOTHING_SELECTED, ExitCode.NOTHING_SELECTED)
    assert "no run that is kept ran item 99 of power" in none[2]
    assert "run #1 ran no such item of power" in beyond[2]
    assert "there is no run yet" in strange[2]
    assert missed[0] == ExitCode.NOTHING_SELECTED
    assert [run["pipeline"] for run in json.loads(other[1])["runs"]] == ["other.py:small"]
    assert wrong[0] == ExitCode.NOTHING_SELECTED


def test_an_item_is_debugged_by_the_debugger_that_was_chosen(study: Project) -> None:
    assert study.run("-j", "1").exit_code == 0
    study.edit("helper.py", "v**p / 1", "v**p / (v - 3)")
    assert study.run("-j", "1").exit_code == ExitCode.FAILED
    asked = "debug power --item 2", "debug power --item 2 --trace", "debug power"
    fine, traced, broken = typed(study, *asked, PYTHONBREAKPOINT="watched.set_trace")
    assert fine[0] == 0 and "it returned -4.0   (not stored)" in fine[2]
    assert traced[1].startswith("stopped at power") and "('v', 2)" in traced[1] and traced[0] == 0
    assert broken[0] == ExitCode.FAILED
    assert "post mortem in scaled" in broken[1] and "ZeroDivisionError" in broken[2]
    ((code, out, err),) = typed(study, "debug power", PYTHONBREAKPOINT="0")
    assert (code, out) == (ExitCode.FAILED, "") and "ZeroDivisionError" in err
    ((code, _, err),) = typed(study, "debug power --item 1", PYTHONBREAKPOINT="no_such_module.set_trace")
    assert code == 0 and "PYTHONBREAKPOINT=no_such_module.set_trace cannot be imported: pdb is used" in err


def test_a_breakpoint_in_an_item_gives_the_terminal_to_the_debugger_that_was_chosen(study: Project) -> None:
    hidden = "getattr(__import__('builtins'), 'break' + 'point')()"
    study.edit("helper.py", "return v**p / 1", f"print('captured', v)\n    if v == 2:\n        {hidden}\n    return v")
    done = study.run("--set", "n=3", "-j", "1", json=False, env={"PYTHONBREAKPOINT": "watched.set_trace"})
    assert done.exit_code == 0
    assert "a debugger has the terminal" in done.stdout
    assert "captured 1" not in done.stdout + done.stderr
    assert "captured 1" in study.command("log", "power", "--item", "1").stdout


def test_a_script_for_a_debugger_repeats_what_the_command_was_told(study: Project) -> None:
    assert study.run("pipeline.py:main", "-j", "1", "--set", "p=3", "--cache-dir", "kept").exit_code == 0
    (study.root / "mine.py").write_text("print('mine')\n")
    asked = "debug pipeline.py:main power --item 4 --set p=3 --cache-dir kept --script"
    theirs, again, refused = typed(study, f"{asked} theirs.py", f"{asked} theirs.py", f"{asked} mine.py")
    assert (theirs[0], again[0], refused[0]) == (0, 0, ExitCode.USAGE)
    assert "mine.py is there already, and jpipe did not write it" in refused[2]
    script = (study.root / "theirs.py").read_text()
    assert "pipeline='main'" in script and "sets={'p': '3'}" in script and "cache_dir=" in script
    assert (study.root / "mine.py").read_text() == "print('mine')\n"


def test_what_was_accepted_is_listed_by_step_and_shown_in_the_plan(study: Project) -> None:
    assert study.run("-j", "1").exit_code == 0
    study.edit("helper.py", "return v**p / 1", "\n    ".join([*(f"a{i} = {i}" for i in range(40)), "return v**p"]))
    proposed, accepted, mine, others, plan, shown, nobody = typed(
        study,
        "accept power --json --dry-run",
        "accept power -y",
        "accept power --list",
        "accept table --list",
        "plan",
        "plan --why",
        "accept table --undo",
    )
    assert json.loads(proposed[1])["kept"] == 60
    assert "the old results of power count" in accepted[2] and "… " in accepted[1], "a long edit is cut"
    assert mine[1].startswith("power   ") and "despite: its helper helper.scaled changed" in mine[1]
    assert others[1] == "nothing was accepted\n"
    assert "jpipe accept --undo power" in plan[1] + shown[1]
    assert nobody[0] == ExitCode.NOTHING_SELECTED and "nothing was accepted of table" in nobody[2]


def test_runs_are_compared_also_where_a_step_came_or_went(study: Project) -> None:
    assert study.run("-j", "1", "--set", "n=3").exit_code == 0
    study.edit("pipeline.py", "return table(map(power, numbers(n), p=p))", "return map(power, numbers(n), p=p)")
    study.edit("helper.py", "/ 1", "/ 2")
    assert study.run("-j", "1", "--set", "n=3").exit_code == 0
    forth, back, document = typed(study, "history --diff 1 2", "history --diff 2 1", "history --diff -2 -1 --json")
    assert "table   only in the first" in forth[1] and "table   only in the second" in back[1]
    assert "its helper helper.scaled changed" in forth[1]
    assert {step["step"] for step in json.loads(document[1])["steps"]} == {"numbers", "power", "table"}
