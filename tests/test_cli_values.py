"""How values, numbers and lines are written: for people in words, for programs as JSON."""

from __future__ import annotations

import dataclasses
import datetime
import io
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from jpipe.errors import UsageError
from jpipe.render.humanize import about, ago, clock, counted, listed, size, took
from jpipe.render.styled_text import columns, dim, line, width_of
from jpipe.render.terminal import Paper, wrap
from jpipe.render.value_text import plain_value, value_text


@dataclasses.dataclass
class Point:
    x: int
    y: float


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (None, None),
        ((1, 2.5, "a", True), [1, 2.5, "a", True]),
        ({1: {"b": [float("nan"), math.inf]}}, {"1": {"b": [None, None]}}),
        (np.arange(3), [0, 1, 2]),
        (np.float64(0.5), 0.5),
        ({np.int64(2)}, [2]),
        (pd.DataFrame({"a": [1, 2]}), [{"a": 1}, {"a": 2}]),
        (datetime.date(2026, 11, 21), "2026-11-21"),
        (Point(1, 2.0), {"x": 1, "y": 2.0}),
        (Path("a/b"), str(Path("a/b"))),
    ],
)
def test_values_have_a_form_in_json(value: object, plain: object) -> None:
    assert plain_value(value) == plain


def test_a_value_without_a_form_in_json_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match="object cannot be written as JSON"):
        plain_value([object()])


def test_tables_and_text_print_themselves_and_the_rest_is_laid_out() -> None:
    frame = pd.DataFrame({"a": [1]})
    assert value_text(frame, 80) == str(frame)
    assert value_text("two\nlines", 80) == "two\nlines"
    assert value_text({"key": ["x" * 30, "y" * 30]}, 40).count("\n") >= 3


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (took(0.04), "0.0s"), (took(5.64), "5.6s"), (took(71), "71s"), (took(112), "1m52s"), (took(7500), "2h05m"),
        (about(0.3), "under 1s"), (about(6.1), "about 6s"), (about(240), "about 4m"), (about(9000), "about 2h30m"),
        (size(0), "0 B"), (size(460), "460 B"), (size(4100), "4.1 kB"), (size(812e6), "812 MB"),
        (size(1.3e9), "1.3 GB"), (size(999.9e3), "1.0 MB"), (size(5e18), "5000 PB"),
        (ago(5), "just now"), (ago(300), "5 min ago"), (ago(7200), "2 h ago"), (ago(3 * 86400), "3 days ago"),
        (counted(1, "item"), "1 item"), (counted(10_000, "item"), "10,000 items"),
        (listed(["a", "b"]), "a, b"), (listed(["a", "b", "c"], 2), "a, b and 1 more"),
        (clock(67), "01:07"), (clock(3753), "1:02:33"),
    ],
)  # fmt: skip
def test_numbers_as_people_say_them(told: str, expected: str) -> None:
    assert told == expected


def test_columns_line_up_whatever_the_letters_are_wide() -> None:
    rows = [(line("名前"), line("1")), (line("ab"), line("100")), (line("c"),)]
    lines = ["".join(text for text, _ in one) for one in columns(rows, right=frozenset({1}))]
    assert lines == ["名前    1", "ab    100", "c"]
    assert width_of("名前") == 4 and width_of("é") == 1


def test_long_lines_break_between_words_and_keep_their_styles() -> None:
    parts = wrap(line("  one two three ", dim("four five six")), 16, 4)
    texts = ["".join(text for text, _ in part).rstrip() for part in parts]
    assert texts == ["  one two three", "    four five", "    six"]
    assert all(width_of("".join(text for text, _ in part).rstrip()) <= 16 for part in parts)
    assert parts[1][-1][1] is dim("")[1]


def test_control_characters_are_shown_and_not_obeyed() -> None:
    stream = io.StringIO()
    Paper(stream, environment={}).write(line("a\x1b[2Jb\rc\x07"))
    assert stream.getvalue() == "a\\x1b[2Jb\\x0dc\\x07\n"
