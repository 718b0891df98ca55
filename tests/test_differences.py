"""What an edit did to the results: two values compared, and two runs."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from jpipe.compare.model import Tolerance
from jpipe.compare.values import MOST_CHANGES, differences
from jpipe.testing import assert_same

if TYPE_CHECKING:
    from conftest import Project

pytestmark = pytest.mark.usefixtures("one_job")


@dataclass
class Fit:
    slope: float
    notes: list[str]


class Slotted:
    __slots__ = ("a",)

    def __init__(self, a: object) -> None:
        self.a = a


class Hostile:
    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no")

    def __repr__(self) -> str:
        raise RuntimeError("no")


FRAME = pd.DataFrame({"x": [1, 2, 3, 4], "y": list("abcd")})
LABELLED = FRAME.set_index("y")
ARRAY = np.arange(12.0).reshape(3, 4)


def told(old: Any, new: Any, **tolerance: float) -> list[tuple[str, str]]:
    return [(change.where, change.kind) for change in differences(old, new, Tolerance(**tolerance))]


def with_cell(frame: pd.DataFrame, row: Any, value: object) -> pd.DataFrame:
    frame = frame.copy()
    frame.loc[row, "x"] = value
    return frame


def selves(value: int) -> list[object]:
    found: list[object] = [value]
    found.append(found)
    return found


SAME = [
    (math.nan, math.nan),
    ([1, {"a": (2, math.nan)}], [1, {"a": (2, math.nan)}]),
    (ARRAY, np.asfortranarray(ARRAY)),
    (np.array([1.0, math.nan]), np.array([1.0, math.nan])),
    (np.array(["2020-01-01", "NaT"], "M8[D]"), np.array(["2020-01-01", "NaT"], "M8[D]")),
    (FRAME, FRAME.copy()),
    (pl.DataFrame({"x": [1.0, None]}), pl.DataFrame({"x": [1.0, None]})),
    (Fit(1.0, ["a"]), Fit(1.0, ["a"])),
    (selves(1), selves(1)),
    ({1, 2}, {2, 1}),
]


@pytest.mark.parametrize(("old", "new"), SAME)
def test_what_is_the_same_is_told_as_that(old: Any, new: Any) -> None:
    assert told(old, new) == []


DIFFERENT = {
    "number": (0.5, 0.75, [("", "number")]),
    "type of a number": (1, 1.0, [("", "type")]),
    "flag": (True, 1, [("", "type")]),
    "numpy scalar": (np.float64(1), np.float64(2), [("", "number")]),
    "key": ({"a": 1, "b": 2}, {"a": 1, "b": 3}, [("['b']", "number")]),
    "keys came and went": ({"a": 1}, {"b": 1}, [("['a']", "removed"), ("['b']", "added")]),
    "order of keys": ({"a": 1, "b": 2}, {"b": 2, "a": 1}, [("", "moved")]),
    "deep": ([{"a": (1, 2)}], [{"a": (1, 9)}], [("[0]['a'][1]", "number")]),
    "longer": ([1], [1, 2], [("[1]", "added")]),
    "list and tuple": ([1], (1,), [("", "type")]),
    "set": ({1}, {2}, [("", "removed"), ("", "added")]),
    "text": ("a\nb\n", "a\nc\n", [("", "text")]),
    "ends of lines": ("a\nb", "a\nb\n", [("", "text")]),
    "array": (ARRAY, ARRAY + np.eye(3, 4), [("", "array")]),
    "shape": (ARRAY, ARRAY.T, [("", "array")]),
    "dtype": (ARRAY, ARRAY.astype("f4"), [("", "type")]),
    "words in an array": (np.array(["a", "b"]), np.array(["a", "c"]), [("[1]", "value")]),
    "objects in an array": (np.array([{"a": 1}, None]), np.array([{"a": 2}, None]), [("[0]['a']", "number")]),
    "fields": (np.array([(1, 2.0)], "i4,f8"), np.array([(1, 3.0)], "i4,f8"), [("['f1']", "array")]),
    "instance": (Fit(1.0, ["a"]), Fit(1.0, ["b"]), [(".notes[0]", "text")]),
    "slots": (Slotted(1), Slotted(2), [(".a", "number")]),
    "holds itself": (selves(1), selves(2), [("[0]", "number")]),
    "raises when looked at": (Hostile(), Hostile(), [("", "value")]),
    "cell": (LABELLED, with_cell(LABELLED, "b", 9), [("row 'b', column 'x'", "cell")]),
    "moved row": (LABELLED, LABELLED.iloc[[3, 0, 1, 2]], [("row 'd'", "moved")]),
    "moved row and changed cell": (
        LABELLED,
        with_cell(LABELLED.iloc[[3, 0, 1, 2]], "b", 9),
        [("row 'd'", "moved"), ("row 'b', column 'x'", "cell")],
    ),
    "the same in rows that are only numbered": (
        FRAME,
        with_cell(FRAME.iloc[[3, 0, 1, 2]].reset_index(drop=True), 2, 9),
        [("row 3", "moved"), ("row 2, column 'x'", "cell")],
    ),
    "row gone": (FRAME, FRAME.drop(1).reset_index(drop=True), [("row 1", "removed")]),
    "row more": (LABELLED, pd.concat([LABELLED, pd.DataFrame({"x": [7]}, index=["e"])]), [("row 'e'", "added")]),
    "column more": (FRAME, FRAME.assign(z=1), [("column 'z'", "added")]),
    "dtype of a column": (FRAME, FRAME.astype({"x": float}), [("column 'x'", "type")]),
    "labels that stand twice": (
        pd.DataFrame({"x": [1, 2]}, index=["a", "a"]),
        pd.DataFrame({"x": [1, 3]}, index=["a", "a"]),
        [("row 'a', column 'x'", "cell")],
    ),
    "series": (pd.Series([1.0, 2.0], name="s"), pd.Series([1.0, 3.0], name="s"), [("row 1, column 's'", "cell")]),
    "polars": (pl.DataFrame({"x": [1, 2]}), pl.DataFrame({"x": [1, 5]}), [("row 1, column 'x'", "cell")]),
}


@pytest.mark.parametrize("case", DIFFERENT)
def test_a_difference_is_told_by_its_place_and_its_kind(case: str) -> None:
    old, new, expected = DIFFERENT[case]
    assert told(old, new) == expected
    assert all(str(change) and json.dumps(change.to_json()) for change in differences(old, new))


def test_numbers_come_with_how_far_apart_they_are() -> None:
    (change,) = differences({"acc": 0.5}, {"acc": 0.75})
    assert (change.old, change.new, change.absolute, change.relative) == ("0.5", "0.75", 0.25, 0.5)
    other = ARRAY.copy()
    other[2, 1] += 2
    other[0, 1] += 1
    (change,) = differences(ARRAY, other)
    assert (change.absolute, change.detail) == (2.0, "2 of 12 elements, max 2 at [2, 1], mean 1.5")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (1.0, 1.0 + 1e-9),
        (ARRAY, ARRAY * (1 + 1e-9)),
        (FRAME, FRAME.assign(x=FRAME.x + 1e-9)),
        ([{"a": 1}], [{"a": 1.0}]),
    ],
)
def test_what_is_within_the_tolerance_is_the_same_wherever_it_stands(old: Any, new: Any) -> None:
    assert told(old, new)
    inside = [entry for entry in told(old, new, relative=1e-6) if entry[1] != "type"]
    assert inside == []
    assert told([1.0, math.inf], [1.0, 5.0], relative=0.5, absolute=100.0) == [("[1]", "number")]


def test_figures_are_compared_by_what_they_show() -> None:
    from matplotlib.figure import Figure

    def drawn(points: list[int]) -> Figure:
        figure = Figure()
        figure.subplots().plot(points)
        return figure

    assert told(drawn([1, 2]), drawn([1, 2])) == []
    assert told([drawn([1, 2])], [drawn([2, 1])]) == [("[0]", "figure")]


def test_very_many_differences_are_cut_and_take_no_time() -> None:
    assert len(differences(list(range(100_000)), list(range(1, 100_001)))) == MOST_CHANGES
    large = pd.DataFrame(np.random.default_rng(0).random((100_000, 3)))
    assert told(large, large.iloc[::-1].iloc[::-1]) == []


def test_an_assertion_says_what_differs() -> None:
    assert_same({"acc": 0.5}, {"acc": 0.5 + 1e-12}, tolerance=1e-9)
    with pytest.raises(AssertionError, match=r"1 difference:\n  \['acc'\]: 0.5 → 0.75 \(\+0.25, \+50 %\)"):
        assert_same({"acc": 0.5}, {"acc": 0.75})


STUDY = """
    import pandas as pd

    from jpipe import map, pipeline, step

    SCALE = 1.0


    @step
    def load() -> list[int]:
        return [1, 2, 3]


    @step
    def fit(k: int, data: list[int]) -> dict:
        return {"k": k, "loss": k * sum(data) * SCALE if k > 1 else 0.0}


    @step
    def table(fits: list[dict]) -> pd.DataFrame:
        return pd.DataFrame(fits).set_index("k")


    @step
    def doubled(k: int) -> int:
        return 2 * k


    @pipeline
    def main(ks: tuple[int, ...] = (1, 2, 3)):
        data = load()
        return table([fit(k, data) for k in ks]), map(doubled, ks)
"""


@pytest.fixture
def study(project: Project) -> Project:
    project.write(STUDY)
    assert project.run().exit_code == 0
    return project


def diff(project: Project, *arguments: str) -> dict[str, Any]:
    result = project.command("diff", *arguments, "--json")
    assert result.exit_code == 0, result.stderr
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def changed(document: dict[str, Any]) -> dict[str, list[tuple[str, str, str, str]]]:
    return {
        step["step"]: [
            (item["label"], change["where"], change["old"], change["new"])
            for item in step["items"]
            for change in item["changes"]
        ]
        for step in document["steps"]
        if step["items"] or step["only_old"] or step["only_new"]
    }


def test_the_results_of_the_last_two_runs_that_differ_are_compared(study: Project) -> None:
    study.edit("pipeline.py", "SCALE = 1.0", "SCALE = 2.0")
    assert study.run().ran == {"fit": 3, "table": 1}
    study.run()
    document = diff(study)
    assert changed(document) == {
        "fit": [("fit[k=2]", "['loss']", "12.0", "24.0"), ("fit[k=3]", "['loss']", "18.0", "36.0")],
        "table": [("table", "row 2, column 'loss'", "12.0", "24.0"), ("table", "row 3, column 'loss'", "18.0", "36.0")],
    }
    unchanged = {step["step"]: step["unchanged"] for step in document["steps"]}
    assert unchanged == {"load": 1, "fit": 1, "table": 0, "doubled": 3}
    assert [reason["object"] for step in document["steps"] for reason in step["code"]] == ["SCALE"]
    text = study.command("diff", "fit").stdout
    assert "2 of 3 items differ" in text
    assert "k=2  ['loss']  12  →  24  +12  +100 %" in " ".join(text.split(" "))
    assert "table" not in text
    assert "load" not in text


def test_an_edit_that_was_undone_and_items_that_came_are_told(study: Project) -> None:
    study.edit("pipeline.py", "SCALE = 1.0", "SCALE = 2.0")
    study.run()
    study.edit("pipeline.py", "SCALE = 2.0", "SCALE = 1.0")
    assert study.run().counts == (0, 8)
    assert changed(diff(study))["fit"][0] == ("fit[k=2]", "['loss']", "24.0", "12.0")
    study.run("--set", "ks=2,3,4")
    (fit,) = [step for step in diff(study)["steps"] if step["step"] == "fit"]
    assert (fit["only_old"], fit["only_new"], fit["unchanged"]) == (["fit[k=1]"], ["fit[k=4]"], 2)
    assert (
        changed(diff(study, "--run", "1", "2"))
        == changed(diff(study, "--run", "3", "2"))
        == {
            "fit": [("fit[k=2]", "['loss']", "12.0", "24.0"), ("fit[k=3]", "['loss']", "18.0", "36.0")],
            "table": [
                ("table", "row 2, column 'loss'", "12.0", "24.0"),
                ("table", "row 3, column 'loss'", "18.0", "36.0"),
            ],
        }
    )


def test_what_is_within_the_tolerance_is_counted(study: Project) -> None:
    study.edit("pipeline.py", "SCALE = 1.0", "SCALE = 1.0000001")
    study.run()
    assert changed(diff(study, "--tolerance", "1e-5")) == {}
    assert "3 within the tolerance" in study.command("diff", "--tolerance", "1e-5").stdout


def test_results_of_a_failed_run_and_results_that_are_gone_are_told(study: Project) -> None:
    study.edit("pipeline.py", '"loss": k * sum(data) * SCALE if k > 1', '"loss": 5 / (k - 2) if k > 1')
    assert study.run("-k").exit_code == 1
    (fit,) = [step for step in diff(study)["steps"] if step["step"] == "fit"]
    assert [item["label"] for item in fit["items"]] == ["fit[k=3]"]
    assert (fit["only_old"], fit["unchanged"]) == (["fit[k=2]"], 1)
    study.command("cache", "clear", "-y", "fit")
    (fit,) = [step for step in diff(study)["steps"] if step["step"] == "fit"]
    assert [item["gone"] for item in fit["items"]] == [True]


def test_where_nothing_can_be_compared_that_is_said(study: Project) -> None:
    for arguments, exit_code, message in [
        ((), 5, "no two runs that are kept gave different results"),
        (("--run", "1", "9"), 5, "there is no run 9"),
        (("--run", "1", "1", "fitt"), 5, "did you mean 'fit'?"),
    ]:
        result = study.command("diff", *arguments)
        assert (result.exit_code, message in result.stderr) == (exit_code, True), result.stderr
