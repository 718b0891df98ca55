"""A large value that many calls take is looked at once, and each call gets it as it was when the call was written."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from jpipe import step
from jpipe.define import large_values
from jpipe.define.layout import Layout, contains_output, needs_of

if TYPE_CHECKING:
    from conftest import Project

N = 300


@step
def pick(rows: Any, i: int) -> Any:
    return rows, i


def captured(rows: Any, calls: int = 2, between: Callable[[Any], object] = lambda rows: None) -> list[Any]:
    """What each call of one layout has for its argument, the value being changed before the last call."""
    layout = Layout()
    with layout:
        for i in range(calls):
            if i == calls - 1:
                between(rows)
            pick(rows, i)
    return [call.arguments["rows"] for call in layout.calls]


def rows() -> list[dict[str, Any]]:
    return [{"i": i, "s": str(i), "f": float(i), "n": None} for i in range(N)]


SAME: dict[str, Callable[[], Any]] = {
    "rows": rows,
    "numbers": lambda: list(range(N)),
    "a dict": lambda: {str(i): i for i in range(N)},
    "a tuple of lists": lambda: tuple([i] for i in range(N)),
    "texts and None": lambda: ["a", None] * N,
    "truths": lambda: [True, False] * N,
    "deep": lambda: [[[[i]]] for i in range(N)],
    "odd floats": lambda: [0.0, -0.0, float("nan"), float("inf")] * N,
}


@pytest.mark.parametrize("make", SAME.values(), ids=list(SAME))
def test_a_value_that_is_passed_again_unchanged_is_copied_once(make: Callable[[], Any]) -> None:
    value = make()
    copies = captured(value, 4)
    assert all(copy is copies[0] for copy in copies)
    assert copies[0] is not value or type(value) is tuple
    assert repr(copies[0]) == repr(value)


CHANGES: dict[str, Callable[[list[dict[str, Any]]], object]] = {
    "one more": lambda rows: rows.append({"i": -1}),
    "one less": lambda rows: rows.pop(),
    "another order": lambda rows: rows.reverse(),
    "a number deep inside": lambda rows: rows[7].update(i=8),
    "a key more": lambda rows: rows[7].update(new=1),
    "another order of keys": lambda rows: rows[7].update(i=rows[7].pop("i")),
    "1 becomes True": lambda rows: rows[1].update(i=True),
    "1 becomes 1.0": lambda rows: rows[1].update(i=1.0),
    "0.0 becomes -0.0": lambda rows: rows[0].update(f=-0.0),
    "a text becomes bytes": lambda rows: rows[7].update(s=b"7"),
    "None becomes an object": lambda rows: rows[7].update(n=Ellipsis),
    "a row becomes a list": lambda rows: rows.__setitem__(3, [1]),
    "all goes": lambda rows: rows.clear(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=list(CHANGES))
def test_each_call_has_the_value_as_it_was(change: Callable[[Any], object]) -> None:
    value = rows()
    before = repr(value)
    first, second, last = captured(value, 3, change)
    assert first is second
    assert (repr(first), repr(last)) == (before, repr(value))
    assert before != repr(value)


class Odd(int):
    """A number that is not of Python's own kind: what it is cannot be told without its code."""

    def __eq__(self, other: object) -> bool:
        raise AssertionError("code of the user's ran")

    __hash__ = int.__hash__


def test_no_code_of_the_users_runs_and_objects_are_kept_as_they_are() -> None:
    value = [Odd(i) for i in range(N)]
    first, last = captured(value)
    assert first is not last
    assert all(one is other is own for one, other, own in zip(first, last, value, strict=True))


def test_a_result_of_a_step_inside_is_found_each_time() -> None:
    layout = Layout()
    with layout:
        made = pick([], 0)
        value = [*range(N), {"deep": [made]}]
        pick(value, 1)
        pick(value, 2)
        value[-1] = 0
        pick(value, 3)
    assert [call.needs for call in layout.calls] == [(), (0,), (0,), ()]
    assert [contains_output(call.arguments["rows"]) for call in layout.calls] == [False, True, True, False]
    assert [len(list(needs_of(call.arguments["rows"]))) for call in layout.calls] == [0, 1, 1, 0]


def test_what_was_remembered_goes_with_the_layout() -> None:
    before = len(large_values._holds)
    captured(rows(), 3)
    gc.collect()
    assert len(large_values._holds) == before


def test_a_large_list_for_many_calls_costs_hardly_more_than_for_one(project: Project) -> None:
    project.write("""
        from jpipe import pipeline, step

        @step
        def pick(rows, i):
            return rows[i]["i"]

        @pipeline
        def main(k: int = 1):
            rows = [{"i": i, "s": str(i)} for i in range(20_000)]
            found = [pick(rows, i) for i in range(k)]
            rows[0]["i"] = 7
            return [*found, pick(rows, 0)]
        """)
    value = project.python("-c", "import pipeline; print(pipeline.main.run(k=4))")
    assert value.stdout.split("\n")[-2] == "[0, 1, 2, 3, 7]", value.stderr
    plan = project.plan("--set", "k=30")
    assert [step["items"] for step in plan["steps"]] == [31]


@pytest.mark.timing
def test_looking_at_a_large_list_again_takes_a_fraction() -> None:
    value = [{"i": i, "s": str(i)} for i in range(50_000)]

    def seconds(calls: int) -> float:
        begun = time.perf_counter()
        captured(value, calls)
        return time.perf_counter() - begun

    one = min(seconds(1) for _ in range(3))
    assert min(seconds(12) for _ in range(3)) < 6 * one
