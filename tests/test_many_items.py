"""Mapped calls so long that their items are looked up together: the same results and counts as one by one."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import jpipe
from jpipe import pipeline, step
from jpipe.decide import item_columns, pipeline_state
from jpipe.decide.item_columns import as_range, digests_of, unknown_places
from jpipe.store import BlobPlace, Inline, key_table
from jpipe.store.key_table import NONE, SEVERAL, KeyTable


@pytest.fixture(autouse=True)
def few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten items count as very many, and are taken in blocks of four."""
    monkeypatch.setattr(pipeline_state, "MANY", 10)
    monkeypatch.setattr(item_columns, "BLOCK", 4)
    monkeypatch.setattr(key_table, "_SORTED_FROM", 16)


@step
def square(i: int) -> int:
    return i * i


@step
def half(i: int) -> float:
    if i % 2:
        raise ValueError(f"{i} is odd")
    return i / 2


@step
def total(values: list[Any]) -> Any:
    return sum(values)


@pipeline
def squares(numbers: list[int]) -> Any:
    return total(jpipe.map(square, numbers))


@pipeline
def halves(numbers: list[int]) -> Any:
    return jpipe.map(half, jpipe.map(square, numbers))


def run(of: Any, cache: Path, numbers: Any, **options: Any) -> jpipe.Run:
    return jpipe.run(of, {"numbers": numbers}, n_jobs=1, cache_dir=cache, **options)


def outcome(done: jpipe.Run, name: str) -> tuple[int, int]:
    """How many items of a step ran, and of how many the result was kept."""
    found = next(one for one in done.steps if one.step == name)
    return found.ran, found.cached


@pytest.mark.parametrize("kind", [list, lambda n: n], ids=["list", "range"])
def test_only_new_items_of_a_long_list_run(tmp_path: Path, kind: Any) -> None:
    first = run(squares, tmp_path, kind(range(60)))
    assert (first.value, outcome(first, "square")) == (sum(i * i for i in range(60)), (60, 0))
    assert outcome(run(squares, tmp_path, kind(range(60))), "square") == (0, 60)
    more = run(squares, tmp_path, kind(range(10, 75)))
    assert (more.value, outcome(more, "square")) == (sum(i * i for i in range(10, 75)), (15, 50))
    assert outcome(run(squares, tmp_path, kind(range(70)), force=["square"]), "square") == (70, 0)
    again = run(squares, tmp_path, kind(range(5, 73)))
    assert (again.value, outcome(again, "square")) == (sum(i * i for i in range(5, 73)), (0, 68))


def test_a_range_and_an_equal_list_are_the_same_items(tmp_path: Path) -> None:
    run(squares, tmp_path, range(40))
    assert outcome(run(squares, tmp_path, list(range(40))), "square") == (0, 40)


def test_equal_items_of_a_long_list_run_once(tmp_path: Path) -> None:
    numbers = [i % 7 for i in range(50)]
    done = run(squares, tmp_path, numbers)
    assert (done.value, outcome(done, "square")) == (sum(i * i for i in numbers), (7, 43))
    assert outcome(run(squares, tmp_path, [*numbers, 7]), "square") == (1, 50)


def test_what_failed_of_a_long_list_runs_again_and_nothing_else(tmp_path: Path) -> None:
    def failed() -> tuple[int, int]:
        done = run(halves, tmp_path, range(30), keep_going=True)
        return outcome(done, "half")

    assert failed() == (15, 0)
    assert failed() == (0, 15)
    assert run(halves, tmp_path, range(0, 30, 2)).value == [i * i / 2 for i in range(0, 30, 2)]


def digests(count: int) -> Iterator[bytes]:
    numbers = random.Random(count)
    for _ in range(count):
        yield numbers.randbytes(32)


def test_a_key_is_found_wherever_its_entries_are() -> None:
    """Sorted, listed since, in both; once and several times; also beside one that is mixed into the same."""
    some = [*digests(100)]
    first, second, *rest = (int.from_bytes(some[3][at : at + 8], sys.byteorder) for at in range(0, 32, 8))
    one, other = key_table._FACTORS[:2]
    words = [(first + other) % 2**64, (second - one) % 2**64, *rest]
    alike = b"".join(word.to_bytes(8, sys.byteorder) for word in words)
    table, added = KeyTable(), []
    for piece in (some[:5], some[5:60], some[58:64], some[64:66], [some[65], alike, some[0]]):
        table.add(memoryview(b"".join(piece)))
        table.settle()
        added += piece
    for key in {*added, some[99]}:
        numbers = [number for number, other in enumerate(added) if other == key]
        assert sorted(table.numbers(key)) == numbers
        found = NONE if not numbers else numbers[0] if len(numbers) == 1 else SEVERAL
        assert table.find([some[99], key]) == [NONE, found]
    assert table.distinct() == {*added}


@pytest.mark.parametrize("few", [0, 256])
def test_a_column_of_digests_is_a_list_of_them(few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(item_columns, "_FEW", few)
    known: list[bytes | None] = [*digests(20)]
    known[7] = None
    column = digests_of(known)
    assert ([*column], column[7], column[-1], [*column[3:9]]) == (known, None, known[-1], known[3:9])
    assert (None in column, known[5] in column, b"?" * 32 in column) == (True, True, False)
    whole = b"".join(filter(None, known))
    assert whole[16:48] not in column, "half of one and half of the next"
    assert (column.joined(), column.are_distinct()) == (whole, False)
    column[7] = b"7" * 32
    assert (column.take(range(6, 9)), column.are_distinct()) == ([known[6], b"7" * 32, known[8]], True)
    column.fill(range(2), known[4] + known[5])
    assert (column[0], column.are_distinct()) == (known[4], False)


@pytest.mark.parametrize("few", [0, 256])
def test_a_column_of_places_is_a_list_of_them(few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(item_columns, "_FEW", few)
    places = unknown_places(6)
    blob, small = BlobPlace(b"b" * 32), Inline(b"small")
    places[0], places[4] = blob, small
    places.fill(range(1, 3), [b"one", b"two"])
    places.fill([5], [b"five"])
    expected = [blob, Inline(b"one"), Inline(b"two"), None, small, Inline(b"five")]
    assert ([*places], places[1:4], places[3]) == (expected, expected[1:4], None)
    assert (None in places, small in places, Inline(b"other") in places) == (True, True, False)


@pytest.mark.parametrize(
    ("indices", "row"), [([3, 4, 5], range(3, 6)), ([3, 5, 4], None), ([7], range(7, 8)), ([], None), ([1, 1, 3], None)]
)
def test_indices_that_follow_each_other_are_a_range(indices: list[int], row: range | None) -> None:
    assert as_range(indices) == (indices if row is None else row)
