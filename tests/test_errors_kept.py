"""What is kept of an exception: enough to tell it, and the exception itself where it survives the way from a worker."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable
from typing import Any

import pytest

from jpipe.system.error_record import ErrorRecord, record_error


class Held(ValueError):
    """Cannot be pickled."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.lock = threading.Lock()


class Mute(Exception):
    """Has no text."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


class Particular(Exception):
    """Cannot be made again from its arguments."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


def plain() -> None:
    raise ValueError("bad value")


def noted() -> None:
    error = ValueError("bad value")
    error.add_note("in row 3")
    raise error


def because() -> None:
    try:
        plain()
    except ValueError as error:
        raise KeyError("row") from error


def meanwhile() -> None:
    try:
        because()
    except KeyError:
        raise RuntimeError("while cleaning up")


def silenced() -> None:
    try:
        plain()
    except ValueError:
        raise RuntimeError("alone") from None


def group() -> None:
    raise ExceptionGroup("several", [ValueError("one"), ExceptionGroup("inner", [TypeError("two"), KeyError("three")])])


def circle() -> None:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    raise first


def deep(left: int = 500) -> None:
    if not left:
        raise RecursionError("too deep")
    deep(left - 1)


def held() -> None:
    raise Held("with a lock")


def mute() -> None:
    raise Mute


def particular() -> None:
    raise Particular(1, 2)


def caught(failing: Callable[[], None]) -> ErrorRecord:
    with pytest.raises(BaseException) as found:
        failing()
    return record_error(found.value, seconds=1.5)


TOLD: list[tuple[Callable[[], None], str, list[str]]] = [
    # what raises -> its text -> what it came from or holds
    (plain, "bad value", []),
    (noted, "bad value\nin row 3", []),
    (because, "'row'", ["because of ValueError: bad value"]),
    (meanwhile, "while cleaning up", ["while handling KeyError: 'row'", "because of ValueError: bad value"]),
    (silenced, "alone", []),
    (
        group,
        "several (2 sub-exceptions)",
        ["it holds ValueError: one", "it holds TypeError: two", "it holds KeyError: 'three'"],
    ),
    (circle, "first", ["because of ValueError: second"]),
    (deep, "too deep", []),
    (held, "with a lock", []),
    (mute, "<its text cannot be had: RuntimeError>", []),
]


@pytest.mark.parametrize(("failing", "text", "causes"), TOLD, ids=lambda value: getattr(value, "__name__", ""))
def test_its_text_and_its_causes_are_told(failing: Callable[[], None], text: str, causes: list[str]) -> None:
    record = caught(failing)
    assert (record.message, [cause for cause, _, _ in record.causes]) == (text, causes)
    assert record.frames[-1][0] == __file__ and record.frames[-1][3], "the last line is one's own"
    assert len(record.frames) <= 50
    assert record.error_type.rpartition(".")[2] in record.traceback
    assert pickle.loads(pickle.dumps(record)) == record


@pytest.mark.parametrize("failing", [because, meanwhile])
def test_a_cause_has_the_line_of_ones_own_code(failing: Callable[[], None]) -> None:
    first = plain.__code__.co_firstlineno + 1
    assert caught(failing).causes[-1][1:] == (__file__, first)


def test_an_exception_that_survives_comes_back_and_others_do_not() -> None:
    back: Any = caught(plain).exception()
    assert (type(back), back.args) == (ValueError, ("bad value",))
    assert caught(held).exception() is None
    assert caught(particular).exception() is None
    for damaged in (b"damaged", pickle.dumps(3)):
        assert ErrorRecord("raised", "ValueError", "bad value", pickled=damaged).exception() is None
