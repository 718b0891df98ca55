"""Chained maps over lists that are known only in the run give what the plain script gives, as the lists change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import jpipe
from jpipe import api


@jpipe.step
def numbers(count: int) -> list[int]:
    return list(range(count))


@jpipe.step
def doubled(x: int, plus: int = 0) -> int:
    return 2 * x + plus


@jpipe.step
def total(xs: list[int]) -> int:
    return sum(xs)


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
