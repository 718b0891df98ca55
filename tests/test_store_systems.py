"""File systems that lack something and disks that refuse: the store does without it, or says what is wrong."""

from __future__ import annotations

import errno
import mmap
import os
import pickle
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jpipe.errors import CacheError, CacheFolderError, UnstorableResult
from jpipe.store import CacheWarning, NewRecord, SigningKey, Store
from jpipe.store.disk import signing, system
from jpipe.store.format import memory_map as mapping
from jpipe.store.notes import NoteKind

KEY = SigningKey(b"k" * 32)
FAMILY = b"f" * 32
LARGE = np.arange(1 << 18, dtype=float)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "cache", key=KEY)


def kept(store: Store, value: Any, key: bytes = b"a" * 32) -> Any:
    """A value that was published, as another process would load it."""
    store.publish(FAMILY, [NewRecord(key, store.put(value))])
    return found(pickle.loads(pickle.dumps(store)), key)


def found(store: Store, key: bytes = b"a" * 32) -> Any:
    (record,) = store.family(FAMILY).find(key)
    return store.load(record.where)


def failing(number: int, when: Callable[..., bool] = lambda *_: True) -> Callable[[Any], Callable[..., Any]]:
    """Makes of a call to the system one that fails with an error number, for the arguments that are meant."""

    def made(call: Callable[..., Any]) -> Callable[..., Any]:
        def refused(*args: Any, **kwargs: Any) -> Any:
            if when(*args):
                refused.times += 1  # type: ignore[attr-defined]
                raise OSError(number, os.strerror(number))
            return call(*args, **kwargs)

        refused.times = 0  # type: ignore[attr-defined]
        return refused

    return made


def is_unnamed(path: str, flags: int, *_: Any) -> bool:
    return system.UNNAMED is not None and flags == system.UNNAMED


@pytest.mark.parametrize("without_links", [False, True])
def test_without_unnamed_files_and_links_everything_is_kept(
    store: Store, monkeypatch: pytest.MonkeyPatch, without_links: bool
) -> None:
    opened = failing(errno.EOPNOTSUPP, is_unnamed)(system.open)
    monkeypatch.setattr(system, "open", opened)
    if without_links:
        monkeypatch.setattr(system, "link", failing(errno.EPERM)(system.link))
    assert (kept(store, LARGE) == LARGE).all()
    assert opened.times <= 1, "what a file system lacks is asked for once"  # type: ignore[attr-defined]
    blobs = sorted(path for path in store.root.rglob("*") if path.stat().st_size > LARGE.nbytes)
    assert kept(store, LARGE, b"b" * 32)[5] == 5.0
    assert sorted(path for path in store.root.rglob("*") if path.stat().st_size > LARGE.nbytes) == blobs
    assert kept(store, "small", b"c" * 32) == "small"
    assert store.verify().sound
    assert not list((store.root / "v1" / "tmp").iterdir())


@pytest.mark.parametrize("unnamed", [True, False])
def test_a_disk_that_takes_no_more_bytes_is_told_and_the_value_stays_in_memory(
    store: Store, monkeypatch: pytest.MonkeyPatch, unnamed: bool
) -> None:
    if not unnamed:
        monkeypatch.setattr(system, "open", failing(errno.EOPNOTSUPP, is_unnamed)(system.open))
    monkeypatch.setattr(system, "write", lambda descriptor, data: 0)
    with pytest.warns(CacheWarning, match="took no more bytes"):
        stored = store.put(LARGE)
    assert (store.load(stored.where) == LARGE).all()
    monkeypatch.undo()
    assert (kept(store, LARGE) == LARGE).all()


def test_a_note_comes_back_where_the_cache_was_removed_meanwhile(store: Store) -> None:
    assert store.write_note(NoteKind.STEP, b"n" * 32, b"first")
    shutil.rmtree(store.root)
    assert store.write_note(NoteKind.STEP, b"n" * 32, b"second")
    assert Store.open(store.root, key=KEY).read_note(NoteKind.STEP, b"n" * 32) == b"second"


@pytest.mark.parametrize("number", sorted(mapping.SCARCE))
def test_where_nothing_more_can_be_mapped_results_are_read(
    store: Store, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    kept(store, LARGE)
    monkeypatch.setattr(mmap, "mmap", failing(number)(mmap.mmap))
    value = found(pickle.loads(pickle.dumps(store)))
    assert (value == LARGE).all()
    value[0] = 7
    assert found(pickle.loads(pickle.dumps(store)))[0] == 0


def test_a_disk_that_cannot_be_read_is_no_empty_cache(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def of(name: str) -> Callable[..., bool]:
        return lambda path, *_: os.path.normpath(path).endswith(name)

    with monkeypatch.context() as patch:
        patch.setattr(system, "open", failing(errno.EIO, of("/format"))(system.open))
        with pytest.raises(CacheFolderError, match="cannot be read: Input/output error"):
            Store.open(store.root, key=KEY)
    (store.root / "format").unlink()
    with monkeypatch.context() as patch:
        patch.setattr(system, "listdir", failing(errno.EIO, of(store.root.name))(system.listdir))
        with pytest.raises(CacheFolderError, match="cannot be read: Input/output error"):
            Store.open(store.root, key=KEY)


def test_a_cache_without_its_rooms_gets_new_ones_and_a_file_in_their_place_is_refused(store: Store) -> None:
    kept(store, 1)
    shutil.rmtree(store.root / "v1")
    assert kept(Store.open(store.root, key=KEY), 2) == 2
    shutil.rmtree(store.root / "v1")
    (store.root / "v1").write_text("a file")
    with pytest.raises(CacheFolderError, match="should be a folder and is not") as caught:
        Store.open(store.root, key=KEY)
    assert caught.value.hint is not None and caught.value.hint.startswith("rm ")


def test_records_that_cannot_be_listed_for_a_moment_are_not_forgotten(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept(store, 3)
    reader = pickle.loads(pickle.dumps(store))
    assert found(reader) == 3
    monkeypatch.setattr(system, "listdir", failing(errno.EIO)(system.listdir))
    reader.family(FAMILY).refresh()
    assert found(reader) == 3


class TestKey:
    def test_a_key_of_another_length_is_none(self) -> None:
        with pytest.raises(ValueError, match="a signing key has 32 bytes, not 3"):
            SigningKey(b"abc")

    def test_a_folder_or_pipe_in_its_place_is_refused(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "key", 0o600)
        writer = os.open(tmp_path / "key", os.O_RDWR)
        with pytest.raises(CacheError, match="is not a file"):
            SigningKey.load(tmp_path / "key")
        os.close(writer)

    def test_where_it_cannot_be_made_the_variable_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(CacheError, match="cannot be made") as caught:
            signing._create(tmp_path / "file" / "key")
        assert caught.value.hint == "set JPIPE_KEY_FILE to a file in a folder that you can write to"

    def test_without_links_the_first_process_still_wins(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "link", failing(errno.EPERM)(os.link))
        made = SigningKey.load(tmp_path / "key")
        (tmp_path / "late").write_bytes(b"x" * 32)
        signing._name(tmp_path / "late", tmp_path / "key")
        assert SigningKey.load(tmp_path / "key") == made
        assert [path.name for path in tmp_path.iterdir() if path.name != "late"] == ["key"]


class Slotted:
    __slots__ = ("held", "never_set")

    def __init__(self, held: Any) -> None:
        self.held = held


def over(value: Any) -> Callable[[], Any]:
    """A function that holds a value."""

    def give() -> Any:
        return value, later

    if value is None:
        later = 1
    return give


LOCK = threading.Lock()


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({1: {"a": LOCK}}, "result[1]['a']"),
        ([0, {LOCK}], f"result[1]{{{LOCK!r:.60}}}"),
        ({LOCK: 1}, f"result.key({LOCK!r:.60})"),
        (Slotted([LOCK]), "result.held[0]"),
        ((1, over([LOCK])), "result[1].<value>[0]"),
        ([Slotted(0), {"deep": [Slotted({"x": (1, LOCK)})]}], "result[1]['deep'][0].held['x'][1]"),
    ],
    ids=["dict", "set", "key", "slots", "closure", "deep"],
)
def test_the_part_of_a_result_that_cannot_be_pickled_is_named(store: Store, value: Any, path: str) -> None:
    with pytest.raises(UnstorableResult, match="cannot be pickled") as caught:
        store.put(value)
    assert caught.value.path == path
