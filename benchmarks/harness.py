"""Run programs side by side, each phase a new process timed from outside, and keep what they took."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jpipe
from benchmarks.memory import Peak

PROGRAMS = Path(__file__).parent / "programs"
LIMIT = 600.0
"""Seconds after which a program is given up."""


@dataclass(frozen=True, slots=True)
class Contender:
    """One way of doing the work.

    Parameters
    ----------
    name
        As the tables show it.
    program
        File below ``programs/``; empty for none.
    needs
        Modules without which it is left out.
    command
        What runs it; ``{program}`` stands for the file. Default: this Python.
    fixed
        Arguments that hold for this contender only.
    text
        What the program says, where that is no file.
    """

    name: str
    program: str = ""
    needs: tuple[str, ...] = ()
    command: tuple[str, ...] = ("{program}",)
    fixed: Mapping[str, object] = field(default_factory=dict)
    text: str = ""

    @property
    def is_pipeline(self) -> bool:
        """Whether ``jpipe run`` runs it, which takes parameters as ``--set`` and prints events."""
        return self.command[:3] == PIPELINE[:3]

    def installed(self) -> bool:
        """Whether all that it needs can be imported."""
        return all(importlib.util.find_spec(name) is not None for name in self.needs)


MODULE = ("-c", "import program; program.main()")
"""For tools whose decorated functions can be pickled only from a module."""

PIPELINE = ("-m", "jpipe", "run", "{program}", "-j", "2", "--json")


@dataclass(frozen=True, slots=True)
class Phase:
    """One process of a contender; the phases of a workload follow each other in one folder.

    Parameters
    ----------
    name
        As the tables show it.
    arguments
        By name, the same for every contender.
    edit
        Text of the program to replace before it runs, and its replacement.
    answer
        What a right program prints as ``{"answer": ...}``; None where there is nothing to check.
    runs
        How many items jpipe has to run, or None.
    """

    name: str
    arguments: Mapping[str, object] = field(default_factory=dict)
    edit: tuple[str, str] | None = None
    answer: float | None = None
    runs: int | None = None


@dataclass(frozen=True, slots=True)
class Workload:
    """A piece of work, those who do it, and the phases in which they do it.

    Parameters
    ----------
    name
        As ``--only`` takes it.
    title
        One line above the table.
    baseline
        The contender that ratios are to.
    measure_memory
        Whether to run a further round that samples memory instead of time.
    rounds
        At most so many.
    pause
        Seconds of rest before each contender. A virtual machine may hand memory that is free for some seconds back to
        its host, and take it anew at a price: without the rest, who begins sooner after another's end gets more of its
        memory for nothing.
    """

    name: str
    title: str
    baseline: str
    contenders: tuple[Contender, ...]
    phases: tuple[Phase, ...]
    measure_memory: bool = False
    rounds: int = 100
    pause: float = 0.0


@dataclass(slots=True)
class Measured:
    """What came out of a workload.

    Parameters
    ----------
    seconds
        By contender and phase, one value a round.
    wrong
        By contender and phase: what was wrong with its answer.
    memory
        By contender: peak of the proportional set size over all its processes, in bytes.
    disk
        By contender: bytes that it left on disk.
    missing
        Contenders that are not installed.
    """

    workload: Workload
    seconds: dict[str, dict[str, list[float]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    wrong: dict[str, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    memory: dict[str, int] = field(default_factory=dict)
    disk: dict[str, int] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)

    def took_part(self, contender: str) -> bool:
        """Whether it was chosen and is installed."""
        return any(self.seconds[contender].values()) or bool(self.wrong[contender])

    def finished(self, phase: str) -> list[str]:
        """The contenders that came to the end of a phase."""
        return [one.name for one in self.workload.contenders if self.seconds[one.name][phase]]

    def median(self, contender: str, phase: str) -> float | None:
        """Median seconds, or None if it never finished."""
        taken = self.seconds[contender][phase]
        return statistics.median(taken) if taken else None

    def ratio(self, contender: str, phase: str, to: str | None = None) -> float | None:
        """The median, over rounds, of its seconds divided by those of another contender in the same round."""
        own, other = self.seconds[contender][phase], self.seconds[to or self.workload.baseline][phase]
        return statistics.median(a / b for a, b in zip(own, other, strict=False)) if own and other else None


class Tell:
    """Writes lines to stderr, or nothing."""

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet

    def __call__(self, line: str) -> None:
        if not self._quiet:
            print(line, file=sys.stderr, flush=True)


def measure(workload: Workload, rounds: int, tell: Tell, only: Sequence[str] = ()) -> Measured:
    """Run a workload.

    Parameters
    ----------
    rounds
        How often; the contenders take turns, each round beginning with another one.
    tell
        Gets a line for people after each contender of a round.
    only
        Names of contenders; empty for all.
    """
    result = Measured(workload)
    chosen = [one for one in workload.contenders if not only or one.name in only]
    result.missing = [one.name for one in chosen if not one.installed()]
    ready = [one for one in chosen if one.installed()]
    for number in range(min(workload.rounds, rounds)):
        for contender in _rotated(ready, number):
            time.sleep(workload.pause)
            _one_round(workload, contender, result)
            last = {name: taken[-1] for name, taken in result.seconds[contender.name].items() if taken}
            tell(f"{workload.name} {number + 1}: {contender.name}: " + _listed(last))
    if workload.measure_memory:
        for contender in ready:
            result.memory[contender.name] = _peak(workload, contender)
    return result


def _rotated(contenders: list[Contender], by: int) -> list[Contender]:
    start = by % len(contenders) if contenders else 0
    return contenders[start:] + contenders[:start]


def _listed(seconds: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.3f} s" for name, value in seconds.items())


def _one_round(workload: Workload, contender: Contender, result: Measured) -> None:
    with Folder() as folder:
        program = install_program(contender, folder)
        for phase in workload.phases:
            edit_program(program, phase)
            begin = time.perf_counter()
            done = _run(contender, program, phase)
            taken = time.perf_counter() - begin
            problem = problem_of(contender, phase, done)
            if problem:
                result.wrong[contender.name][phase.name] = problem
            if done.returncode != 0:
                break
            result.seconds[contender.name][phase.name].append(taken)
        result.disk[contender.name] = _size(folder)


def _peak(workload: Workload, contender: Contender) -> int:
    with Folder() as folder:
        program = install_program(contender, folder)
        with Peak() as peak:
            _run(contender, program, workload.phases[0])
        return peak.nbytes


class Folder:
    """A folder that goes away, with all writes of its contender done before the next one begins."""

    def __enter__(self) -> Path:
        self._path = Path(tempfile.mkdtemp(prefix="bench-"))
        return self._path

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._path, ignore_errors=True)
        if hasattr(os, "sync"):
            os.sync()


def install_program(contender: Contender, folder: Path) -> Path:
    """The program, copied into a project of its own."""
    (folder / "jpipe.toml").touch()
    program = folder / "program.py"
    if contender.program:
        shutil.copy(PROGRAMS / contender.program, program)
    elif contender.text:
        program.write_text(contender.text, "utf-8")
    return program


def edit_program(program: Path, phase: Phase) -> None:
    """Edit the program as a phase says."""
    if phase.edit is None or not program.exists():
        return
    text = program.read_text("utf-8")
    old, new = phase.edit
    if old not in text:
        raise ValueError(f"{program.name} has no {old!r} to edit")
    program.write_text(text.replace(old, new), "utf-8")
    later = program.stat().st_mtime + 2
    os.utime(program, (later, later))


def command_of(contender: Contender, program: Path, phase: Phase) -> list[str]:
    """What runs a phase of a contender."""
    arguments = [f"{name}={value}" for name, value in {**phase.arguments, **contender.fixed}.items()]
    if contender.is_pipeline:
        arguments = [word for argument in arguments for word in ("--set", argument)]
    return [sys.executable, *(part.format(program=program) for part in contender.command), *arguments]


def _run(contender: Contender, program: Path, phase: Phase) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command_of(contender, program, phase),
            cwd=program.parent,
            env=environment_of(program.parent),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess([], 1, "", f"gave up after {LIMIT:.0f} s")


def environment_of(folder: Path) -> dict[str, str]:
    """This environment without settings of jpipe, with this jpipe importable and caches of all tools in the folder.

    Where Python was told to keep no bytecode, a jpipe that runs from its sources would be compiled at every start.
    """
    unwanted = ("JPIPE_", "COVERAGE_", "PYTHONDONTWRITEBYTECODE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
    own = {"PYTHONPATH": Path(jpipe.__file__).parents[1], "XDG_CONFIG_HOME": folder / "config"}
    return {**kept, **{name: str(path) for name, path in own.items()}, "XDG_CACHE_HOME": str(folder / "caches")}


def problem_of(contender: Contender, phase: Phase, done: subprocess.CompletedProcess[str]) -> str:
    """What is wrong with what a phase gave, or nothing."""
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        return f"failed: {lines[-1]}"
    if contender.is_pipeline:
        ran = sum(event["ran"] for event in _objects(done.stdout) if event.get("event") == "step_end")
        return "" if phase.runs in (None, ran) else f"ran {ran} items instead of {phase.runs}"
    answers = [one["answer"] for one in _objects(done.stdout) if "answer" in one]
    return "" if phase.answer is None or answers == [phase.answer] else "stale"


def _objects(stdout: str) -> Iterator[dict[str, Any]]:
    for line in stdout.splitlines():
        if line.startswith("{"):
            yield json.loads(line)


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file() and not file.is_symlink())
