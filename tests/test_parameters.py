"""Parameters as text: what ``--set`` and ``jpipe debug`` make of words, by annotation or else by default."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import os
import sys
import typing
from collections.abc import Iterable, Sequence
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import attrs
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

import jpipe
from jpipe import pipeline, step
from jpipe.define.parameters import check, parse
from jpipe.errors import UsageError

if TYPE_CHECKING:
    from conftest import Project

pytestmark = pytest.mark.usefixtures("one_job")


class Colour(enum.Enum):
    RED = "r"
    GREEN = 2


@dataclasses.dataclass
class Settings:
    lr: float
    names: tuple[str, ...] = ()


class Point(typing.NamedTuple):
    x: int
    y: int


class Place:
    """A path class of somebody else's."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __fspath__(self) -> str:
        return self.text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Place) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)


@dataclasses.dataclass
class Fitted:
    settings: Settings
    colour: Colour = Colour.GREEN
    at: Place | None = None


class Corner(typing.NamedTuple):
    colour: Colour
    y: float = 0.5


class Extent(typing.TypedDict):
    width: int
    unit: typing.NotRequired[Colour]


@attrs.frozen
class Priced:
    price: Decimal


READ: list[tuple[Any, str, Any]] = [
    (bool, "Yes", True),
    (bool, "off", False),
    (None, "none", None),
    (int, "-3", -3),
    (float, "1e-3", 1e-3),
    (complex, "1+2j", 1 + 2j),
    (str, "12", "12"),
    (Path, "a/b", Path("a/b")),
    (Place, "a/b", Place("a/b")),
    (Colour, "RED", Colour.RED),
    (Colour, "2", Colour.GREEN),
    (Annotated[int, "days"], "3", 3),
    (Any, "3", 3),
    (int | None, "none", None),
    (float | str, "1.5", 1.5),
    (float | str, "high", "high"),
    (Literal["a", 2], "2", 2),
    (list, "1,x", [1, "x"]),
    (list[int], "[1, 2]", [1, 2]),
    (set[str], "a, 'b'", {"a", "b"}),
    (frozenset[int], "{1,2}", frozenset({1, 2})),
    (Sequence[float], "1,2", [1.0, 2.0]),
    (typing.Sequence[float], "1,2", [1.0, 2.0]),
    (tuple, "1,x", (1, "x")),
    (tuple[int, ...], "(1,2,3)", (1, 2, 3)),
    (tuple[int, str], "1,2", (1, "2")),
    (dict[str, int], "{'a': 1}", {"a": 1}),
    (bytes, "b'x'", b"x"),
    (list[str], '"x,y",z', ["x,y", "z"]),
    (list[str], "1,2", ["1", "2"]),
    (list[int], "8", [8]),
    (str, "a,b", "a,b"),
    (str | None, "a,b", "a,b"),
    (int | str, "7", 7),
    (bool | str, "true", True),
    (list[tuple[int, int]], "[(1,2),(3,4)]", [(1, 2), (3, 4)]),
    (list[tuple[int, int]], "(1,2),(3,4)", [(1, 2), (3, 4)]),
    (list[list[float]], "[[1],[2,3]]", [[1.0], [2.0, 3.0]]),
    (dict[str, float], '{"lr": 1}', {"lr": 1.0}),
    (dict[str, float], "{lr = 0.3}", {"lr": 0.3}),
    (dict[str, list[int]], '{"a": [1, 2]}', {"a": [1, 2]}),
    (datetime.date, "2026-10-11", datetime.date(2026, 10, 11)),
    (datetime.datetime, "2026-10-11T12:00Z", datetime.datetime(2026, 10, 11, 12, tzinfo=datetime.UTC)),
    (datetime.timedelta, "PT1H", datetime.timedelta(hours=1)),
    (Decimal, "0.10", Decimal("0.10")),
    (Settings, '{"lr": 0.3}', Settings(0.3)),
    (Settings, "{lr = 1, names = ['a']}", Settings(1.0, ("a",))),
    (Settings | None, "none", None),
    (list[Settings], '[{"lr": 1}]', [Settings(1.0)]),
    (Point, "1,2", Point(1, 2)),
    (list[Place], "a,b", [Place("a"), Place("b")]),
    (list[Colour], "RED,2", [Colour.RED, Colour.GREEN]),
    (dict[Colour, int], "{'r': 1}", {Colour.RED: 1}),
    (list[int | None], "1,none", [1, None]),
    (list[str], "it's,x", ["it's", "x"]),
    (list[str], "[]", []),
    (Colour, "Colour.RED", Colour.RED),
    (Fitted, '{"settings": {"lr": 1}, "colour": "RED", "at": "a"}', Fitted(Settings(1.0), Colour.RED, Place("a"))),
    (Corner, "RED,2", Corner(Colour.RED, 2.0)),
    (Corner, "{colour = 'GREEN'}", Corner(Colour.GREEN, 0.5)),
    (Extent, "{width = 3}", {"width": 3}),
    (list[Extent] | None, "[{width = 3, unit = 'RED'}]", [{"width": 3, "unit": Colour.RED}]),
    (Priced, '{"price": "1.10"}', Priced(Decimal("1.10"))),
    (datetime.date, "20261011", datetime.date(2026, 10, 11)),
    (datetime.time, "12:30", datetime.time(12, 30)),
    (np.float32, "2", np.float32(2)),
    (Literal["1", "2"], "1", "1"),
    (os.PathLike, "a/b", Path("a/b")),
    (os.PathLike[str], "a/b", Path("a/b")),
    (Iterable[int], "1,2", [1, 2]),
    (np.int32, "3", np.int32(3)),
    (np.float32, "0.1", np.float32(0.1)),
    (np.datetime64, "2026-10-11", np.datetime64("2026-10-11")),
    (np.dtype, "float32", np.dtype("float32")),
    (pd.Timestamp, "2026-10-11", pd.Timestamp("2026-10-11")),
    (pd.Timedelta, "1 day", pd.Timedelta(days=1)),
    (datetime.timedelta, "3h", datetime.timedelta(hours=3)),
    (Decimal, "0.12345678901234567890", Decimal("0.12345678901234567890")),
    (list[Decimal], "0.1,12345678901234567.89", [Decimal("0.1"), Decimal("12345678901234567.89")]),
    (Fraction, "0.1", Fraction(1, 10)),
]
GUESSED: list[tuple[Any, str, Any]] = [
    # default -> text -> value
    (False, "on", True),
    (3, "4", 4),
    (3, "0.5", 0.5),
    (0.5, "2", 2.0),
    ("x", "2", "2"),
    ((1, 2), "3,4,5", (3, 4, 5)),
    ([], "3,x", [3, "x"]),
    (None, "[1, 2]", [1, 2]),
    (None, "some text", "some text"),
    (datetime.date(2026, 1, 1), "2026-10-11", datetime.date(2026, 10, 11)),
    (Path("a"), "b", Path("b")),
    (Colour.RED, "GREEN", Colour.GREEN),
    (Settings(1.0), "{lr = 2}", Settings(2.0)),
]
KEPT: list[tuple[Any, Any, str, Any]] = [
    # annotation, default -> text -> value
    (tuple[float, ...], (1, 10, 100), "1,10", (1, 10)),
    (tuple[float, ...], (1, 10), "1,10", (1, 10)),
    (Sequence[float], (1, 10), "1, 10.0", (1, 10)),
    (list[float], [1, 2], "2,3", [2, 3.0]),
    (float, 1, "1.0", 1),
    (float, True, "1", 1.0),
    (int | float, 0.5, "0.5", 0.5),
]
REFUSED: list[tuple[Any, str, str]] = [
    # annotation -> text -> what is said
    (bool, "perhaps", "x=perhaps: expected bool"),
    (None, "3", "x=3: expected None"),
    (int, "1.5", "x=1.5: expected int"),
    (int, "true", "x=true: expected int"),
    (float, "yes", "x=yes: expected float"),
    (Colour, "BLUE", "x=BLUE: expected Colour"),
    (int | None, "many", "x=many: expected int | None"),
    (Literal["a", "b"], "c", "Input should be 'a' or 'b'"),
    (tuple[int, str], "1", "x=1: expected tuple[int, str]"),
    (tuple[int, int], "1,2,3", "x=1,2,3: expected tuple[int, int]"),
    (dict[str, int], "[1]", "x=[1]: expected dict[str, int]"),
    (dict, "{", "x={: expected dict"),
    (list[int], "1,y", "[1] Input should be a valid integer"),
    (Settings, '{"lr": "high"}', "lr: Input should be a valid number"),
    (Settings, "{}", "the field 'lr' is missing"),
    (Settings, '{"lr": 1, "name": ["a"]}', "Settings has no field 'name'; did you mean 'names'?"),
    (Settings, "0.3", "expected Settings {lr: float, names: tuple[str, ...]}"),
    (Fitted, '{"settings": {"lr": 1, "rate": 1}}', "settings: Settings has no field 'rate'"),
    (list[Point], "(1,2,3),(1,2)", "[0] Point has 2 fields, not 3"),
    (Extent, "{unit = 'RED'}", "the field 'width' is missing"),
    (np.int32, "1.5", "int32 cannot hold it"),
    (np.int8, "300", "out of bounds for int8"),
    (pd.Timestamp, "someday", "x=someday: expected Timestamp"),
    (dict[str, int], "{'a': 'x'}", "['a'] Input should be a valid integer"),
    (dict[str, float], '{"a": true}', "true and false are not numbers"),
    (Colour | None, "BLUE", "expected Colour (RED, GREEN) | None"),
    (datetime.date, "soon", "x=soon: expected date"),
    (datetime.datetime, "2026", "a number is not a date or time"),
    (datetime.date, "86400", "a number is not a date or time"),
    (list[str], "", "x=: expected list[str]"),
    (list[str], "[a,b", "x=[a,b: expected list[str]"),
    (np.ndarray, "a,b", "x=a,b: expected ndarray"),
    (range, "3", "x=3: expected range"),
]


def taking(annotation: Any, default: Any = None, *, annotated: bool = True) -> Any:
    """A pipeline with one parameter, x."""

    def main(x: Any = default) -> None: ...

    main.__annotations__ = {"x": annotation} if annotated else {}
    return pipeline(main)


@pytest.mark.parametrize(("annotation", "text", "value"), READ)
def test_the_annotation_says_what_text_means(annotation: Any, text: str, value: Any) -> None:
    found = parse(taking(annotation), {"x": text})["x"]
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize(("default", "text", "value"), GUESSED)
def test_without_an_annotation_the_default_does(default: Any, text: str, value: Any) -> None:
    found = parse(taking(None, default, annotated=False), {"x": text})["x"]
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize(("annotation", "default", "text", "value"), KEPT)
def test_what_equals_the_default_stays_the_defaults_own(annotation: Any, default: Any, text: str, value: Any) -> None:
    found = parse(taking(annotation, default), {"x": text})["x"]
    assert repr(found) == repr(value)


@pytest.mark.parametrize(("annotation", "text", "said"), REFUSED)
def test_text_that_does_not_fit_is_refused_with_the_reason(annotation: Any, text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(taking(annotation), {"x": text})
    assert said in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize(("annotation", "text", "dtype"), [(np.ndarray, "1,2", "i"), (NDArray[np.float64], "1,2", "f")])
def test_lists_of_numbers_become_arrays(annotation: Any, text: str, dtype: str) -> None:
    found = parse(taking(annotation), {"x": text})["x"]
    assert (found.tolist(), found.dtype.kind) == ([1, 2], dtype)
    again = parse(taking(None, np.array([3.0]), annotated=False), {"x": text})["x"]
    assert again.tolist() == [1, 2]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="no type statement")
def test_a_named_type_is_what_it_names() -> None:
    names: dict[str, Any] = {}
    exec("type Ks = list[int]\ntype Pairs[T] = dict[str, T]", names)
    assert parse(taking(names["Ks"]), {"x": "1,2"})["x"] == [1, 2]
    assert parse(taking(names["Pairs"][Colour]), {"x": "{a = 'RED'}"})["x"] == {"a": Colour.RED}
    with pytest.raises(UsageError, match="x=a: expected Ks"):
        parse(taking(names["Ks"]), {"x": "a"})


def test_annotations_that_name_what_is_not_there_are_passed_over() -> None:
    wanting = taking("NoSuchClass | None", 3)
    assert parse(wanting, {"x": "4"}) == {"x": 4}


def test_text_that_no_default_explains_is_refused() -> None:
    with pytest.raises(UsageError, match="x=many: expected float"):
        parse(taking(None, 0.5, annotated=False), {"x": "many"})


def test_a_parameter_that_is_missing_or_unknown_is_named() -> None:
    @pipeline
    def main(days: int, *rest: int, speed: float = 1.0, **more: int) -> None: ...

    check(main, {"days": 1})
    with pytest.raises(UsageError, match="needs the parameter 'days'") as missing:
        check(main, {})
    assert missing.value.hint == "give it: --set days=..., or a default"
    for read in (check, parse):
        with pytest.raises(UsageError, match="has no parameter 'sped'") as unknown:
            read(main, {"sped": "3"})
        assert unknown.value.hint == "did you mean 'speed'?"
    with pytest.raises(UsageError, match="has no parameter 'q'") as strange:
        check(main, {"q": 3})
    assert strange.value.hint == "its parameters are days, rest, speed, more"


SWEPT = """
from jpipe import pipeline, step

@step
def load(n: int) -> int:
    return n

@step
def fit(n: int, C: float, how: str) -> dict[str, float]:
    return {"acc": n * C, "how": how}

@pipeline
def main(n: int = 5, C: float = 1, how: str = "a"):
    return fit(load(n), C, how)
"""
CONFIGURED = """
[tool.jpipe.profiles.big]
jobs = 1
parameters = {n = 50}
"""


def test_parameters_that_take_no_name_can_be_given_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JPIPE_CACHE_DIR", str(tmp_path / "cache"))

    @step
    def told(*all: object) -> list[object]:
        return list(all)

    @pipeline
    def main(first: int = 1, second: int = 2, /, *rest: int, third: int = 3, **more: float) -> list[object]:
        return told(first, second, rest, third, more)

    given = parse(main, {"second": "4", "rest": "5,6", "more": "{lr = 1}"})
    assert given == {"second": 4, "rest": (5, 6), "more": {"lr": 1.0}}
    run = jpipe.run(main, given, n_jobs=1)
    assert run.value == main(1, 4, 5, 6, lr=1.0) == [1, 4, (5, 6), 3, {"lr": 1.0}]
    assert main.run(1, 4, 5, 6, lr=1.0) == run.value
    with pytest.raises(UsageError, match="rest=x: expected tuple"):
        parse(main, {"rest": "x"})


def test_a_sweep_is_one_graph_with_a_table_at_the_end(project: Project) -> None:
    project.write(SWEPT)
    swept = project.run("--sweep", "C=0.5,1", "--sweep", "how=a,b", "-j1", json=False)
    assert swept.exit_code == 0, swept.stderr
    assert [row.split() for row in swept.stdout.splitlines()] == [
        ["C", "how", "acc", "how"],
        ["0.5", "'a'", "2.5", "'a'"],
        ["0.5", "'b'", "2.5", "'b'"],
        ["1", "'a'", "5", "'a'"],
        ["1", "'b'", "5", "'b'"],
    ]
    assert project.run("--sweep", "C=1,2", "-j1").ran == {"fit": 1}, "C=1 is the call of before, and so is the list"
    assert project.plan("--sweep", "C=1,2", "--sweep", "how=a,c")["steps"][1]["stale"] == 2
    for contradiction in (["Q=1"], ["C="], ["C=1,2", "--set", "C=3"], ["C=1", "-n", "--report", "x.html"]):
        assert project.run("--sweep", *contradiction, json=False).exit_code == 2


@pytest.mark.parametrize(
    ("name", "text"), [("p.toml", "n = 7"), ("p.json", '{"n": 7}'), ("p.yaml", "n: 7"), ("p.yml", "{n: 7}")]
)
def test_parameters_come_from_files_and_a_set_is_stronger(project: Project, name: str, text: str) -> None:
    project.write({"pipeline.py": SWEPT, name: text})
    assert project.run("--set", "n=7", "-j1").ran == {"load": 1, "fit": 1}
    for _ in range(2):
        assert project.run("--params", name, "-j1").ran == {}
    (project.root / name).write_text(text.replace("7", "8"), "utf-8")
    assert project.run("--params", name, "-j1").ran == {"load": 1, "fit": 1}, "not the answer for the former file"
    assert project.run("--params", name, "--set", "n=7", "-j1").ran == {}
    explained = project.command("explain", "fit", "--params", name)
    assert explained.exit_code == 0, explained.stderr


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("p.toml", "n = ", "p.toml cannot be read"),
        ("p.json", "[1]", "it has to hold a table"),
        ("p.yaml", "a: [", "p.yaml cannot be read"),
        ("p.ini", "n=1", "its name has to end with .toml"),
        ("p.toml", "m = 3", "has no parameter 'm'"),
        ("p.toml", "n = 'many'", "expected int"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(project: Project, name: str, text: str, said: str) -> None:
    project.write({"pipeline.py": SWEPT, name: text})
    refused = project.run("--params", name, json=False)
    assert (refused.exit_code, said in refused.stderr) == (2, True), refused.stderr


def test_a_profile_has_settings_and_parameters(project: Project) -> None:
    project.write({"pipeline.py": SWEPT, "pyproject.toml": CONFIGURED})
    run = project.run("--profile", "big")
    assert (run.ran, run.of("run_start")[0]["jobs"]) == ({"load": 1, "fit": 1}, 1)
    assert project.run("--set", "n=50").ran == {}
    wrong = project.run("--profile", "bigg", json=False)
    assert (wrong.exit_code, "did you mean big?" in wrong.stderr) == (2, True)
