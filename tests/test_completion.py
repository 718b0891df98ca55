"""Completion by Tab, in the shells themselves: keys are typed, and the line that stands there then is printed."""

from __future__ import annotations

import os
import re
import shutil
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from jpipe.cli.commands import COMMANDS

if TYPE_CHECKING:
    from conftest import Project

pexpect = pytest.importorskip("pexpect")
pytestmark = pytest.mark.skipif(os.name == "nt", reason="no such shells")

STUDY = """
    from jpipe import pipeline, step
    from more import fetch

    raise_if_imported = open("may_be_imported").read()

    @step(tags=("slow", "night"))
    def power_sum(n: int, power: int) -> int:
        return n**power

    @step
    def table(sums: list[int]) -> list[int]:
        return sums

    @pipeline
    def main(count: int = 3, powers: tuple[int, ...] = (1, 2)):
        return table([power_sum(fetch(count), power) for power in powers])

    @pipeline
    def minor(seed: int = 3):
        return table([seed])
"""
MORE = """
    from jpipe import step

    @step
    def fetch(n: int) -> int:
        return n
"""
SETTINGS = """
[tool.jpipe.profiles.quick]
jobs = 1
"""

TYPED = {
    # what is typed before Tab: what stands there then
    "jpipe statu": "jpipe status ",
    "jpipe run --keep": "jpipe run --keep-going ",
    "jpipe run --progress work": "jpipe run --progress workers ",
    "jpipe run --backend lok": "jpipe run --backend loky ",
    "jpipe run pow": "jpipe run power_sum ",
    "jpipe run fet": "jpipe run fetch ",
    "jpipe run stud": "jpipe run study.py ",
    "jpipe run study.py:mi": "jpipe run study.py:minor ",
    "jpipe run :mai": "jpipe run :main ",
    "jpipe run sub/oth": "jpipe run sub/other.py ",
    "jpipe run sub/other.py els": "jpipe run sub/other.py elsewhere ",
    "jpipe run --set pow": "jpipe run --set powers=",
    "jpipe run -f tab": "jpipe run -f table ",
    "jpipe run -t nig": "jpipe run -t night ",
    "jpipe run --profile qui": "jpipe run --profile quick ",
    "jpipe show tab": "jpipe show table ",
    "jpipe cache ver": "jpipe cache verify ",
    "jpipe run --report pag": "jpipe run --report page.html ",
}
SHELLS: dict[str, tuple[list[str], str]] = {
    "bash": (["--norc", "--noprofile", "-i"], 'eval "$(_JPIPE_COMPLETE=bash_source jpipe)"'),
    "zsh": (
        ["-f", "-i"],
        'bindkey -e; autoload -U compinit; compinit -u -D; eval "$(_JPIPE_COMPLETE=zsh_source jpipe)"',
    ),
    "fish": (["--no-config", "-i"], "_JPIPE_COMPLETE=fish_source jpipe | source"),
}


@pytest.fixture(scope="module")
def study(shared_project: Project) -> Project:
    """A pipeline that has run and whose file cannot be imported any more, and a command ``jpipe``."""
    other = STUDY.replace("def power_sum", "def elsewhere").replace("[power_sum(", "[elsewhere(")
    files = {"pipeline.py": STUDY, "study.py": STUDY, "more.py": MORE, "sub/other.py": other, "page.html": ""}
    shared_project.write({**files, "may_be_imported": "", "pyproject.toml": SETTINGS, "bin/jpipe": ""})
    assert shared_project.run("-j1", json=False).exit_code == 0
    (shared_project.root / "may_be_imported").unlink()
    command = shared_project.root / "bin" / "jpipe"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m jpipe "$@"\n', "utf-8")
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    return shared_project


@pytest.mark.parametrize("shell", ["bash", *(pytest.param(name, marks=pytest.mark.slow) for name in ("zsh", "fish"))])
def test_tab_completes(shell: str, study: Project) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    arguments, setup = SHELLS[shell]
    path = os.pathsep.join([str(study.root / "bin"), os.environ["PATH"]])
    env = {**os.environ, "PATH": path, "TERM": "dumb" if shell == "bash" else "xterm", "HOME": str(study.root)}
    options = {"cwd": study.root, "encoding": "utf-8", "timeout": 30, "dimensions": (40, 200)}
    child = pexpect.spawn(shell, arguments, env=env, **options)
    try:
        child.sendline(f"{setup}; echo re''ady")
        child.expect("ready")
        said = {typed: line_after_tab(child, typed) for typed in TYPED}
    finally:
        child.close(force=True)
    # fish closes a file's name with a space of its own accord, or does not.
    assert {typed: line.rstrip() for typed, line in said.items()} == {t: line.rstrip() for t, line in TYPED.items()}
    if shell != "fish":
        assert said == TYPED


def line_after_tab(child: Any, typed: str) -> str:
    """Type, press Tab, and have the shell print what it has on its line then, quoted."""
    child.send(f"{typed}\t")
    child.send("#END#'\x01printf '@@%s\\n' '\x05\n")
    child.expect(re.compile(r"@@(jpipe.*?)#END#", re.DOTALL))
    return str(child.match[1])


LOADED = """
import sys
from jpipe.cli.command_line import call
try:
    call([])
finally:
    print(*(name for name in sys.modules if name.startswith("jpipe.cli.")), file=sys.stderr)
"""


def test_no_command_is_loaded_to_name_them_and_errors_are_silent(study: Project) -> None:
    asked = {"_JPIPE_COMPLETE": "bash_complete"}
    done = study.python("-c", LOADED, env={**asked, "COMP_LINE": "jpipe "})
    assert [line.removeprefix("plain,") for line in done.stdout.splitlines()] == list(COMMANDS)
    assert not {f"jpipe.cli.{name}" for name in COMMANDS} & set(done.stderr.split()), done.stderr
    for line in ("jpipe run nowhere/x", "jpipe show --cache-dir nowhere --run ", "jpipe run --profile x"):
        silent = study.python("-m", "jpipe", env={**asked, "COMP_LINE": line})
        assert (silent.exit_code, silent.stdout.strip(), silent.stderr) == (0, "", ""), line


@pytest.mark.parametrize(("shell", "said"), [("/bin/bash", "~/.bashrc"), ("/usr/bin/fish", "source"), ("", None)])
def test_init_says_how(shell: str, said: str | None, tmp_path: Path, project: Project) -> None:
    told = project.command("init", str(tmp_path / "new"), env={"SHELL": shell}).stderr
    assert "completion" in told if said else "completion" not in told
    assert (said or "") in told
