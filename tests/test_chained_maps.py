"""Chained maps over lists that are known only in the run give what the plain script gives, as the lists change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jpipe
from jpipe import api
from jpipe.errors import WiringError


@jpipe.step
def numbers(count: int) -> list[int]:
    return list(range(count))


@jpipe.step
def doubled(x: int, plus: int = 0) -> int:
    return 2 * x + plus


@jpipe.step
def total(xs: list[int]) -> int:
    return sum(xs)


@jpipe.step
def given(value: Any) -> Any:
    return value


@jpipe.step
def shown(x: Any) -> str:
    return repr(x)


@jpipe.pipeline
def main(count: int) -> Any:
    xs = numbers(count)
    once = jpipe.map(doubled, xs)
    return jpipe.map(doubled, xs, [10, 20, 30]), total(jpipe.map(doubled, once)), jpipe.map(doubled, once, [1, 2])


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_what_follows_from_items_that_are_found_together_is_decided_once(tmp_path: Path, n_jobs: int) -> None:
    for count in (7, 3, 7, 5, 0, 8):
        run = api.run(main, {"count": count}, n_jobs=n_jobs, cache_dir=tmp_path / "cache")
        assert run.value == main(count), f"for {count} numbers"
    last = api.run(main, {"count": 9}, n_jobs=n_jobs, cache_dir=tmp_path / "cache")
    assert last.outcomes["doubled"].ran == 1, "twice eight was known as twice twice four; only twice sixteen is new"


def test_items_that_come_together_with_a_constant_of_their_takers_make_each_of_these_run_once(tmp_path: Path) -> None:
    @jpipe.step(batch_size=4)
    def made(x: int) -> int:
        return x

    @jpipe.step
    def taken(x: int, plus: int, log: Path) -> int:
        with log.open("a") as file:
            file.write(f"{x} ")
        return x + plus

    @jpipe.pipeline
    def main(log: Path) -> Any:
        xs = jpipe.map(made, [1, 2, 3])
        return jpipe.map(taken, xs, plus=made(10), log=log)

    log = tmp_path / "log"
    assert api.run(main, {"log": log}, n_jobs=2, cache_dir=tmp_path / "cache").value == [11, 12, 13]
    assert sorted(log.read_text().split()) == ["1", "2", "3"]


MAPPED = {"tuple": (1, "a"), "str": "abc", "range": range(3), "array": np.arange(6).reshape(3, 2)}


@pytest.mark.parametrize("value", MAPPED.values(), ids=MAPPED)
def test_a_result_that_is_gone_through_as_it_is_indexed_is_mapped_over(value: Any, tmp_path: Path) -> None:
    @jpipe.pipeline
    def mapped() -> Any:
        return jpipe.map(shown, given(value))

    assert api.run(mapped, n_jobs=1, cache_dir=tmp_path / "cache").value == mapped()


@pytest.mark.parametrize("value", [{"a": 1}, {0: "a", 1: "b"}, {"a"}, 5], ids=repr)
def test_a_result_that_is_not_is_refused_at_the_line_of_the_map(value: Any, tmp_path: Path) -> None:
    @jpipe.pipeline
    def mapped() -> Any:
        return jpipe.map(shown, given(value))

    for _ in range(2):  # the second time the result is known before anything runs
        with pytest.raises(WiringError, match="return a list") as refused:
            api.run(mapped, n_jobs=1, cache_dir=tmp_path / "cache")
        assert f"of type {type(value).__name__}" in str(refused.value)


def test_a_part_that_a_result_does_not_have_cannot_be_mapped_over(tmp_path: Path) -> None:
    @jpipe.pipeline
    def mapped() -> Any:
        return jpipe.map(shown, given({"a": [1]})["b"])

    with pytest.raises(WiringError, match="'b'"):
        api.run(mapped, n_jobs=1, cache_dir=tmp_path / "cache")
