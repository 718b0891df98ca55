"""Parameters as text: what ``--set`` and ``jpipe debug`` make of words, by annotation or else by default."""

from __future__ import annotations

import enum
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest

from jpipe import pipeline
from jpipe.define.parameters import check, parse
from jpipe.errors import UsageError


class Colour(enum.Enum):
    RED = "r"
    GREEN = 2


class Place:
    """A path class of somebody else's."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __fspath__(self) -> str:
        return self.text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Place) and other.text == self.text


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
]
REFUSED: list[tuple[Any, str, str]] = [
    # annotation -> text -> what is said
    (bool, "perhaps", "write true or false"),
    (None, "3", "write none"),
    (int, "1.5", "x='1.5' is no int"),
    (Colour, "BLUE", "x='BLUE' is no Colour"),
    (int | None, "many", "is none of int, None"),
    (Literal["a", "b"], "c", "choose from a, b"),
    (tuple[int, str], "1", "it takes 2 values, not 1"),
    (dict[str, int], "[1]", "'[1]' is not a dict"),
    (dict, "{", "x='{' is not a dict"),
    (list[int], "1,y", "x='1,y' is no list[int]"),
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


@pytest.mark.parametrize(("annotation", "text", "said"), REFUSED)
def test_text_that_does_not_fit_is_refused_with_the_reason(annotation: Any, text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(taking(annotation), {"x": text})
    assert said in f"{caught.value.message} {caught.value.hint}"


def test_annotations_that_name_what_is_not_there_are_passed_over() -> None:
    wanting = taking("NoSuchClass | None", 3)
    assert parse(wanting, {"x": "4"}) == {"x": 4}


def test_text_that_no_default_explains_is_refused() -> None:
    with pytest.raises(UsageError, match="x='many' is no value for this parameter"):
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
