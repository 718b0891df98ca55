"""Values and places in a few words, as messages, journals and excerpts show them: whatever the user's class does."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jpipe.history.journal_writer import text_of
from jpipe.model.value_summary import outcome_of, summary_of
from jpipe.render.source_excerpt import excerpt, place, short_path


class Rude:
    """Raises whenever it is looked at."""

    def __repr__(self) -> str:
        raise RuntimeError("do not look")

    @property
    def shape(self) -> Any:
        raise AttributeError("do not measure")


class Ruder(Rude):
    @property
    def shape(self) -> Any:
        raise ValueError("never")


class Table:
    shape = (3, 2)


LONG = "x" * 100
IN_WORDS: list[tuple[Any, str, str, str]] = [
    # value -> as an argument -> as a result -> as a parameter
    (None, "None", "", "None"),
    (7, "7", "7", "7"),
    ("short", "'short'", "'short'", "'short'"),
    (LONG, f"str of 100: '{'x' * 58}…", "str of 100", repr(LONG)[:48] + "..." + repr(LONG)[-49:]),
    ([1] * 30, f"list of 30: {repr([1] * 30)[:59]}…", "list of 30", repr([1] * 20)[:-1] + ", ...]"),
    ({1, 2}, "{1, 2}", "set of 2", "{1, 2}"),
    (Path(LONG), f"PosixPath: PosixPath('{'x' * 48}…", "PosixPath", None),
    (np.zeros((3, 4)), "ndarray (3, 4) float64, 96 B", "ndarray 3 × 4", "ndarray (3, 4)"),
    (np.zeros(250_000), "ndarray (250000,) float64, 2.0 MB", "ndarray 250000", "ndarray (250000,)"),
    (np.zeros(2_500), "ndarray (2500,) float64, 20 kB", "ndarray 2500", "ndarray (2500,)"),
    (Table(), "Table (3, 2)", "Table 3 × 2", "Table (3, 2)"),
    (Rude(), "Rude (its repr raises RuntimeError)", "Rude", None),
]  # fmt: skip


@pytest.mark.parametrize(("value", "argument", "result", "parameter"), IN_WORDS, ids=lambda value: type(value).__name__)
def test_a_value_in_words(value: Any, argument: str, result: str, parameter: str | None) -> None:
    assert (summary_of(value), outcome_of(value)) == (argument, result)
    told = text_of(value)
    assert told == parameter or (parameter is None and type(value).__name__ in told and len(told) <= 120)


def test_a_result_that_refuses_to_be_looked_at_is_told_by_its_type() -> None:
    assert outcome_of(Ruder()) == "Ruder"


def shown(file: Path, number: int, **around: int) -> list[str]:
    return ["".join(text for text, _ in one) for one in excerpt(str(file), number, **around)]


def test_an_excerpt_shows_the_line_and_begins_with_no_empty_one(tmp_path: Path) -> None:
    file = tmp_path / "pipeline.py"
    file.write_text("one = 1\n\n\ntwo = 2\nthree = 3\n")
    assert shown(file, 4, after=1) == ["  ❱ 4 │ two = 2", "    5 │ three = 3"]
    assert shown(file, 5, after=0, before=3) == ["    4 │ two = 2", "  ❱ 5 │ three = 3"]
    assert shown(file, 9) == shown(file, 0) == []


@pytest.mark.parametrize("content", [b"\xff\xfe not utf-8", b"# coding: no-such-coding\nx = 1\n", None])
def test_of_a_file_that_cannot_be_read_there_is_no_excerpt(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "pipeline.py"
    if content is None:
        with file.open("wb") as stream:
            stream.truncate(6_000_000)
    else:
        file.write_bytes(content)
    assert shown(file, 1) == []


def test_a_path_is_shortened_where_that_reads_better(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a" / "b")
    assert short_path(str(tmp_path / "a" / "b" / "pipeline.py")) == "pipeline.py"
    assert short_path(str(tmp_path / "a" / "helper.py")) == os.path.join(os.pardir, "helper.py")
    assert short_path("/usr/lib/far.py") == "/usr/lib/far.py"
    assert place(str(tmp_path / "a" / "helper.py"), 3) == os.path.join(os.pardir, "helper.py:3")


@pytest.mark.parametrize("value", [np.float64(0.25), np.int32(7), np.bool_(True)])
def test_a_scalar_of_numpy_is_shown_as_the_number_that_it_is(value: Any) -> None:
    assert outcome_of(value) == repr(value.item())
