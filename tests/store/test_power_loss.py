"""After a power loss nothing is wrong, and nothing is lost that was reported as done.

A model of a disk that keeps no promise but those of fsync: everything that the store does is noted down; at any moment
the power may fail. Then a file whose bytes were not waited for holds all, some, or none of them, zeros or rubbish, and
a name whose folder was not waited for may be there or not. States of such a disk are built and opened.
"""

from __future__ import annotations

import itertools
import os
import pickle
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jpipe.store import MissingEntry, NewRecord, SigningKey, Store
from jpipe.store.disk import seals as seal
from jpipe.store.disk import system

KEY = SigningKey(b"k" * 32)
FAMILY = b"f" * 32
VALUES: dict[bytes, Any] = {
    b"1" * 32: {"small": 1},
    b"2" * 32: "medium" * 5000,
    b"3" * 32: np.arange(150_000.0),
    b"4" * 32: [np.arange(150_000.0), "with a name"],
}


FOLDER = -1


class Disk:
    """What the store did so far, and what of it the disk must keep."""

    def __init__(self) -> None:
        self.history: list[tuple[str, Any]] = []
        self.opened: dict[int, str] = {}
        self.contents: dict[str, bytes] = {}

    def watch(self, patch: pytest.MonkeyPatch) -> None:
        for name in ("link", "rename", "replace", "unlink", "mkdir", "fsync", "open"):
            patch.setattr(system, name, self._around(name, getattr(system, name)))
        patch.setattr(system, "UNNAMED", None)

    def done(self, key: bytes) -> None:
        self.history.append(("done", key))

    def _around(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*arguments: Any, **keywords: Any) -> Any:
            if name in ("link", "rename", "replace"):
                self.contents[os.path.normpath(arguments[0])] = Path(arguments[0]).read_bytes()
            result = call(*arguments, **keywords)
            if name == "open":
                self.opened[result] = os.path.normpath(arguments[0])
                if arguments[1] & os.O_CREAT:
                    self.history.append(("create", os.path.normpath(arguments[0])))
            elif name == "fsync":
                self.history.append(("fsync", self.opened[arguments[0]]))
            else:
                paths = [os.path.normpath(one) if isinstance(one, (str, Path)) else str(one) for one in arguments[:2]]
                self.history.append((name, tuple(paths)))
            return result

        return noted


class State:
    """The names and bytes that a disk has after the power failed at some point of its history."""

    def __init__(self, history: list[tuple[str, Any]], contents: dict[str, bytes], rng: random.Random) -> None:
        self.files: dict[str, int] = {}
        self.folders: set[str] = set()
        self.kept_folders: set[str] = set()
        self.bytes: dict[int, str] = {}
        self.safe_bytes: set[int] = set()
        self.pending: list[tuple[str, str, int | None]] = []
        self.done: set[bytes] = set()
        self.numbers = itertools.count()
        self.contents = contents
        self.current: dict[str, int] = {}
        for kind, what in history:
            getattr(self, "_" + kind)(what)
        for folder, name, number in self.pending:
            if rng.random() < 0.5:
                self._keep(folder, name, number)

    def _create(self, path: str) -> None:
        number = next(self.numbers)
        self.bytes[number] = path
        self._name(path, number)

    def _name(self, path: str, number: int | None) -> None:
        if number is None:
            self.current.pop(path, None)
        else:
            self.current[path] = number
        folder, _, name = path.rpartition("/")
        self.pending.append((folder, name, number))

    def _link(self, paths: tuple[str, str]) -> None:
        self._name(paths[1], self.current[paths[0]])

    def _replace(self, paths: tuple[str, str]) -> None:
        self._name(paths[1], self.current[paths[0]])
        self._name(paths[0], None)

    _rename = _replace

    def _unlink(self, paths: tuple[str]) -> None:
        self._name(paths[0], None)

    def _mkdir(self, arguments: tuple[str, ...]) -> None:
        self.folders.add(arguments[0])
        folder, _, name = arguments[0].rpartition("/")
        self.pending.append((folder, name, FOLDER))

    def _fsync(self, path: str) -> None:
        if path in self.current:
            self.safe_bytes.add(self.current[path])
            return
        kept = [entry for entry in self.pending if entry[0] == path]
        self.pending = [entry for entry in self.pending if entry[0] != path]
        for entry in kept:
            self._keep(*entry)

    def _done(self, key: bytes) -> None:
        self.done.add(key)

    def _keep(self, folder: str, name: str, number: int | None) -> None:
        if number is None:
            self.files.pop(f"{folder}/{name}", None)
        elif number == FOLDER:
            self.kept_folders.add(f"{folder}/{name}")
        else:
            self.files[f"{folder}/{name}"] = number

    def is_kept(self, folder: str) -> bool:
        """Whether the names of a folder and of all above it, as far as the store made them, are on the disk."""
        while folder in self.folders:
            if folder not in self.kept_folders:
                return False
            folder = folder.rpartition("/")[0]
        return True

    def build(self, root: Path, into: Path, rng: random.Random) -> None:
        for folder in sorted(self.folders):
            if self.is_kept(folder):
                (into / Path(folder).relative_to(root)).mkdir(exist_ok=True, mode=0o700)
        for path, number in self.files.items():
            if not self.is_kept(path.rpartition("/")[0]):
                continue
            data = self.contents.get(self.bytes[number], b"")
            if number not in self.safe_bytes:
                data = damaged(data, rng)
            target = into / Path(path).relative_to(root)
            target.write_bytes(data)
            target.chmod(0o400)


def damaged(data: bytes, rng: random.Random) -> bytes:
    """What may be left of bytes that nobody waited for."""
    middle = len(data) // 2
    choice = rng.randrange(6)
    if choice == 0:
        return data
    if choice == 1:
        return b""
    if choice == 2:
        return bytes(len(data))
    if choice == 3:
        return data[: rng.randrange(len(data) + 1)]
    if choice == 4:
        return data[:middle] + bytes(min(4096, len(data) - middle)) + data[middle + 4096 :]
    return data[:middle] + rng.randbytes(len(data) - middle)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one: no real disk has to be waited for."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    made = Path(tempfile.mkdtemp(dir=memory))
    yield made
    shutil.rmtree(made)


@pytest.fixture
def recorded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Disk]:
    """A run that stored and synced some results: its folder, and what the disk saw."""
    disk = Disk()
    root = folder / "cache"
    with monkeypatch.context() as patch:
        disk.watch(patch)
        patch.setattr(seal, "settled", lambda identity: True)
        store = Store.open(root, key=KEY)
        for key, value in VALUES.items():
            published = store.publish(FAMILY, [NewRecord(key, store.put(value))])
            assert same(store.load(published.places[0]), value)
            assert store.sync(published.paths) == ()
            disk.done(key)
    return root, disk


def same(one: Any, other: Any) -> bool:
    return pickle.dumps(np.asarray(one, dtype=object)) == pickle.dumps(np.asarray(other, dtype=object))


def lose_power(recorded: tuple[Path, Disk], states: int, seed: int) -> None:
    root, disk = recorded
    rng = random.Random(seed)
    found = 0
    for number in range(states):
        state = State(disk.history[: rng.randrange(len(disk.history) + 1)], disk.contents, rng)
        into = root.with_name(f"after-{number}")
        state.build(root, into, rng)
        found += check(into, state.done)
        shutil.rmtree(into)
    assert found > states // 4


def check(into: Path, done: set[bytes]) -> int:
    """Results that are found are right, and those that were done are found; then a new run mends the rest."""
    store = Store.open(into, key=KEY)
    found = 0
    for key, value in VALUES.items():
        records = store.family(FAMILY).find(key)
        assert records or key not in done, "a result that was done has no record"
        try:
            if records:
                assert same(store.load(records[0].where), value), "a wrong result"
                found += 1
                continue
        except MissingEntry:
            assert key not in done, "a result that was done cannot be loaded"
        store.publish(FAMILY, [NewRecord(key, store.put(value))])
    again = pickle.loads(pickle.dumps(store))
    for key, value in VALUES.items():
        assert same(again.load(again.family(FAMILY).find(key)[0].where), value)
    return found


def test_any_moment_of_a_run(recorded: tuple[Path, Disk]) -> None:
    lose_power(recorded, 150, seed=1)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(10))
def test_very_many_moments_of_a_run(recorded: tuple[Path, Disk], seed: int) -> None:
    lose_power(recorded, 2000, seed)
