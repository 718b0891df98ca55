"""Short items whose results are numbers and short texts: what is told and kept of each is as of any other."""

from __future__ import annotations

import json
import pickle
from array import array
from pathlib import Path
from typing import Any

import pytest

from jpipe.digest import digest
from jpipe.store import NewRecord, PlainRecords, Store, inline_scalars
from jpipe.store.disk.signing import SigningKey
from jpipe.system import memory
from jpipe.system.memory import PeakMeter
from jpipe.worker.messages import ItemWork
from jpipe.worker.packed_items import PackedItems, keys_of
from jpipe.worker.plain_results import is_plain
from jpipe.worker.value_references import Given
from tests.conftest import Project

FAMILY = b"f" * 32
VALUES = [None, True, -7, 1 << 900, 2.5, float("nan"), "text", "é" * 60, b"\0" * 60]

MIXED = """
import json
import os
import random
import warnings
from pathlib import Path

import jpipe
from jpipe import pipeline, step


@step
def mixed(i: int, offset: int):
    kind = i % 9
    if kind == 1:
        print(f"item {i} prints")
    if kind == 2 and Path(f"broken-{i}").exists():
        raise ValueError(f"{i} is broken")
    if kind == 3:
        return Path("given.txt").read_text()
    if kind == 4:
        os.write(1, f"item {i} writes\\n".encode())
    if kind == 5:
        return str(Path.cwd())
    if kind == 6:
        return [i, offset]
    if kind == 7:
        os.chdir("/")
        return None
    if kind == 8:
        warnings.warn("take care", stacklevel=1)
        return random.random()
    return i + offset


@step
def keep(values):
    Path("values.json").write_text(json.dumps(values))
    return len(values)


@pipeline
def main(n: int = 90, offset: int = 1000):
    return keep(jpipe.map(mixed, range(n), offset=offset))
"""


@pytest.fixture
def mixed(project: Project) -> Project:
    project.write({"pipeline.py": MIXED, "given.txt": "one"})
    return project


def printed(project: Project) -> dict[int, str]:
    """What the log has of each item that printed."""
    told = json.loads(project.command("log", "mixed", "--json").stdout)["items"]
    return {item["item"]: item["output"] for item in told if item["output"]}


@pytest.mark.parametrize("jobs", ["-j1", "-j2"])
def test_all_that_is_told_of_items_is_told_of_each(mixed: Project, jobs: str) -> None:
    broken = [mixed.root / "broken-65", mixed.root / "broken-83"]
    for file in broken:
        file.touch()
    first = mixed.run(jobs, "--keep-going", "-v")
    assert (first.end["ran"], first.end["failed"]) == (88, 2)
    assert {one["item"] for one in first.of("item_end") if one["outcome"] == "failed"} == {65, 83}
    output = printed(mixed)
    says = {1: "item {} prints", 4: "item {} writes", 8: "take care"}
    expected = {i: says[i % 9].format(i) for i in range(90) if i % 9 in says}
    assert {i: text for i, text in expected.items() if text not in output.get(i, "")} == {}
    assert set(output) == set(expected)
    for file in broken:
        file.unlink()
    assert mixed.run(jobs).ran == {"mixed": 2, "keep": 1}
    assert mixed.run(jobs).counts == (0, 91)
    mixed.write({"given.txt": "two"})
    assert mixed.run(jobs).ran == {"mixed": 10, "keep": 1}
    values = json.loads((mixed.root / "values.json").read_text("utf-8"))
    assert [values[i] for i in range(0, 90, 9)] == [i + 1000 for i in range(0, 90, 9)]
    assert [values[i] for i in (3, 5, 6, 7)] == ["two", str(mixed.root), [6, 1000], None]
    assert len({values[i] for i in range(8, 90, 9)}) == 10
    other = mixed.root.with_name("elsewhere")
    mixed.root.rename(other)
    assert Project(other).run(jobs).ran["mixed"] == 10, "only what names the folder is another in another place"


ALIKE = """
import json
import random
from pathlib import Path

import jpipe
from jpipe import pipeline, step


@step
def tenfold(i: int):
    return 10 * i


@step
def draw(i: int):
    return random.random()


@step
def keep(tens, draws):
    Path("values.json").write_text(json.dumps([tens, draws]))


@pipeline
def main():
    return keep(jpipe.map(tenfold, [i % 90 for i in range(180)]), jpipe.map(draw, [7] * 90))
"""


@pytest.mark.parametrize("jobs", ["-j1", "-j2"])
def test_equal_items_run_once_and_replicates_each(project: Project, jobs: str) -> None:
    project.write(ALIKE)
    assert project.run(jobs).ran == {"tenfold": 90, "draw": 90, "keep": 1}
    tens, draws = json.loads((project.root / "values.json").read_text("utf-8"))
    assert tens == [10 * (i % 90) for i in range(180)]
    assert len(set(draws)) == 90
    assert project.run(jobs).ran == {}


def test_records_in_columns_are_those_of_each(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "one", key=SigningKey(b"k" * 32))
    keys = [bytes([number]) * 32 for number in range(len(VALUES))]
    arguments = [(("x", bytes([200 + number]) * 32), ("k", b"k" * 32)) for number in range(len(VALUES))]
    single = [
        NewRecord(key, store.put(value), own, (), 0.5 * number, 100 + number)
        for number, (key, value, own) in enumerate(zip(keys, VALUES, arguments, strict=True))
    ]
    store.publish(FAMILY, single)
    other = Store.open(tmp_path / "other", key=SigningKey(b"k" * 32))
    column = PlainRecords(
        b"".join(keys),
        b"".join(digest(value).content for value in VALUES),
        inline_scalars(VALUES),
        (("x", b"".join(own[0][1] for own in arguments)), ("k", b"k" * 32 * len(VALUES))),
        array("d", [0.5 * number for number in range(len(VALUES))]),
        array("q", [100 + number for number in range(len(VALUES))]),
    )
    other.publish(FAMILY, [NewRecord(b"\xff" * 32, other.put([1]))], [column])
    for key in keys:
        (one,), (two,) = (s.family(FAMILY).find(key) for s in (store, other))
        assert repr(other.load(two.where)) == repr(store.load(one.where))
        assert two._replace(created=0.0, where=None) == one._replace(created=0.0, where=None)


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_plain_values_are_stored_as_others_are(value: Any, tmp_path: Path) -> None:
    store = Store.open(tmp_path, key=SigningKey(b"k" * 32))
    assert is_plain(value)
    assert [store.put(value).where.payload] == inline_scalars([value])


@pytest.mark.parametrize(
    "value", [1 << 5000, "x" * 1000, [1], 1j, type("Own", (int,), {})(3)], ids=lambda v: type(v).__name__
)
def test_other_values_are_not_plain(value: Any) -> None:
    assert not is_plain(value)


def test_packed_items_are_the_items() -> None:
    fixed = (("k", b"k" * 32),)
    items = [
        ItemWork(bytes([n]) * 32, Given({"x": n, "y": str(n)}), 0, (*fixed, ("x", bytes([100 + n]) * 32)))
        for n in range(20)
    ]
    digests = {"x": b"".join(item.digests[1][1] for item in items)}
    values: dict[str, list[Any]] = {"x": [*range(20)], "y": [str(n) for n in range(20)]}
    packed = pickle.loads(pickle.dumps(PackedItems(keys_of(items), fixed, digests, values, 0)))
    assert ([*packed], packed[-1], packed[3:5], len(packed)) == (items, items[-1], items[3:5], 20)
    assert packed.seeds() == [item.seed for item in items]
    assert packed.columns([2, 5]) == (
        items[2].key + items[5].key,
        (("k", b"k" * 64), ("x", items[2].digests[1][1] + items[5].digests[1][1])),
    )


@pytest.mark.parametrize(
    ("values", "fits"),
    [([1, 2.0, None], True), (["a", b"b"], True), (["x" * 5000], False), ([1, [2]], False), ([1, "a"], False)],
)
def test_lists_and_long_texts_travel_by_themselves(values: list[Any], fits: bool) -> None:
    assert PackedItems.can_hold(values) == fits


def test_the_peak_of_items_within_a_moment_is_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    peaks, forgotten = iter([10, 20, 30, 40]), []
    monkeypatch.setattr(memory, "peak_memory", lambda: next(peaks))
    monkeypatch.setattr(memory, "forget_peak", lambda: forgotten.append(1))
    meter = PeakMeter(forgets=True)
    assert (meter.begin(5.0), meter.peak(5.0001), meter.begin(5.0002)) == (10, 10, 10)
    assert meter.peak(6.0) == 20, "a long item is measured at its end"
    assert (meter.begin(6.0001), len(forgotten)) == (30, 2), "and does not count for the next"
