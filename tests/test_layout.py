"""Laying a pipeline out: what may be done with a result that does not exist yet, and what is said to all else."""

from __future__ import annotations

import asyncio
import collections
import math
import operator
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import jpipe
from jpipe import Output, pipeline, step
from jpipe.errors import UndigestibleError, UsageError, WiringError


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pipelines of this file have a cache for each test."""
    run = jpipe.api.run
    monkeypatch.setattr("jpipe.api.run", lambda *a, **k: run(*a, **{"cache_dir": tmp_path / "cache", "n_jobs": 1, **k}))


def value(made: Any, **parameters: Any) -> Any:
    """What a pipeline gives."""
    return jpipe.api.run(made, parameters).value


class Split(NamedTuple):
    train: list[int]
    test: list[int]


@step
def pair() -> tuple[int, str]:
    return 1, "a"


@step
def text_pair() -> "tuple[int, str]":  # noqa: UP037 - a string in the source
    return 2, "b"


@step
def split(n: int) -> Split:
    return Split(list(range(n)), [n])


@step
def table() -> dict[str, list[int]]:
    return {"rows": [1, 2, 3], "cols": [4]}


@step
def add(a: int, b: int = 0) -> int:
    return a + b


@step
def total(values: Any) -> Any:
    return sum(values.values()) if isinstance(values, dict) else sum(values)


@step
def show(value: Any) -> str:
    return repr(value)


# -- what may be done --------------------------------------------------------------------------------------------------


def test_results_unpack_by_annotation_whether_it_is_a_string_or_a_named_tuple() -> None:
    @pipeline
    def main() -> Any:
        a, b = pair()
        c, d = text_pair()
        train, test = split(3)
        return [show(a), show(b), show(c), show(d), show(train), show(test)]

    assert value(main) == ["1", "'a'", "2", "'b'", "[0, 1, 2]", "[3]"]


def test_results_are_indexed_by_number_and_key_as_deep_as_wanted() -> None:
    @pipeline
    def main() -> Any:
        found = table()
        return add(found["rows"][1], found["cols"][0]), add(found["rows"][-1]), pair()[1], found["cols"]

    assert value(main) == (6, 3, "a", [4])


def test_a_negative_key_of_a_dict_is_a_key_and_its_value_counts() -> None:
    @step
    def named(before: str) -> dict[int, str]:
        return {-1: before, 1: "after"}

    @pipeline
    def main(before: str) -> Any:
        return show(named(before)[-1])

    for before in ("one", "two"):
        assert value(main, before=before) == repr(before)


def test_lists_tuples_and_dicts_of_results_arrive_filled() -> None:
    @pipeline
    def main() -> Any:
        one, two = add(1), add(2)
        nested = {"xs": [one, (two, 5)], "y": one}
        return total([one, two, 10]), total((one, two)), total({"a": one, "b": 7}), show(nested)

    assert value(main) == (13, 3, 8, "{'xs': [1, (2, 5)], 'y': 1}")


def test_what_the_pipeline_does_to_a_list_afterwards_does_not_count() -> None:
    @pipeline
    def main() -> Any:
        numbers = [add(1)]
        before = total(numbers)
        numbers.append(add(100))
        return before, total(numbers)

    assert value(main) == (1, 101)


def test_nor_what_it_does_to_an_array() -> None:
    @pipeline
    def main() -> Any:
        mask, shown = np.zeros(4, bool), []
        for position in range(3):
            mask[:] = False
            mask[position] = True
            shown += [show(mask), show(mask), show({"m": [mask]})]
        return shown

    masks = [np.arange(4) == position for position in range(3)]
    assert value(main) == [repr(one) for mask in masks for one in (mask, mask, {"m": [mask]})]


def test_nor_what_it_does_to_what_holds_other_things() -> None:
    @pipeline
    def main() -> Any:
        groups: dict[str, list[int]] = collections.defaultdict(list)
        groups["a"].append(1)
        names, raw, nested = {"a"}, bytearray(b"a"), [groups]
        before = [show(one) for one in (groups, names, raw, nested)]
        groups["a"].append(2)
        names.add("b")
        raw += b"b"
        return before

    groups = collections.defaultdict(list, {"a": [1]})
    assert value(main) == [repr(one) for one in (groups, {"a"}, bytearray(b"a"), [groups])]


@dataclass
class Tree:
    """A node that knows the one above it."""

    name: str
    above: Any = None
    below: list[Any] = field(default_factory=list)


def grown() -> Tree:
    tree = Tree("root")
    tree.below.append(Tree("leaf", tree))
    return tree


def test_an_argument_and_what_a_pipeline_returns_may_refer_to_themselves() -> None:
    @pipeline
    def main() -> Any:
        return leaf(grown()), grown()

    @step
    def leaf(tree: Tree) -> str:
        return str(tree.below[0].name)

    name, tree = value(main)
    assert (name, tree.below[0].above is tree) == ("leaf", True)


def test_a_pipeline_returns_any_structure() -> None:
    @dataclass(frozen=True)
    class Answer:
        left: Any
        right: Any
        both: str = field(init=False, default="")

        def __post_init__(self) -> None:
            object.__setattr__(self, "both", "made once")

    @pipeline
    def main() -> Any:
        answer = Answer({"a": [add(1), 2]}, Split(add(3), [add(4)]))  # type: ignore[arg-type, list-item]
        object.__setattr__(answer, "both", "changed")
        groups: dict[str, list[Any]] = collections.defaultdict(list)
        groups["a"].append(add(5))
        return answer, groups, {add(6)}, {add(7): add(8), "b": 9}

    answer, groups, found, table = value(main)
    assert (answer.left, answer.right, answer.both) == ({"a": [1, 2]}, Split(3, [4]), "changed")
    assert (dict(groups), groups["b"], found) == ({"a": [5]}, [], {6})
    assert list(table.items()) == [(7, 8), ("b", 9)]


@pytest.mark.parametrize(
    "hidden",
    [
        lambda out: collections.OrderedDict(a=out),
        lambda out: Split(out, []),
        lambda out: {out},
        lambda out: Tree("a", out),
    ],
    ids=["dict of another kind", "named tuple", "set", "dataclass"],
)
def test_a_result_in_an_argument_where_it_is_not_filled_in_is_refused(hidden: Callable[[Any], Any]) -> None:
    @pipeline
    def main() -> Any:
        return show(hidden(add(1)))

    with pytest.raises(UndigestibleError, match="result of a step") as refused:
        value(main)
    assert "lists, tuples and dicts" in str(refused.value.hint)


def test_so_is_a_result_that_comes_into_its_own_arguments() -> None:
    @pipeline
    def main() -> Any:
        tree = Tree("root")
        tree.above = show(tree)
        return tree

    with pytest.raises(UndigestibleError, match="result of a step"):
        value(main)


def test_a_pipeline_inside_a_pipeline_is_inlined() -> None:
    @pipeline
    def inner(n: int) -> Any:
        return add(n, 1)

    @pipeline
    def main() -> Any:
        return total([inner(1), inner(2), inner(add(3))])

    assert value(main) == 2 + 3 + 4
    assert len(jpipe.api.graph(main).layout.calls) == 5


def test_conditions_on_parameters_choose_the_calls() -> None:
    @pipeline
    def main(deep: bool = False, n: int = 2) -> Any:
        result = add(1)
        for _ in range(n):
            result = add(result, 10)
        return add(result, 1000) if deep else result

    assert value(main) == 21
    assert value(main, deep=True, n=1) == 1011


def test_methods_static_methods_and_callables_are_steps() -> None:
    class Model:
        def __init__(self, k: int) -> None:
            self.k = k

        @step
        def times(self, x: int) -> int:
            return self.k * x

        @staticmethod
        @step
        def plus(x: int) -> int:
            return x + 1

    @pipeline
    def main() -> Any:
        return Model(3).times(Model.plus(1))

    assert value(main) == 6
    assert Model(3).times(2) == 6


def test_a_function_of_a_library_is_a_step() -> None:
    root = step(math.sqrt, name="root")  # type: ignore[call-overload]

    @pipeline
    def main() -> Any:
        return root(16.0)

    assert value(main) == 4.0


def test_async_steps_are_awaited() -> None:
    @step
    async def later(x: int) -> int:
        await asyncio.sleep(0)
        return x + 1

    @pipeline
    def main() -> Any:
        return later(later(1))

    assert value(main) == 3


def test_async_steps_are_awaited_where_a_loop_runs_as_in_a_notebook(tmp_path: Path) -> None:
    @step
    async def seeded(x: int) -> tuple[int, int, float]:
        await asyncio.sleep(0)
        return x, jpipe.seed(), random.random()

    @pipeline
    def main() -> Any:
        return [seeded(1), seeded(2)]

    async def cell() -> Any:
        found = value(main)
        await asyncio.sleep(0)  # the loop of the notebook goes on
        return found, asyncio.get_event_loop() is asyncio.get_running_loop()

    found, goes_on = asyncio.run(cell())
    assert goes_on
    assert found == jpipe.api.run(main, cache_dir=tmp_path / "other").value


def test_a_pipeline_may_yield_what_it_gives() -> None:
    @pipeline
    def main() -> Any:
        for i in range(3):
            yield add(i)

    assert value(main) == [0, 1, 2]


def test_steps_with_rest_parameters_keep_their_arguments() -> None:
    @step
    def gather(first: int, /, *rest: int, sep: str = ",", **named: int) -> str:
        return sep.join([str(first), *map(str, rest), *(f"{k}={v}" for k, v in named.items())])

    @pipeline
    def main() -> Any:
        return gather(add(1), add(2), 3, sep="-", z=add(4)), gather(5)

    assert value(main) == ("1-2-3-z=4", "5")


def test_called_directly_steps_and_pipelines_are_plain_functions() -> None:
    @pipeline
    def main(n: int = 1) -> Any:
        a, b = pair()
        return add(a, n), b

    assert main() == (2, "a")
    assert add(1, b=2) == 3
    assert value(main) == main()


# -- what may not ------------------------------------------------------------------------------------------------------

FORBIDDEN: dict[str, tuple[Callable[[Any], Any], str, str]] = {
    "if": (lambda x: 1 if x else 2, "is used as a condition", "parameter of the pipeline"),
    "not": (operator.not_, "is used as a condition", "decide in a step"),
    "attribute": (lambda x: x.shape, "is asked for .shape", "move the expression into a step"),
    "method": (lambda x: x.mean(), "is asked for .mean", "move the expression into a step"),
    "call": (lambda x: x(1), "is called", "call it in a step"),
    "for": (list, "is iterated over", "jpipe.map"),
    "star": (lambda x: [*x], "is iterated over", "jpipe.map"),
    "len": (len, "is asked for its length", "jpipe.map"),
    "in": (lambda x: 1 in x, "is searched with `in`", "search in a step"),
    "+": (lambda x: x + 1, "is used with `+`", "compute it in a step"),
    "right +": (lambda x: 1 + x, "is used with `+`", "compute it in a step"),
    "+=": (lambda x: operator.iadd(x, 1), "is used with `+`", "compute it in a step"),
    "@": (lambda x: x @ x, "is used with `@`", "compute it in a step"),
    "**": (lambda x: x**2, "is used with `**`", "compute it in a step"),
    "-x": (operator.neg, "is used with `-`", "compute it in a step"),
    "==": (lambda x: x == 1, "is used with `==`", "compute it in a step"),
    "<": (lambda x: x < 1, "is used with `<`", "compute it in a step"),
    "sorted": (lambda x: sorted([x, x]), "is used with `<`", "compute it in a step"),
    "f-string": (lambda x: f"{x}", "is put into a text", "build the text in a step"),
    "str": (str, "is turned into text", "build the text in a step"),
    "int": (int, "is used with `int()`", "compute it in a step"),
    "round": (round, "is used with `round()`", "compute it in a step"),
    "range": (lambda x: range(x), "is used with `an index`", "compute it in a step"),
    "slice": (lambda x: x[1:], "is indexed with slice(1, None, None)", "take the part in a step"),
    "other result": (lambda x: table()[x], "is indexed with another result", "do it in a step"),
    "assignment": (lambda x: operator.setitem(x, 0, 1), "is used with `[...] =`", "compute it in a step"),
    "open": (lambda x: open(x), "is used with `a path`", "compute it in a step"),
}


@pytest.mark.parametrize("use", FORBIDDEN)
def test_any_other_use_of_a_result_names_the_step_the_line_and_the_remedy(use: str) -> None:
    function, message, hint = FORBIDDEN[use]
    line = 0

    @pipeline
    def main() -> Any:
        nonlocal line
        line = sys._getframe().f_lineno + 1
        return use_it(add(1))

    def use_it(x: Any) -> Any:
        return function(x)

    with pytest.raises(WiringError) as caught:
        jpipe.api.graph(main)
    error = caught.value
    assert error.message.startswith(("add(...) ", "table(...) "))
    assert message in error.message
    assert "not computed yet while the pipeline is laid out" in error.message
    assert error.location is not None
    assert error.location.file == __file__
    assert error.hint is not None
    assert hint in error.hint
    assert error.exit_code == 3


def test_the_line_of_a_misuse_is_the_one_that_misuses() -> None:
    @pipeline
    def main() -> Any:
        x = add(1)
        return x + 1

    with pytest.raises(WiringError) as caught:
        jpipe.api.graph(main)
    assert caught.value.location is not None
    assert caught.value.location.line == main.line + 3


@pytest.mark.parametrize(
    ("call", "message", "hint"),
    [
        (lambda: add(1, c=2), "add() got an unexpected keyword argument 'c'", "its parameters are a, b"),
        (lambda: add(1, B=2), "add() got an unexpected keyword argument 'B'", "did you mean b?"),
        (lambda: add(), "add() missing a required argument: 'a'", "add(a: int, b: int = 0) -> int"),
        (lambda: add(1, 2, 3), "add() too many positional arguments", "its signature is"),
        (lambda: jpipe.map(add, [1], c=3), "add() got an unexpected keyword argument 'c'", "its parameters are a, b"),
        (
            lambda: jpipe.map(add, [1], 5),
            "over int, which is not iterable",
            "pass what is the same for all items by name",
        ),
        (lambda: jpipe.map(add, [1], [2], [3]), "add() too many positional arguments", "its signature is"),
    ],
)
def test_wrong_arguments_are_errors_before_anything_runs(call: Callable[[], Any], message: str, hint: str) -> None:
    @pipeline
    def main() -> Any:
        return call()

    with pytest.raises(WiringError) as caught:
        jpipe.api.graph(main)
    assert message.replace("keyword ", "") in caught.value.message.replace("keyword ", "")
    assert hint.replace("'", "") in str(caught.value.hint).replace("'", "")
    assert caught.value.location is not None
    assert caught.value.location.file == __file__


def test_a_result_unpacks_only_into_as_many_parts_as_announced() -> None:
    @pipeline
    def too_many() -> Any:
        a, b, c = pair()  # type: ignore[misc]
        return a, b, c

    with pytest.raises(WiringError, match="not enough values to unpack"):
        jpipe.api.graph(too_many)


def test_a_pipeline_that_calls_itself_is_refused() -> None:
    @pipeline
    def main() -> Any:
        return main()

    with pytest.raises(WiringError, match="pipeline main calls itself"):
        jpipe.api.graph(main)


def test_results_do_not_leave_their_layout() -> None:
    kept: list[Any] = []

    @pipeline
    def first() -> Any:
        kept.append(add(1))
        return kept[0]

    @pipeline
    def second() -> Any:
        return add(kept[0])

    jpipe.api.graph(first)
    with pytest.raises(WiringError, match="belongs to another run of a pipeline"):
        jpipe.api.graph(second)


def test_what_a_pipeline_function_raises_is_told_with_its_line() -> None:
    @pipeline
    def main() -> Any:
        add(1)
        raise RuntimeError("not today")

    with pytest.raises(WiringError, match="pipeline main raised RuntimeError: not today") as caught:
        jpipe.api.graph(main)
    assert caught.value.location is not None
    assert caught.value.location.line == main.line + 3


def test_a_pipeline_that_is_async_or_calls_no_step_is_refused() -> None:
    @pipeline
    async def later() -> Any:
        return add(1)

    @pipeline
    def nothing() -> Any:
        return 3

    with pytest.raises(WiringError, match="is async"):
        jpipe.api.graph(later)
    with pytest.raises(UsageError, match="pipeline nothing calls no step"):
        jpipe.api.plan(nothing)


def test_an_index_that_is_not_there_is_an_error_of_the_wiring() -> None:
    @pipeline
    def main() -> Any:
        return add(pair()[5])

    with pytest.raises(WiringError, match=r"pair\(\.\.\.\)\[5\]"):
        jpipe.api.run(main)


def test_options_that_do_not_exist_or_cannot_be_are_refused() -> None:
    with pytest.raises(UsageError) as caught:
        step(retrys=3)
    assert caught.value.hint == "did you mean 'retries'?"
    with pytest.raises(UsageError, match="timeout='soon' is not a duration"):
        step(timeout="soon")
    with pytest.raises(UsageError, match="n_jobs=0"):
        step(n_jobs=0)
    with pytest.raises(UsageError, match=r"swap|goes below"):
        step(staticmethod(add.function))  # type: ignore[call-overload]
    assert add.options(retries=2).declared.retries == 2
    assert add.declared.retries == 0


def test_an_output_tells_what_it_is_without_being_computed() -> None:
    seen: list[str] = []

    @pipeline
    def main() -> Any:
        out = table()["rows"]
        assert isinstance(out, Output)
        seen.append(repr(out))
        return out

    jpipe.api.graph(main)
    assert seen == ["<output of table(...)['rows']>"]
