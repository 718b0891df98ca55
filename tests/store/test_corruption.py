"""A cache with any byte changed gives right results or misses, never wrong ones, and mends itself."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jpipe.store import BlobPlace, CorruptEntry, MissingEntry, NewRecord, NoteKind, SigningKey, Store
from jpipe.store.disk import seals as seal

KEY = SigningKey(b"k" * 32)
FAMILY = b"f" * 32
VALUES: dict[bytes, Any] = {
    b"1" * 32: {"small": 1},
    b"2" * 32: "medium" * 5000,
    b"3" * 32: np.arange(150_000.0),
    b"4" * 32: {"large": np.ones(150_000), "small": np.arange(600)},
    b"5" * 32: np.arange(700),
}


def same(one: Any, other: Any) -> bool:
    try:
        np.testing.assert_equal(one, other)
    except AssertionError:
        return False
    return type(one) is type(other)


def opened(root: Path) -> Store:
    return Store.open(root, key=KEY)


def fill(root: Path) -> Store:
    store = opened(root)
    for keys in (list(VALUES)[:3], list(VALUES)[3:]):
        store.sync(store.publish(FAMILY, [NewRecord(key, store.put(VALUES[key])) for key in keys]).paths)
    store.write_note(NoteKind.STEP, FAMILY, b"note")
    return store


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder in memory where there is one."""
    memory = Path("/dev/shm")
    made = Path(os.path.realpath(memory if os.access(memory, os.W_OK) else "/tmp")) / f"jpipe-corruption-{os.getpid()}"
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir(mode=0o700)
    yield made
    shutil.rmtree(made)


def spoil(path: Path, others: list[Path], rng: random.Random) -> str:
    """Change a file, in place or by putting another one there, so that its size or bytes are different."""
    data = bytearray(path.read_bytes())
    how = rng.choice(["flip", "flip", "flip", "truncate", "zeros", "append", "swap", "empty"])
    if how == "flip":
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif how == "truncate":
        del data[rng.randrange(len(data)) :]
    elif how == "zeros":
        start = rng.randrange(len(data))
        data[start : start + 4096] = bytes(len(data[start : start + 4096]))
    elif how == "append":
        data += b"\0"
    elif how == "swap":
        data = bytearray(rng.choice(others).read_bytes())
    else:
        data.clear()
    before = path.stat()
    path.chmod(0o600)
    if rng.random() < 0.5:
        path.unlink()
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    return how


def check(root: Path, told: str) -> int:
    """Nothing wrong comes back, one clean run mends everything, and then all is found."""
    store = opened(root)
    right = 0
    for key, value in VALUES.items():
        records = store.family(FAMILY).find(key)
        try:
            if records:
                assert same(store.load(records[0].where), value), told
                right += 1
                continue
        except MissingEntry:
            pass
        store.publish(FAMILY, [NewRecord(key, store.put(value))])
    assert store.read_note(NoteKind.STEP, FAMILY) in (None, b"note"), told
    again = opened(root)
    for key, value in VALUES.items():
        assert same(again.load(again.family(FAMILY).find(key)[0].where), value), told
    return right


def fuzz(folder: Path, cases: int, seed: int) -> None:
    rng = random.Random(seed)
    clean = folder / "clean"
    fill(clean)
    right = 0
    for case in range(cases):
        root = folder / f"case-{case}"
        shutil.copytree(clean, root, copy_function=shutil.copy2)
        files = sorted(path for path in (root / "v1").rglob("*") if path.is_file())
        for path in rng.sample(files, rng.choice([1, 1, 1, 3])):
            told = f"case {case} of seed {seed}: {spoil(path, files, rng)} in {path.name}"
        right += check(root, told)
        shutil.rmtree(root)
    assert right > cases * len(VALUES) // 3


def test_any_byte_may_change(folder: Path) -> None:
    fuzz(folder, 150, seed=1)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(10))
def test_very_many_bytes_may_change(folder: Path, seed: int) -> None:
    fuzz(folder, 2000, seed)


@pytest.mark.parametrize("key", [b"2" * 32, b"3" * 32])
def test_a_damaged_result_is_a_miss_once_and_then_a_hit(folder: Path, key: bytes) -> None:
    store = fill(folder / "cache")
    place = store.family(FAMILY).find(key)[0].where
    assert isinstance(place, BlobPlace)
    path = Path(store.disk.blobs.path(place.id))
    flip(path, path.stat().st_size // 2)
    with pytest.raises(CorruptEntry):
        opened(store.root).load(place)
    with pytest.raises(MissingEntry):
        opened(store.root).load(place)
    assert [entry.name for entry in (store.root / "v1" / "quarantine").iterdir()] == [place.id.hex()]
    assert store.put(VALUES[key]).where == place
    for _ in range(2):
        assert same(opened(store.root).load(place), VALUES[key])


def test_a_result_is_written_anew_over_a_damaged_equal_one(folder: Path) -> None:
    store = fill(folder / "cache")
    for key in (b"2" * 32, b"3" * 32):
        place = store.family(FAMILY).find(key)[0].where
        assert isinstance(place, BlobPlace)
        path = Path(store.disk.blobs.path(place.id))
        flip(path, path.stat().st_size // 2)
        assert opened(store.root).put(VALUES[key]).where == place
        assert same(opened(store.root).load(place), VALUES[key])


def test_a_damaged_small_value_costs_its_neighbours_nothing(folder: Path) -> None:
    store = opened(folder / "cache")
    keys = [bytes([n]) * 32 for n in range(50)]
    store.publish(FAMILY, [NewRecord(key, store.put("value" * 100 + str(key[0]))) for key in keys])
    (pack,) = (store.root / "v1" / "families").rglob("*.pack")
    place = store.family(FAMILY).find(keys[7])[0].where
    flip(pack, place.offset + 3)
    reader = opened(store.root)
    with pytest.raises(CorruptEntry):
        reader.load(place)
    matches = opened(store.root).family(FAMILY).find_many(keys)
    assert [position for position, found in enumerate(matches) if not found] == [7]
    assert reader.load(matches[8][0].where) == "value" * 100 + "8"
    assert store.verify().sound


def test_a_change_under_a_seal_is_noticed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An attacker or a bad disk changes a byte and puts the old time back; the time of change tells."""
    monkeypatch.setattr(seal, "settled", lambda identity: True)
    store = fill(folder / "cache")
    place = store.family(FAMILY).find(b"3" * 32)[0].where
    assert isinstance(place, BlobPlace)
    assert same(opened(store.root).load(place), VALUES[b"3" * 32])
    path = Path(store.disk.blobs.path(place.id))
    other_name = path.with_name("other-name")
    os.link(path, other_name)
    flip(other_name, 5000)
    for reader in (store, opened(store.root)):
        with pytest.raises(MissingEntry):
            reader.load(place)


def flip(path: Path, at: int) -> None:
    before = path.stat()
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 1]))
    path.chmod(0o400)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
