"""What a type checker sees: steps and pipelines keep the signatures of their functions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

SOUND = """
from typing import Any, assert_type
import jpipe
from jpipe import File, map, pipeline, seed, step

@step
def one(a: int, b: str = "") -> float:
    return a + len(b)

@step(retries=2)
def two(x: float) -> list[int]:
    return [int(x)]

@pipeline
def main(n: int = 1) -> list[int]:
    assert_type(one(n, b="x"), float)
    assert_type(map(one, [1, 2], b="x"), list[float])
    return two(one(n))

assert_type(one(1), float)
assert_type(two(1.0), list[int])
assert_type(main(2), list[int])
assert_type(main.run(n=2), list[int])
assert_type(seed(), int)
assert_type(File("x").path, str)
assert_type(one.options(retries=1)(1), float)
"""

WRONG = {
    "wrong argument of a step": "one('a')",
    "unknown argument of a step": "one(1, c=2)",
    "wrong argument of a pipeline": "main('a')",
    "wrong parameter of a run": "main.run(m=2)",
    "wrong element of a map": "map(one, ['a'])",
}


@pytest.mark.timing
def test_the_public_names_are_typed(tmp_path: Path) -> None:
    api = pytest.importorskip("mypy.api")
    lines = [f"{expression}  # {name}" for name, expression in WRONG.items()]
    file = tmp_path / "typed.py"
    file.write_text(SOUND + "\n".join(lines) + "\n", "utf-8")
    out, err, _ = api.run(
        [str(file), "--strict", "--no-error-summary", "--follow-imports=silent", f"--cache-dir={tmp_path}"]
    )
    first = SOUND.count("\n") + 1
    flagged: dict[int, Any] = {int(line.split(":")[1]): line for line in out.splitlines() if ": error:" in line}
    assert sorted(flagged) == list(range(first, first + len(lines))), out + err
