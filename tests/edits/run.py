"""Runs edit cases against jpipe, or another tool behind a small adapter, and says what was stale or needless."""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
from peers import in_order, peers  # noqa: E402

FILES = ("cases.json", "more.json", "added.json")
PROJECT = {"pyproject.toml": "[project]\nname = 'case'\nversion = '0'\n"}
_STEP = re.compile(
    r"^# STEP[ \t]*\r?\n(?:@.*\r?\n)*(?:async )?def (?P<name>\w+)\((?P<parameters>[^)]*)\)", re.MULTILINE
)
_FIRST_CLOCK = 1_600_000_000
"""Seconds since the epoch: files get old time stamps, ten seconds apart from version to version."""


@dataclass(frozen=True)
class Version:
    """One state of a project, with what has to run when it is reached from the state before."""

    files: dict[str, str]
    env: dict[str, str]
    must_run: frozenset[str]
    may_run: frozenset[str]

    @property
    def steps(self) -> dict[str, list[str]]:
        """Step name to the steps whose results it receives, in the order of the file."""
        found = {m["name"]: m["parameters"] for m in _STEP.finditer(self.files["pipeline.py"])}
        plain = {name: [p for p in text.split(",") if "=" not in p] for name, text in found.items()}
        names = {name: [p.split(":")[0].strip(" *") for p in given] for name, given in plain.items()}
        return {name: [need for need in needs if need in found] for name, needs in names.items()}


@dataclass(frozen=True)
class Case:
    """A project and its edits."""

    name: str
    tags: frozenset[str]
    versions: tuple[Version, ...]

    @property
    def is_hole(self) -> bool:
        """Not decidable from code alone."""
        return "hole" in self.tags


def cases(match: str = "") -> list[Case]:
    """All cases whose name or tags contain a text."""
    raw = [c for name in FILES for c in json.loads((HERE / name).read_text("utf-8"))]
    found = [Case(c["name"], frozenset(c["tags"]), tuple(map(_version, c["versions"]))) for c in raw]
    return [case for case in found if match in " ".join([case.name, *case.tags])]


def _version(raw: dict[str, Any]) -> Version:
    must, may = frozenset(raw.get("must_run", ())), frozenset(raw.get("may_run", ()))
    return Version(raw["files"], raw["env"], must, may)


class Tool(ABC):
    """A tool to judge. One object serves all cases, from several threads."""

    def files(self, version: Version) -> dict[str, str]:
        """The files of a version as this tool needs them."""
        return dict(version.files)

    @abstractmethod
    def run(self, root: Path, cache: Path, version: Version, environment: dict[str, str]) -> set[str]:
        """Run all steps of the project in `root` in a new process, with results in `cache`; return those that ran."""


class Jpipe(Tool):
    """jpipe itself, through its command line."""

    def __init__(self, decorated: bool = False, code: str = "reachable") -> None:
        self.decorated = decorated
        """Write `@step` into the pipeline file, in place of wrapping its functions from outside."""
        self.code = code
        """Which code counts, as the setting says it."""

    def files(self, version: Version) -> dict[str, str]:
        files = {**version.files, "flow.py": self._flow(version)}
        if self.decorated:
            text = re.sub(r"(?m)^# STEP[ \t]*(?=\r?$)", "@__import__('jpipe').step", files["pipeline.py"])
            files["pipeline.py"] = text
        return files

    def _flow(self, version: Version) -> str:
        steps = version.steps
        lines = ["import jpipe", "import pipeline as _steps", ""]
        lines += [f"{n} = _steps.{n}" if self.decorated else f"{n} = jpipe.step(_steps.{n})" for n in steps]
        lines += ["", "@jpipe.pipeline", "def main():"]
        for name in in_order(steps):
            lines.append(f"    _of_{name} = {name}({', '.join(f'{need}=_of_{need}' for need in steps[name])})")
        return "\n".join([*lines, f"    return [{', '.join(f'_of_{n}' for n in steps)}]", ""])

    def run(self, root: Path, cache: Path, version: Version, environment: dict[str, str]) -> set[str]:
        command = [sys.executable, "-m", "jpipe", "run", "flow.py", "--json", "--cache-dir", str(cache), "-j", "1"]
        done = subprocess.run(
            command,
            cwd=root,
            env={**environment, "JPIPE_CODE": self.code},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"exit {done.returncode}: {done.stderr[-1500:]}")
        events = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        return {e["step"].rpartition(".")[2] for e in events if e["event"] == "step_end" and e["ran"]}


class Always(Tool):
    """Runs everything every time: never stale. A measure for the cases themselves."""

    def run(self, root: Path, cache: Path, version: Version, environment: dict[str, str]) -> set[str]:
        return set(version.steps)


class Never(Tool):
    """Runs nothing after the first time: never needless."""

    def run(self, root: Path, cache: Path, version: Version, environment: dict[str, str]) -> set[str]:
        seen = cache / "ran"
        new = set(version.steps) - set(seen.read_text().split() if seen.exists() else ())
        cache.mkdir(exist_ok=True)
        seen.write_text(" ".join(version.steps))
        return new


TOOLS: dict[str, Tool] = {
    "jpipe": Jpipe(),
    "jpipe-decorated": Jpipe(decorated=True),
    "jpipe-ran": Jpipe(code="ran"),
    "always": Always(),
    "never": Never(),
}


@dataclass
class Judgement:
    """What a tool did wrong in one case."""

    case: Case
    stale: list[str] = field(default_factory=list)
    needless: list[str] = field(default_factory=list)
    error: str | None = None

    @property
    def exact(self) -> bool:
        """Ran all that had to run, and nothing else."""
        return not (self.stale or self.needless or self.error)

    def __str__(self) -> str:
        faults = {"stale": self.stale, "needless": self.needless, "error": self.error}
        told = "; ".join(f"{kind} {what}" for kind, what in faults.items() if what)
        return f"{self.case.name}{' (hole)' if self.case.is_hole else ''}: {told or 'exact'}"


def judge(tool: Tool, case: Case) -> Judgement:
    """Take a tool through all versions of a case, in one project folder with one cache."""
    verdict = Judgement(case)
    with tempfile.TemporaryDirectory(prefix="edit-") as folder:
        root, cache = Path(folder, "project"), Path(folder, "cache")
        try:
            for number, version in enumerate(case.versions):
                _write(root, {**tool.files(version), **PROJECT}, _FIRST_CLOCK + 10 * number)
                ran = tool.run(root, cache, version, _environment(root, version))
                if not number and not set(version.steps) - version.may_run <= ran:
                    raise RuntimeError(f"of a new project it ran only {sorted(ran)}")
                if number:
                    verdict.stale += sorted((version.must_run & set(version.steps)) - ran)
                    verdict.needless += sorted(ran - version.must_run - version.may_run)
        except (OSError, RuntimeError, subprocess.SubprocessError, ValueError) as error:
            verdict.error = str(error)
    return verdict


def _write(root: Path, files: dict[str, str], clock: int) -> None:
    """Bring a folder to a state; files that stay as they are keep their time stamps."""
    for old in [p for p in root.rglob("*") if p.is_file() and p.relative_to(root).as_posix() not in files]:
        old.unlink()
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        raw = text.encode("utf-8")
        if not path.exists() or path.read_bytes() != raw:
            path.write_bytes(raw)
            os.utime(path, (clock, clock))


def _environment(root: Path, version: Version) -> dict[str, str]:
    seed = str(random.randrange(2**31))
    paths = os.pathsep.join(str(root / folder) for folder in ("", "site-packages", "ext"))
    return {**os.environ, **version.env, "PYTHONHASHSEED": seed, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": paths}


def judge_all(tool: Tool, chosen: list[Case], workers: int) -> Iterator[Judgement]:
    """Judge cases side by side, in their order."""
    with ThreadPoolExecutor(workers) as pool:
        yield from pool.map(lambda case: judge(tool, case), chosen)


EVERYDAY = {
    "fstring_spec_changed": "body of a step",
    "h_deep_chain": "helper of a helper",
    "helper_other_module_from_import": "helper imported from a module",
    "h_chain_modules": "helper of an imported helper",
    "constant_changed": "constant in the same file",
    "module_attr_constant_changed": "constant in another module",
    "class_attribute_changed": "attribute of a class",
    "method_changed_via_instance": "method of an instance",
    "default_literal_changed": "default of a parameter",
    "comment_above_everything": "comment at the top",
    "docstring_changed_step": "docstring of a step",
    "unused_helper_same_module": "a function that nobody calls",
    "body_changed_same_output_cutoff": "an edit that gives an equal result",
    "revert_hits_cache": "an edit of a helper, and its undo",
}
"""The rows of the table for readers: cases of edits that everybody makes."""


def table(tools: dict[str, Any], workers: int) -> Iterator[str]:
    """A table in Markdown: what each tool did with each edit of every day."""
    known = {case.name: case for case in cases()}
    columns = {}
    for name, tool in tools.items():
        chosen = [known[case] for case in EVERYDAY]
        columns[name] = [_in_a_word(judgement) for judgement in judge_all(tool, chosen, workers)]
    yield f"| edit | {' | '.join(columns)} |"
    yield "|---" * (len(columns) + 1) + "|"
    for row, words in enumerate(EVERYDAY.values()):
        yield f"| {words} | {' | '.join(column[row] for column in columns.values())} |"


def _in_a_word(judgement: Judgement) -> str:
    faults = {"error": judgement.error, "stale": judgement.stale, "needless": judgement.needless}
    return ", ".join(kind for kind, found in faults.items() if found) or "right"


def main() -> int:
    """Print what was wrong, and a line of totals; 1 when anything decidable was."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--match", default="", help="a part of the name or of a tag")
    parser.add_argument("--tool", default="jpipe", choices=[*TOOLS, *peers()])
    parser.add_argument("--python", default=sys.executable, help="an interpreter that has the other tools installed")
    parser.add_argument("--table", action="store_true", help="jpipe and all others with the edits of every day")
    parser.add_argument("-j", type=int, default=2, help="cases at once")
    options = parser.parse_args()
    others = peers(options.python)
    if options.table:
        there = {name: peer for name, peer in others.items() if peer.version()}
        print(*table({**there, "jpipe": TOOLS["jpipe"]}, options.j), sep="\n")
        return 0
    judged = list(judge_all({**TOOLS, **others}[options.tool], cases(options.match), options.j))
    for judgement in judged:
        if not judgement.exact:
            print(judgement)
    main_cases = [j for j in judged if not j.case.is_hole]
    counts = {
        "stale": sum(bool(j.stale) for j in main_cases),
        "needless": sum(bool(j.needless) for j in main_cases),
        "errors": sum(bool(j.error) for j in main_cases),
    }
    exact = sum(j.exact for j in main_cases)
    print(f"exact {exact} of {len(main_cases)};", ", ".join(f"{kind} {count}" for kind, count in counts.items()))
    return int(exact < len(main_cases))


if __name__ == "__main__":
    sys.exit(main())
