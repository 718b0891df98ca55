"""What a map may go over, and what its items may take: values are the plain script's, an edit costs what it touches."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Project

PIPELINE = """
    import json
    import numpy as np
    from jpipe import map, pipeline, step

    @step
    def number(i):
        return 10 * i

    @step
    def rows(n):
        return [{"i": i, "name": f"row {i}"} for i in range(n)]

    @step
    def deep(n):
        return {"rows": list(range(n)), "text": "abc", "array": np.arange(n), "more": {"tuple": (5, 6, 7)}}

    @step
    def wide(n):
        return list(range(n)), [[i] * 30_000 for i in range(n)]

    @step
    def used(x):
        if isinstance(x, dict):
            x = x["i"]
        if isinstance(x, (list, tuple)):
            x = sum(used(one) for one in x)
        return int(x, 36) if isinstance(x, str) else int(x)

    @step
    def both(x, y):
        return used(x) - used(y)

    @step
    def against(x, large, table):
        return used(x) + len(large) + len(table["large"])

    @step
    def total(values):
        return sum(values)

    @pipeline
    def main(n: int = 3):
        SOURCES

    if __name__ == "__main__":
        print(json.dumps(main.run()))
"""
WAYS: dict[str, tuple[str, int]] = {
    # what stands in the pipeline -> what comes out
    "a list of outputs": ("total(map(used, [number(1), number(2), number(n)]))", 60),
    "lists that hold outputs": ("total(map(used, [[number(1), 5], (number(2), number(n)), 7]))", 72),
    "a list of outputs beside a map": ("total(map(both, [number(4), number(5)], map(number, [2, n])))", 40),
    "a map of a list of outputs": ("total(map(used, map(both, [number(4), number(5)], [1, number(1)])))", 79),
    "dicts of a step": ("total(map(used, rows(n)))", 3),
    "a part of a result": ("total(map(used, deep(n)['rows']))", 3),
    "a text": ("total(map(used, deep(n)['text']))", 33),
    "an array": ("total(map(used, deep(n)['array']))", 3),
    "a part of a part": ("total(map(used, deep(n)['more']['tuple']))", 18),
    "some of a map": ("both(map(number, [3, 4])[-1], map(number, [5, 6])[1])", -20),
    "parts of items": ("total(map(used, [wide(2)[0], wide(n)[0]]))", 4),
    "nothing": ("total(map(used, rows(0)))", 0),
    "large arguments, with a result among them": (
        "total(map(against, range(4), large=wide(n)[1], table={'large': 'x' * 3_000_000, 'k': number(1)}))",
        6 + 4 * (3 + 3_000_000),
    ),
    "large arguments that are plain": (
        "total(map(against, range(4), large='y' * 2_000_000, table={'large': 'x' * 3_000_000}))",
        6 + 4 * 5_000_000,
    ),
}
EDITED = {"a list of outputs": 70, "lists that hold outputs": 82, "a list of outputs beside a map": 30}
"""What comes out when 10 more is given for the number 2."""


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_map_goes_over_it(project: Project, jobs: str) -> None:
    project.write(PIPELINE.replace("SOURCES", f"return {{{', '.join(f'{w!r}: {s}' for w, (s, _) in WAYS.items())}}}"))
    values = {way: value for way, (_, value) in WAYS.items()}
    first = project.run("-j", jobs)
    assert first.exit_code == 0, first.stderr
    assert project.run("-j", jobs).ran == {}
    assert json.loads(project.python("pipeline.py").stdout) == values
    project.edit("pipeline.py", "return 10 * i", "return 10 * (i + (i == 2))")
    changed = project.run("-j", jobs)
    # number(2) is now what number(3) was, of which `used` is known; in the list it is new.
    assert changed.ran == {"number": first.ran["number"], "used": 1, "both": 1, "total": len(EDITED)}
    assert json.loads(project.python("pipeline.py").stdout) == {**values, **EDITED}


def test_an_element_that_is_not_there_is_named(project: Project) -> None:
    project.write(PIPELINE.replace("SOURCES", "return number(map(number, range(3))[7])"))
    result = project.run("-j", "1", json=False)
    assert result.exit_code != 0
    assert "7" in result.stderr and "number" in result.stderr and "Traceback" not in result.stderr
