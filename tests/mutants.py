"""Mutation testing: changes of jpipe's own code, one at a time, and whether any test notices.

    python tests/mutants.py --minutes 60                      # decide, fingerprint and store, in turn
    python tests/mutants.py --rooms store --seed 7 --minutes 5

A mutant that no test notices survives. It is either of equal effect (a cache that is not used, a shortcut that is not
taken), or a test is missing. `nox -s mutants` runs this every night.
"""

from __future__ import annotations

import argparse
import ast
import copy
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROOMS = {
    "decide": ("test_rebuilder.py", "test_reasons.py", "test_run.py", "test_chained_maps.py", "test_instant.py"),
    "fingerprint": ("test_fingerprint.py", "test_constants.py", "test_digest_code.py", "test_typed_code.py"),
    "store": ("test_store.py", "test_store_formats.py", "test_store_upkeep.py", "test_store_security.py"),
}
"""Rooms, and the tests that answer for them; what passes these is not tried with others."""

EVERYDAY = "not slow and not nightly and not timing"

OPPOSITE: dict[type[ast.AST], type[ast.AST]] = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.GtE, ast.GtE: ast.Lt, ast.Gt: ast.LtE, ast.LtE: ast.Gt,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.And: ast.Or, ast.Or: ast.And,
    ast.Add: ast.Sub, ast.Sub: ast.Add,
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """A module with one change."""

    module: Path
    line: int
    before: str
    after: str
    source: str

    def __str__(self) -> str:
        return f"{self.module.relative_to(ROOT).as_posix()}:{self.line}  {self.before}  →  {self.after}"


def changed(node: ast.AST) -> ast.AST | None:
    """A node that means something else in the place of this one, where there is an obvious one."""
    new = copy.deepcopy(node)
    if isinstance(new, ast.Compare) and type(new.ops[0]) in OPPOSITE:
        new.ops[0] = OPPOSITE[type(new.ops[0])]()  # type: ignore[call-overload]
    elif isinstance(new, ast.BoolOp | ast.BinOp) and type(new.op) in OPPOSITE:
        new.op = OPPOSITE[type(new.op)]()  # type: ignore[assignment]
    elif isinstance(new, ast.UnaryOp) and isinstance(new.op, ast.Not):
        return new.operand
    elif isinstance(new, ast.Constant) and isinstance(new.value, bool):
        new.value = not new.value
    elif isinstance(new, ast.IfExp):
        new.body, new.orelse = new.orelse, new.body
    else:
        return None
    return new


def mutants(module: Path) -> Iterator[Mutant]:
    """All changes of what stands inside functions of a module."""
    source = module.read_text("utf-8")
    lines = source.encode().splitlines(keepends=True)
    starts = [sum(map(len, lines[:number])) for number in range(len(lines))]
    for function in ast.walk(ast.parse(source)):
        if not isinstance(function, ast.FunctionDef):
            continue
        for statement in function.body:
            for node in ast.walk(statement):
                new = changed(node)
                if new is None or not isinstance(node, ast.expr):
                    continue
                before, after = ast.get_source_segment(source, node), f"({ast.unparse(new)})"
                begin = starts[node.lineno - 1] + node.col_offset
                end = starts[(node.end_lineno or node.lineno) - 1] + (node.end_col_offset or 0)
                whole = source.encode()
                text = (whole[:begin] + after.encode() + whole[end:]).decode()
                try:
                    ast.parse(text)
                except SyntaxError:  # inside an f-string
                    continue
                yield Mutant(module, node.lineno, " ".join((before or "").split()), after, text)


def is_noticed(mutant: Mutant, tests: tuple[str, ...], patience: float) -> bool:
    """Whether a test fails, or does not end, with a copy of jpipe that has the change."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        shutil.copytree(ROOT / "jpipe", Path(folder, "jpipe"), ignore=shutil.ignore_patterns("__pycache__"))
        Path(folder, mutant.module.relative_to(ROOT)).write_text(mutant.source, "utf-8")
        return not passes(folder, tests, patience)


def passes(folder: str | Path, tests: tuple[str, ...], patience: float) -> bool:
    """Whether all tests pass with the jpipe in a folder."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-m", EVERYDAY]
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONSAFEPATH": "1"}
    process = subprocess.Popen(
        [*command, *(str(ROOT / "tests" / name) for name in tests)],
        cwd=ROOT / "tests", env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        return process.wait(patience) == 0
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return False


def main() -> int:
    """Print survivors as they come, and the share that was noticed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rooms", nargs="*", default=list(ROOMS), choices=ROOMS)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=int(time.time()) // 86400, help="default: another one each day")
    options = parser.parse_args()
    chance, patience = random.Random(options.seed), {}
    for room in options.rooms:
        begun = time.monotonic()
        if not passes(ROOT, ROOMS[room], 3600):
            print(f"the tests of {room} fail without any change")
            return 2
        patience[room] = 3 * (time.monotonic() - begun) + 60
    pools = {room: [one for path in sorted((ROOT / "jpipe" / room).rglob("*.py")) for one in mutants(path)]
             for room in options.rooms}  # fmt: skip
    noticed, tried = dict.fromkeys(options.rooms, 0), dict.fromkeys(options.rooms, 0)
    until = time.monotonic() + 60 * options.minutes
    while time.monotonic() < until:
        room = min(options.rooms, key=lambda one: tried[one])
        mutant = chance.choice(pools[room])
        tried[room] += 1
        if is_noticed(mutant, ROOMS[room], patience[room]):
            noticed[room] += 1
        else:
            print("survived ", mutant, flush=True)
    for room in options.rooms:
        print(f"{room}: {noticed[room]} of {tried[room]} noticed, of {len(pools[room])} mutants; seed {options.seed}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
