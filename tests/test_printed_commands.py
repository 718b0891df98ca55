"""What screens tell people to type: each command means the same pipeline, parameters and cache, and works as it is."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from jpipe.cli.commands import COMMANDS

if TYPE_CHECKING:
    from conftest import Project

STUDY = """
    from jpipe import pipeline, step

    SCALE = 1

    @step(retries=1)
    def fit(x: int, mode: str) -> dict[str, int]:
        print("fitting", x, "WARNING")
        if mode == "bad" and x == 1:
            raise ValueError("bad")
        return {"x": x * SCALE}

    @step
    def table(rows: list[dict[str, int]]) -> list[dict[str, int]]:
        return rows

    @pipeline
    def other():
        return table([])

    @pipeline
    def main(n: int = 3, mode: str = "good"):
        return table([fit(i, mode) for i in range(n)])
"""
DRIVER = """
import contextlib, io, json, sys
from jpipe.cli.command_line import call

if __name__ == "__main__":
    for words in json.load(sys.stdin):
        with contextlib.redirect_stdout(io.StringIO()) as text, contextlib.redirect_stderr(text):
            code = call(words)
        print(json.dumps([words, code, text.getvalue()]))
"""
PRINTED = re.compile(rf"jpipe (?:{'|'.join(COMMANDS)})\b[^\n`]*?(?=  |\s+·|\)|$)", re.MULTILINE)
"""Two spaces, a dot or the end of the line end a command."""
WHERE = ["sub/study.py:main"]
CACHE = ["--cache-dir", "my cache"]
GIVEN = [*WHERE, "--set", "n=4", *CACHE]


def screens(project: Project, asked: list[list[str]]) -> list[tuple[list[str], int, str]]:
    """What these commands print, one after the other in one process."""
    done = subprocess.run(
        [sys.executable, "driver.py"], input=json.dumps(asked), cwd=project.root, capture_output=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    found: list[Any] = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[[")]
    assert len(found) == len(asked), done.stderr
    return found


def test_each_command_that_a_screen_prints_works(project: Project) -> None:
    project.write({"sub/study.py": STUDY, "driver.py": DRIVER})
    told = screens(
        project,
        [
            ["cache", *CACHE],
            ["log", *WHERE, *CACHE],
            ["run", *GIVEN, "-j1"],
            ["plan", *GIVEN, "-f", "fit"],
            ["run", *GIVEN, "--set", "mode=bad", "-j1"],
            ["log", *WHERE, "fit", *CACHE],
            ["log", *WHERE, "fit", "--run", "77", *CACHE],
            ["show", *WHERE, "table", "--run", "77", *CACHE],
            ["show", *WHERE, "--set", "n=9", *CACHE],
            ["history", *WHERE, *CACHE],
            ["diff", *WHERE, "--run", "1", "77", *CACHE],
            ["report", *WHERE, "--run", "77", *CACHE],
            ["run", *GIVEN, "--set", "mode=bad", "--failed", "-j1"],
        ],
    )
    project.edit("sub/study.py", "SCALE = 1", "SCALE = 2")
    told += screens(
        project,
        [
            ["plan", *GIVEN],
            ["plan", "--why", *GIVEN],
            ["status", *GIVEN],
            ["explain", *GIVEN, "fit"],
            ["run", *GIVEN, "--frozen"],
            ["check", *GIVEN, "--frozen"],
            ["accept", *GIVEN, "fit", "--dry-run"],
            ["accept", *GIVEN, "fit", "--undo"],
            ["accept", *GIVEN, "fit", "--yes"],
            ["plan", *GIVEN],
            ["accept", *GIVEN, "--list"],
            ["graph", *GIVEN],
            ["cache", "list", *CACHE],
            ["cache", "verify", *CACHE],
        ],
    )
    assert [code for _, code, _ in told[-2:]] == [0, 0], "the cache is named behind the command as well"
    printed: dict[str, list[str]] = {}
    for words, code, text in told:
        assert code != 70, text
        for command in PRINTED.findall(text):
            printed.setdefault(command.strip(), words)
    names = {shlex.split(command)[1] for command in printed}
    assert {"run", "log", "debug", "plan", "accept", "history"} <= names, printed
    for command, words in printed.items():
        assert WHERE[0] in command and "--cache-dir 'my cache'" in command, (command, words)
        of_run = shlex.split(command)[1] in ("run", "debug", "plan", "accept")
        assert not of_run or "--set n=" in command or "--set" not in words, (command, words)
    again = screens(project, [shlex.split(command)[1:] for command in printed if " accept " not in command])
    for words, code, text in again:
        expected = (0, 1) if words[0] in ("run", "debug") else (0,)
        assert code in expected, (words, code, text)
