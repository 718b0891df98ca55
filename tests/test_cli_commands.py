"""The commands, typed as a user types them: what they print where, and what they give the shell."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jpipe.cli.command_line import call
from jpipe.errors import ExitCode

if TYPE_CHECKING:
    from conftest import Project

pytestmark = pytest.mark.usefixtures("one_job")

PIPELINE = """
    from jpipe import pipeline, step
    from helper import scaled


    @step
    def numbers(n: int) -> list[int]:
        return list(range(n))


    @step
    def power(values: list[int], p: int) -> float:
        return scaled(sum(v**p for v in values))


    @step
    def table(rows: list[float]) -> dict[str, float]:
        return {"total": sum(rows), "count": float(len(rows))}


    @pipeline
    def main(n: int = 10, ps: tuple[int, ...] = (1, 2, 3)):
        values = numbers(n)
        return table([power(values, p) for p in ps])
"""
HELPER = """
    def scaled(x):
        # halved
        return x / 2
"""


@pytest.fixture
def study(project: Project) -> Project:
    project.write({"pipeline.py": PIPELINE, "helper.py": HELPER})
    return project


def test_the_story_of_a_first_session(study: Project) -> None:
    first = study.run()
    assert (first.exit_code, first.counts) == (0, (5, 0))
    again = study.run(json=False)
    assert again.stderr.strip() == "main is up to date · 5 items from cache"
    assert again.stdout == ""
    study.edit("helper.py", "x / 2", "x / 4")
    plan = study.command("plan", "--why")
    assert plan.exit_code == 0
    assert re.search(r"main · 5 items: 1 cached, 3 will run, 1 may run", plan.stdout)
    assert "its helper helper.scaled changed   helper.py:1" in plan.stdout
    assert "-    return x / 2" in plan.stdout and "+    return x / 4" in plan.stdout
    assert "only if power comes out different" in plan.stdout
    assert study.command("status", "--check").exit_code == ExitCode.OUT_OF_DATE
    assert study.command("status", "--check", "-q").stdout == ""
    frozen = study.run("--frozen", json=False)
    assert frozen.exit_code == ExitCode.OUT_OF_DATE
    assert "out of date: power, table" in frozen.stderr
    assert study.run().ran == {"power": 3, "table": 1}
    fine = study.command("status", "--check")
    assert fine.exit_code == 0
    assert fine.stdout == "main  ✓ up to date: numbers, power, table\nlast run just now, ok\n"


def test_json_is_the_designs_events_and_nothing_else(study: Project) -> None:
    result = study.run("-j", "1")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["event"] for line in lines] == ["run_start", "step_end", "step_end", "step_end", "run_end"]
    assert all(next(iter(line)) == "v" and line["v"] == 1 for line in lines)
    assert {key: lines[0][key] for key in ("pipeline", "calls", "items", "jobs")} == {
        "pipeline": "main", "calls": 3, "items": 5, "jobs": 1,
    }  # fmt: skip
    counts = {"items": 3, "ran": 3, "cached": 0, "failed": 0, "blocked": 0, "interrupted": 0}
    assert counts.items() <= result.steps["power"].items()
    assert set(result.steps["power"]) == {"v", "event", "step", "outcome", "seconds", *counts}
    assert set(result.end) == {"v", "event", "outcome", "seconds", *counts} - {"items"}


def test_verbose_json_tells_of_every_item(study: Project) -> None:
    items = study.run("-v").of("item_end")
    labels = sorted(item["label"] for item in items if item["step"] == "power")
    assert labels == [f"power[n=10, p={p}]" for p in (1, 2, 3)]
    assert all(item["outcome"] == "ran" and item["seconds"] >= 0 for item in items)


def test_targets_parameters_and_dry_run(study: Project) -> None:
    assert study.run("numbers").ran == {"numbers": 1}
    assert study.run("numbers", json=False).stderr.strip() == "numbers is up to date · 1 item from cache"
    assert study.run("pipeline.py:main", "power", "--set", "ps=5").ran == {"power": 1}
    dry = study.run("-n", json=False)
    assert dry.exit_code == 0 and "power" in dry.stdout
    assert study.run("--set", "ps=1,2").ran == {"power": 2, "table": 1}
    assert study.run("--set", "ps=1,2", "-f", "table").ran == {"table": 1}


def test_it_runs_from_another_folder_and_the_cache_stays_with_the_project(study: Project, tmp_path: Path) -> None:
    assert study.run(str(study.root / "pipeline.py"), cwd=tmp_path).counts == (5, 0)
    assert study.cache.is_dir()
    assert study.run(str(study.root), cwd=tmp_path).counts == (0, 5)


def test_a_run_with_nothing_to_do_loads_nothing_heavy(study: Project) -> None:
    study.run()
    script = """
        import sys
        from jpipe.cli.command_line import call
        code = call(["run"])
        heavy = {"rich", "tqdm", "networkx", "joblib", "numpy"}
        print(code, sorted(heavy & set(sys.modules)))
    """
    result = study.python("-c", "\n".join(line.strip() for line in script.strip().splitlines()))
    assert result.stdout.strip() == "0 []", result.stderr


def test_help_loads_no_command() -> None:
    script = "import sys; from jpipe.cli.command_line import call; call(['--help']); print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = done.stdout.splitlines()[-1]
    assert "Bring a pipeline up to date." in done.stdout
    for module in ("rich", "tqdm", "joblib", "numpy", "networkx", "jpipe.cli.run", "jpipe.api", "jpipe.settings"):
        assert f"'{module}'" not in loaded, module


def test_graph_in_every_form(study: Project) -> None:
    study.run()
    text = study.command("graph").stdout.splitlines()
    assert re.match(r"  = numbers +0\.\ds +\d+ B$", text[0])
    assert re.match(r"  ╰─ = power +×3  p ", text[1])
    assert re.match(r"     ╰─ = table ", text[2])
    assert study.command("graph", "--mermaid").stdout.startswith("graph LR")
    assert study.command("graph", "--dot").stdout.startswith('digraph "main"')
    assert json.loads(study.command("graph", "--json").stdout)["edges"] == [["numbers", "power"], ["power", "table"]]
    assert study.command("graph", "-o", "g.md").stdout == ""
    assert (study.root / "g.md").read_text("utf-8").startswith("```mermaid\ngraph LR")
    assert study.command("graph", "-o", "g.pdf").exit_code == ExitCode.USAGE


def test_show_prints_values_and_runs_nothing(study: Project) -> None:
    missing = study.command("show", "table")
    assert missing.exit_code == ExitCode.USAGE and "jpipe run" in missing.stderr
    study.run()
    shown = json.loads(study.command("show", "table", "--json").stdout)
    table = {"total": 1177.5, "count": 3.0}
    assert shown == {"v": 1, "step": "table", "items": [{"label": "table", "value": table}]}
    assert study.command("show", "power", "--item", "1").stdout.strip() == "142.5"
    assert study.command("show", "power").stdout.splitlines()[0] == "power[n=10, p=1] 22.5"
    assert study.command("show", "power", "--item", "9").exit_code == ExitCode.NOTHING_SELECTED
    near = study.command("show", "tabel")
    assert "did you mean table?" in near.stderr


def test_explain_names_what_a_step_watches(study: Project) -> None:
    text = study.command("explain", "power").stdout
    assert re.search(r"power\(values, p\) -> float +pipeline\.py:11", text)
    assert "helper.scaled" in text and "helper.py" in text
    assert "values ← numbers(...)" in text and "p = 1, 2, 3" in text
    document = json.loads(study.command("explain", "power", "--json").stdout)
    assert {"helper.scaled"} <= {part["name"] for part in document["watches"]}


def test_check_finds_every_use_of_a_result_as_a_value(study: Project) -> None:
    assert study.command("check").exit_code == 0
    study.edit("pipeline.py", "    return table([", "    if values:\n        print(len(values))\n    return table([")
    result = study.command("check")
    assert result.exit_code == ExitCode.NOT_LOADED
    assert "`values` is a condition" in result.stdout and "pipeline.py:23" in result.stdout
    assert "`values` is given to len()" in result.stdout and "pipeline.py:24" in result.stdout
    study.edit("pipeline.py", "if values:\n        print(len(values))", "power(values, 1, q=1)")
    wired = study.command("check")
    assert wired.exit_code == ExitCode.NOT_LOADED and "unexpected keyword argument 'q'" in wired.stdout


def test_the_cache_commands(study: Project) -> None:
    none = study.command("cache", "list")
    assert none.exit_code == ExitCode.USAGE and "the first run of a pipeline makes it" in none.stderr
    study.run()
    assert study.command("cache", "dir").stdout.strip() == str(study.cache)
    document = json.loads(study.command("cache", "list", "--json").stdout)
    assert {step["step"]: step["results"] for step in document["steps"]} == {"numbers": 1, "power": 3, "table": 1}
    assert "5 results" in study.command("cache").stdout
    assert json.loads(study.command("cache", "size", "--json").stdout)["nbytes"] > 0
    assert study.command("cache", "verify").exit_code == 0
    assert study.command("cache", "prune", "--size", "1G").exit_code == 0
    assert study.command("cache", "clear").exit_code == ExitCode.USAGE
    assert study.command("cache", "clear", "tabel", "--yes").exit_code == ExitCode.USAGE
    assert study.command("cache", "clear", "table", "--yes").exit_code == 0
    assert study.run().ran == {"table": 1}
    assert study.command("cache", "clear", "--yes").exit_code == 0
    assert study.run().counts == (5, 0)


def test_init_writes_a_pipeline_that_runs_and_overwrites_nothing(project: Project) -> None:
    (project.root / ".gitignore").write_text("*.pyc", "utf-8")
    assert project.command("init").exit_code == 0
    assert (project.root / ".gitignore").read_text("utf-8") == "*.pyc\n/cache/\n"
    assert project.run().counts == (5, 0)
    text = (project.root / "pipeline.py").read_text("utf-8")
    again = project.command("init")
    assert again.exit_code == ExitCode.USAGE and "exists already" in again.stderr
    assert (project.root / "pipeline.py").read_text("utf-8") == text


BAD_FILES = {
    "syntax.py": "x = (",
    "imports.py": "import nothing_of_that_name",
    "raises.py": "x = 1\n1 / 0",
    "leaves.py": "raise SystemExit(0)",
    "none.py": "x = 1",
    "two.py": "from jpipe import pipeline\n@pipeline\ndef one(): pass\n@pipeline\ndef other(): pass",
    "empty.py": "from jpipe import pipeline\n@pipeline\ndef main(): pass",
}


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("missing.py",), 3, "there is no pipeline file 'missing.py'"),
        (("pipelin.py",), 3, "did you mean 'pipeline.py'?"),
        (("syntax.py",), 3, "syntax.py:1"),
        (("imports.py",), 3, "No module named 'nothing_of_that_name'"),
        (("raises.py",), 3, "raises.py:2"),
        (("leaves.py",), 3, "SystemExit"),
        (("none.py",), 3, "defines no pipeline"),
        (("two.py",), 3, "several pipelines: one, other"),
        (("two.py:oen",), 3, "did you mean 'one'?"),
        (("tabel",), 2, "did you mean 'table'?"),
        (("--set", "m=3"), 2, "no parameter 'm'"),
        (("--set", "n=x"), 2, "n=x: expected int"),
        (("--set", "n"), 2, "not NAME=VALUE"),
        (("--set", "n=1", "--set", "n=2"), 2, "given twice"),
        (("-j", "0"), 2, "--jobs 0"),
        (("-j", "many"), 2, "--jobs many"),
        (("-j",), 2, "requires an argument"),
        (("--progress", "bar"), 2, "did you mean bars?"),
        (("--jbos", "2"), 2, "--jobs"),
        (("-k", "-x"), 2, "exclude each other"),
        (("--item", "3"), 2, "--item needs the one step"),
        (("power", "--item", "x"), 2, "not the number of an item"),
        (("-f", "tabel"), 2, "did you mean 'table'?"),
        (("--failed",), 5, "nothing failed in the last run"),
        (("empty.py",), 5, "calls no step"),
    ],
)
def test_bad_input_is_answered_with_one_message(
    study: Project,
    words: tuple[str, ...],
    code: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    study.write(BAD_FILES)
    monkeypatch.chdir(study.root)
    monkeypatch.setattr(sys, "path", sys.path[:])
    try:
        assert call(["run", *words]) == code
    finally:
        for name in [n for n, m in sys.modules.items() if str(getattr(m, "__file__", "")).startswith(str(study.root))]:
            del sys.modules[name]
    out, err = capsys.readouterr()
    assert message in err
    assert err.startswith("✗ ")
    assert out == "" and "Traceback" not in err
    assert len(err.splitlines()) <= 5


def test_a_failure_names_item_line_inputs_and_what_to_type(study: Project) -> None:
    study.edit("helper.py", "return x / 2", 'raise ValueError(f"cannot scale {x}") if x > 200 else SystemError()')
    study.edit("helper.py", "    raise", "    if x > 2000:\n        raise")
    study.edit("helper.py", "# halved", "print('scaling', x)")
    result = study.run("-j", "1", json=False)
    assert result.exit_code == ExitCode.FAILED
    assert "✗ power[n=10, p=3]   item 2 of 0-2" in result.stderr
    assert re.search(r"helper\.py:4 in scaled", result.stderr)
    assert re.search(r"❱ 4 │ +raise ValueError", result.stderr)
    assert "ValueError: cannot scale 2025" in result.stderr
    assert "← numbers[n=10]" in result.stderr
    assert "scaling 2025" in result.stderr
    assert "jpipe run power --item 2" in result.stderr
    assert "2 of 3 power items done and kept · table not started" in result.stderr
    assert "the next run does only item 2 of power, table" in result.stderr


def test_ctrl_c_keeps_what_finished_and_exits_130(project: Project) -> None:
    project.write("""
        import time
        from jpipe import pipeline, step

        @step
        def nap(i: int) -> int:
            time.sleep(0.2)
            return i

        @pipeline
        def main(n: int = 100):
            return [nap(i) for i in range(n)]
    """)
    with project.start("run", "-j", "2", "--progress", "plain", "-v") as run:
        assert run.stderr is not None
        next(line for line in run.stderr if "nap[i=" in line and "ran" in line)
        run.send_signal(signal.SIGINT)
        _, err = run.communicate(timeout=20)
    assert run.returncode == ExitCode.INTERRUPTED, err
    assert "what finished is kept" in err and "Traceback" not in err
    assert project.run("--set", "n=2").end["cached"] >= 1


def test_a_reader_that_leaves_is_no_error(study: Project) -> None:
    study.run()
    for arguments in (["graph"], ["run", "--json", "-f", "table"], ["plan", "--json"]):
        with study.start(*arguments) as command:
            assert command.stdout is not None and command.stderr is not None
            command.stdout.close()
            err = command.stderr.read()
            assert command.wait(30) == 0, err
        assert "Traceback" not in err and "Broken pipe" not in err


def test_a_bug_in_jpipe_is_said_to_be_one(study: Project) -> None:
    script = (
        "import jpipe.api, sys; from jpipe.cli.command_line import call\n"
        "def broken(*a, **k): raise RuntimeError('inside')\n"
        "jpipe.api.plan = broken\nsys.exit(call(['plan']))"
    )
    result = study.python("-c", script)
    assert result.exit_code == ExitCode.BUG
    assert "RuntimeError: inside" in result.stderr and "bug in jpipe" in result.stderr


def test_github_gets_annotations_and_a_summary(study: Project) -> None:
    study.edit("helper.py", "return x / 2", "return x / 0")
    summary = study.root / "summary.md"
    result = study.run(json=False, env={"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary)})
    assert result.exit_code == ExitCode.FAILED
    annotation = r"^::error file=helper\.py,line=3,title=power\[.*\]::ZeroDivisionError: "
    assert re.search(annotation, result.stderr, re.MULTILINE)
    written = summary.read_text("utf-8")
    assert "| power | failed | 3 |" in written
    assert '["power ×3"]:::failed' in written and "classDef failed fill:" in written and " --> " in written


def test_color_is_asked_for_by_flag_then_variables_then_terminal(study: Project) -> None:
    escape = "\x1b["
    assert escape not in study.command("status").stdout
    assert escape in study.command("status", env={"FORCE_COLOR": "1"}).stdout
    assert escape not in study.command("status", env={"FORCE_COLOR": "1", "NO_COLOR": "1"}).stdout
    assert escape in study.command("status", "--color", "always", env={"NO_COLOR": "1"}).stdout
    assert escape not in study.command("status", "--color=never", env={"FORCE_COLOR": "1"}).stdout
    refused = study.command("status", "--set", "m=1", "--color", "always")
    assert escape in refused.stderr


def test_python_dash_m_is_the_same_command(study: Project) -> None:
    assert study.command("--version").stdout.startswith("jpipe ")
    assert study.command().stdout.startswith("Usage: jpipe ")
    wrong = study.command("rnu")
    assert wrong.exit_code == ExitCode.USAGE and "did you mean run?" in wrong.stderr
    file = study.command("study.py")
    assert "did you mean jpipe run study.py?" in file.stderr


def typing(study: Project, text: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command with `text` typed into it."""
    command = [sys.executable, "-m", "jpipe", *arguments]
    return subprocess.run(command, cwd=study.root, input=text, capture_output=True, text=True, timeout=60, check=False)


def test_debug_stops_at_the_users_line_with_the_items_own_inputs(study: Project) -> None:
    study.edit("helper.py", "return x / 2", "import json\n    return json.loads('{') if x > 2000 else x / 2")
    failed = study.run("-j", "1", json=False)
    (typed,) = re.findall(r"debug here +jpipe (.*)", failed.stderr)
    assert typed == "debug power --item 2"
    debugged = typing(study, "p x, 'asked'\nq\n", *typed.split())
    assert debugged.returncode == ExitCode.FAILED
    assert "(2025, 'asked')" in debugged.stdout
    assert "helper.py(4)scaled()" in debugged.stdout.split("(Pdb)")[0], "it starts at the user's line, not in json"
    traced = typing(study, "p sorted(values)[-1], p\nc\n", "debug", "power", "--item", "0", "--trace")
    assert "(9, 1)" in traced.stdout and "it returned 22.5" in traced.stderr
    again = typing(study, "p x\nq\n", "debug", "power")
    assert "(Pdb) 2025" in again.stdout, "without --item it is the one that failed"
    assert study.command("debug", "power", "--item", "9").exit_code == ExitCode.NOTHING_SELECTED
    assert study.command("debug", "power", "--item", "1", "--script", "again.py").exit_code == 0
    assert study.python("again.py").stdout.strip() == "142.5"
    assert len((study.root / "again.py").read_text().splitlines()) <= 5
    missing = study.command("debug", "table")
    assert missing.exit_code == ExitCode.USAGE and "first: jpipe run power" in missing.stderr


def test_the_log_of_a_failed_item_is_its_failure(study: Project) -> None:
    study.edit("helper.py", "return x / 2", "print('dividing', x)\n    return x / 0")
    assert study.run("-j", "1").exit_code == ExitCode.FAILED
    told = study.command("log", "power", "--item", "0").stdout
    assert "power[n=10, p=1]" in told and "ZeroDivisionError" in told and "dividing 45" in told


def test_verify_names_what_is_damaged_and_repair_heals_it(study: Project) -> None:
    study.run()
    pack = max(study.cache.rglob("*.pack"), key=lambda file: file.stat().st_size)
    pack.chmod(0o600)
    raw = bytearray(pack.read_bytes())
    raw[len(raw) // 2] ^= 0xFF
    pack.write_bytes(raw)
    found = study.command("cache", "verify")
    assert found.exit_code == ExitCode.FAILED
    assert pack.name in found.stdout and "--repair" in found.stdout
    assert json.loads(study.command("cache", "verify", "--json").stdout)["sound"] is False
    assert study.command("cache", "verify", "--repair").exit_code == 0
    assert study.command("cache", "verify").exit_code == 0
    again = study.run()
    assert again.exit_code == 0 and again.end["ran"] >= 1


def test_check_in_json(study: Project) -> None:
    study.edit("pipeline.py", "    return table([", "    print(f'{values}')\n    return table([")
    document = json.loads(study.command("check", "--json").stdout)
    assert [(one["line"], one["hint"]) for one in document["mistakes"]] == [(23, "build the text in a step")]
    study.edit("pipeline.py", "    print(f'{values}')\n", "")
    study.edit("helper.py", "    return x / 2", "    return eval('x / 2')")
    (spot,) = json.loads(study.command("check", "--json").stdout)["unseen"]
    assert (spot["step"], spot["file"]) == ("power", "helper.py") and spot["remedy"]
    told = study.command("check").stdout
    assert "this cannot be watched" in told and "can be laid out" in told
