"""What is put into the store comes back equal, from any process, with large arrays mapped and small ones together."""

from __future__ import annotations

import os
import pickle
import resource
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from jpipe.errors import CacheFolderError, ConfigurationError, NewerFormatError, UnstorableResult
from jpipe.store import (
    BlobPlace,
    Inline,
    MissingEntry,
    NewRecord,
    NoteKind,
    PackPlace,
    PutOptions,
    Read,
    SigningKey,
    Store,
    UnreadableEntry,
)
from jpipe.store.joblib_details import CodeByBytes

FAMILY = b"f" * 32
KEY = SigningKey(b"k" * 32)
MIB = 1 << 20


@dataclass
class Model:
    """A class of the user's with an array inside."""

    name: str
    weights: np.ndarray


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "cache", key=KEY)


def keys(count: int) -> list[bytes]:
    return [number.to_bytes(32, "big") for number in range(count)]


def kept(store: Store, value: Any, key: bytes = b"a" * 32, **put: Any) -> Any:
    """Put a value, publish it, and load it as another process would."""
    store.publish(FAMILY, [NewRecord(key, store.put(value, **put))])
    return fresh(store).load(fresh(store).family(FAMILY).find(key)[0].where)


def fresh(store: Store) -> Store:
    return pickle.loads(pickle.dumps(store))


def root_of(array: np.ndarray) -> Any:
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def test_a_record_comes_back_with_all_that_was_published(store: Store) -> None:
    read = Read("données/raw \udcff.csv", "file", 12, 34, 56, b"d" * 32, True)
    stored = store.put([1, "two", 3.0], parts=True)
    new = NewRecord(b"a" * 32, stored, (("x", b"1" * 32), ("k", b"2" * 32)), (read,), 1.5, 4096, b"more")
    published = store.publish(FAMILY, [new])
    (record,) = fresh(store).family(FAMILY).find(b"a" * 32)
    assert (record.content, record.parts, record.nbytes) == (stored.content, stored.parts, stored.nbytes)
    assert (record.arguments, record.reads) == (new.arguments, (read,))
    assert (record.seconds, record.peak_memory, record.extra) == (1.5, 4096, b"more")
    assert len(record.parts or ()) == 3
    assert store.load(published.places[0]) == store.load(record.where) == [1, "two", 3.0]


@pytest.mark.parametrize(
    "value",
    [
        None,
        float("nan"),
        -0.0,
        "x" * 10_000_000,
        list(range(100_000)),
        {"b": {3, 1}, "a": (frozenset("xyz"),)},
        np.array(3.0),
        np.zeros((0, 3)),
        np.asfortranarray(np.arange(400_000.0).reshape(500, 800)),
        np.arange(400_000.0)[::2],
        np.arange(1000, dtype=">i4"),
        np.array([("a", 1)], dtype=[("name", "U5"), ("n", "i8")]),
        np.array(["2024-01-01"] * 200, dtype="M8[ns]"),
        np.array([{"a": 1}, None], dtype=object),
        np.ma.masked_array(np.arange(300_000), np.arange(300_000) % 2),
        np.matrix([[1, 2]]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_come_back_as_they_were(store: Store, value: Any) -> None:
    back = kept(store, value)
    assert type(back) is type(value)
    if isinstance(value, np.ndarray):
        assert (back.dtype, back.shape) == (value.dtype, value.shape)
        assert back.flags.f_contiguous == value.flags.f_contiguous or not value.flags.forc
        np.testing.assert_array_equal(back, value)
    else:
        assert store.put(back).content == store.put(value).content


@pytest.mark.parametrize("mode", ["c", "r", None])
def test_large_arrays_are_mapped_wherever_they_sit(store: Store, mode: Any) -> None:
    a = np.arange(MIB, dtype=float)
    frame = pd.DataFrame({"a": a, "b": a * 2})
    model = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    model.extra_ = a
    value = {"array": a, "list": [a + 1], "model": Model("m", a + 2), "frame": frame, "fitted": model}
    value["sparse"] = sparse.csr_matrix((a, np.zeros(MIB, dtype=int), [0, MIB]))
    back = store.load(store.put(value).where, mmap_mode=mode)
    arrays = [back["array"], back["list"][0], back["model"].weights, back["fitted"].extra_, back["sparse"].data]
    arrays.append(back["frame"]["a"].to_numpy())
    for array in arrays:
        assert isinstance(root_of(array), np.memmap) == (mode is not None)
        assert array.flags.writeable == (mode != "r") or array is arrays[-1]
        assert array.ctypes.data % 64 == 0 or mode is None
    np.testing.assert_array_equal(back["frame"]["b"], a * 2)
    np.testing.assert_array_equal(back["list"][0], a + 1)
    assert back["fitted"].predict([[1.0]]) == [1]


def test_a_mapped_result_may_be_changed_without_harm(store: Store) -> None:
    place = store.put(np.zeros(MIB)).where
    first = store.load(place)
    first[:] = 7
    assert store.load(place).sum() == 0
    with pytest.raises(ValueError, match="read-only"):
        store.load(place, mmap_mode="r")[0] = 1


def test_a_result_that_is_itself_mapped_is_stored_once_and_whole(store: Store, tmp_path: Path) -> None:
    source = np.memmap(tmp_path / "a.bin", np.float64, "w+", shape=(MIB,))
    source[:] = 3
    stored = store.put({"all": source, "every second": source[::2]})
    assert stored.nbytes < 1.6 * source.nbytes
    back = store.load(stored.where)
    assert type(back["all"]) is np.ndarray
    assert (back["all"].sum(), back["every second"].sum()) == (3 * MIB, 3 * MIB // 2)


def test_equal_values_share_one_file(store: Store) -> None:
    one, other = store.put(np.ones(MIB)), fresh(store).put(np.ones(MIB))
    assert one.where == other.where
    assert store.size().blobs == 1


def test_small_results_of_a_chunk_share_one_file(store: Store) -> None:
    store.publish(FAMILY, [NewRecord(key, store.put({"i": i}), (("i", key),)) for i, key in enumerate(keys(5000))])
    size = store.size()
    assert (size.packs, size.blobs) == (1, 0)
    assert size.nbytes < 5000 * 400
    matches = fresh(store).family(FAMILY).find_many([*keys(5000), b"?" * 32])
    assert [store.load(matches[i][0].where)["i"] for i in (0, 4999)] == [0, 4999]
    assert matches[5000] == ()
    contents = [plain and plain[0] for plain in matches.plain()]
    assert (contents[17], contents[5000]) == (store.put({"i": 17}).content, None)


def test_many_packs_are_merged_and_what_readers_knew_stays_good(store: Store) -> None:
    reader = fresh(store)
    known = []
    for i, key in enumerate(keys(300)):
        paths = store.publish(FAMILY, [NewRecord(key, store.put("v" * 300 + str(i)))]).paths
        if i == 40:
            known = [reader.family(FAMILY).find(key)[0].where for key in keys(40)]
        store.sync(paths)
    assert store.size().packs <= 65
    assert [reader.load(place) for place in known] == ["v" * 300 + str(i) for i in range(40)]
    assert all(fresh(store).family(FAMILY).find_many(keys(300)))
    assert store.verify().sound


def test_several_records_of_a_call_that_read_different_files_come_newest_first(store: Store) -> None:
    reads = [Read("a.csv", "file", n, n, n, bytes([n]) * 32) for n in range(3)]
    for read in reads:
        store.publish(FAMILY, [NewRecord(b"a" * 32, store.put(read.size), (), (read,))])
    for place in (store, fresh(store)):
        found = place.family(FAMILY).find(b"a" * 32)
        assert [place.load(record.where) for record in found] == [2, 1, 0]
        matches = place.family(FAMILY).find_many([b"a" * 32, b"b" * 32])
        assert [*matches.plain()] == [*matches.places()] == [None, None], "several records: look closely"
        assert matches[:] == [found, ()]


def test_refresh_finds_what_another_process_published(store: Store) -> None:
    family = store.family(FAMILY)
    assert family.find(b"a" * 32) == ()
    other = fresh(store)
    other.publish(FAMILY, [NewRecord(b"a" * 32, other.put(1))])
    assert family.find(b"a" * 32) == ()
    assert family.refresh()
    assert store.load(family.find(b"a" * 32)[0].where) == 1
    assert not family.refresh()


def test_compressed_values_are_smaller_and_not_mapped(store: Store) -> None:
    a = np.zeros(MIB)
    for method in (True, 9, "gzip", ("bz2", 1), "lzma", ("xz", 2)):
        stored = store.put({"a": a, "m": method}, options=PutOptions(compress=method))
        assert stored.nbytes < a.nbytes / 50
        assert not isinstance(root_of(store.load(stored.where)["a"]), np.memmap)
        np.testing.assert_array_equal(store.load(stored.where)["a"], a)
    with pytest.raises(ConfigurationError, match="snappy"):
        store.put(a, options=PutOptions(compress="snappy"))
    with pytest.raises(ConfigurationError, match="0 to 9"):
        store.put(a, options=PutOptions(compress=("zlib", 10)))
    with pytest.raises(ConfigurationError, match=r"it takes \(method, level\)"):
        store.put(a, options=PutOptions(compress=("zlib", 1, 2)))  # type: ignore[arg-type]
    assert store.put(a, options=PutOptions(compress=("zlib", 0))).nbytes >= a.nbytes


def test_a_method_that_is_not_installed_is_named(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lz4.frame", None)
    with pytest.raises(ConfigurationError, match="needs the package lz4, which is not installed"):
        store.put([1], options=PutOptions(compress="lz4"))


def test_max_nbytes_says_what_is_mapped(store: Store) -> None:
    small = np.ones(1000)
    assert isinstance(store.put(small).where, Inline)
    mapped = store.put(small, options=PutOptions(max_nbytes=4000)).where
    assert isinstance(mapped, BlobPlace)
    assert isinstance(root_of(store.load(mapped)), np.memmap)
    never = store.put(np.ones(MIB), options=PutOptions(max_nbytes=None)).where
    assert not isinstance(root_of(store.load(never)), np.memmap)


def test_published_places_are_light(store: Store) -> None:
    values = ["tiny", "x" * 5000, np.ones(MIB)]
    published = store.publish(FAMILY, [NewRecord(k, store.put(v)) for k, v in zip(keys(3), values, strict=True)])
    assert [type(place) for place in published.places] == [Inline, PackPlace, BlobPlace]
    assert len(pickle.dumps(published)) < 1500
    np.testing.assert_equal([store.load(place) for place in published.places], values)
    again = store.put("x" * 5000).at(published.places[1])
    store.publish(b"g" * 32, [NewRecord(b"a" * 32, again)])
    assert store.load(store.family(b"g" * 32).find(b"a" * 32)[0].where) == "x" * 5000


def test_results_that_only_exist_in_this_process_are_pickled_by_value(store: Store) -> None:
    factor = 3

    def scale(x: int) -> int:
        return x * factor

    value = {"f": scale, "g": lambda x: x + factor}
    assert kept(store, value, fingerprint=CodeByBytes)["f"](2) == 6


def test_what_cannot_be_pickled_is_named(store: Store) -> None:
    with pytest.raises(UnstorableResult, match="lock") as caught:
        store.put({"ok": 1, "models": [Model("a", threading.Lock())]})  # type: ignore[arg-type]
    assert caught.value.path == "result['models'][0].weights"
    with pytest.raises(UnstorableResult) as caught:
        store.put([1, (n for n in range(3))])
    assert caught.value.path == "result[1]"


class Angry:
    """Fails to be pickled with an error of its own."""

    def __reduce__(self) -> Any:
        raise ZeroDivisionError("no pickling on Sundays")


def test_an_error_raised_by_pickling_itself_is_told(store: Store) -> None:
    with pytest.raises(UnstorableResult, match="no pickling on Sundays") as caught:
        store.put({"a": Angry()})
    assert caught.value.path == "result['a']"


def test_a_result_whose_class_is_gone_is_a_miss_and_stays(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    places = [store.put(Model("m", np.ones(n))).where for n in (3, MIB)]
    monkeypatch.delattr(sys.modules[__name__], "Model")
    for place in places:
        with pytest.raises(UnreadableEntry, match="Model"):
            store.load(place)
    monkeypatch.undo()
    assert [store.load(place).name for place in places] == ["m", "m"]
    assert store.verify().sound


def test_a_missing_result_is_a_miss(store: Store) -> None:
    with pytest.raises(MissingEntry):
        store.load(BlobPlace(b"x" * 32))
    assert not store.has(BlobPlace(b"x" * 32))
    place = store.put(np.ones(MIB)).where
    assert store.has(place)
    store.clear()
    assert not store.has(place)
    with pytest.raises(MissingEntry):
        fresh(store).load(place)


def test_the_cache_may_be_removed_while_it_is_in_use(store: Store) -> None:
    store.publish(FAMILY, [NewRecord(b"a" * 32, store.put(1))])
    subprocess.run(["rm", "-rf", str(store.root)], check=True)
    store.publish(FAMILY, [NewRecord(b"b" * 32, store.put(np.ones(MIB)))])
    again = Store.open(store.root, key=KEY)
    assert again.load(again.family(FAMILY).find(b"b" * 32)[0].where).sum() == MIB
    assert again.family(FAMILY).find(b"a" * 32) == ()


def test_notes_are_replaced_and_belong_to_the_key_that_wrote_them(store: Store) -> None:
    assert store.read_note(NoteKind.MANIFEST, FAMILY) is None
    store.write_note(NoteKind.MANIFEST, FAMILY, b"one")
    store.write_note(NoteKind.MANIFEST, FAMILY, b"two" * 50_000)
    assert fresh(store).read_note(NoteKind.MANIFEST, FAMILY) == b"two" * 50_000
    assert store.read_note(NoteKind.STEP, FAMILY) is None
    assert list(store.notes(NoteKind.MANIFEST)) == [FAMILY]
    stranger = Store.open(store.root, key=SigningKey(b"o" * 32))
    assert stranger.read_note(NoteKind.MANIFEST, FAMILY) is None
    store.forget_note(NoteKind.MANIFEST, FAMILY)
    assert list(store.notes(NoteKind.MANIFEST)) == []


def test_ten_thousand_arrays_with_few_file_descriptors(tmp_path: Path) -> None:
    script = f"""
        import resource
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
        import numpy as np
        from pathlib import Path
        from jpipe.store import Store, SigningKey, NewRecord, PutOptions
        store = Store.open(Path({str(tmp_path / "cache")!r}), key=SigningKey(b"k" * 32))
        together = store.load(store.put([np.full(600, i) for i in range(10_000)]).where)
        assert [int(a[0]) for a in together] == list(range(10_000))
        options = PutOptions(max_nbytes=4096)
        places = [store.put(np.full(600, i), options=options).where for i in range(10_000)]
        each = [store.load(place) for place in places]
        assert [int(a[0]) for a in each] == list(range(10_000))
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True, timeout=120)


@pytest.mark.slow
def test_more_mapped_results_than_the_system_has_mappings_for(tmp_path: Path) -> None:
    script = f"""
        import resource
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        import numpy as np
        from pathlib import Path
        from jpipe.store import Store, SigningKey, PutOptions
        store = Store.open(Path({str(tmp_path / "cache")!r}), key=SigningKey(b"k" * 32))
        place = store.put(np.arange(600), options=PutOptions(max_nbytes=4096)).where
        arrays = [store.load(place) for _ in range(70_000)]
        assert {{int(a[-1]) for a in arrays}} == {{599}}
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True, timeout=120)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system does not tell whether it was written to")
def test_a_mapped_result_goes_to_joblib_workers_by_file_name(store: Store) -> None:
    from joblib import Parallel, delayed

    array = store.load(store.put(np.arange(4 * MIB, dtype=float)).where)
    where = Parallel(n_jobs=2)(delayed(_file_behind)(array[i * MIB : (i + 1) * MIB]) for i in range(2))
    assert {Path(name).parent.parent for name in where} == {store.root / "v1" / "blobs"}


def test_what_was_written_into_a_mapped_result_reaches_other_processes(store: Store) -> None:
    from joblib import Parallel, delayed

    where = store.put(np.arange(4 * MIB, dtype=float)).where
    array = store.load(where)
    assert array[-1] == 4 * MIB - 1, "a page that was only read"
    array[3 * MIB] = -1
    sent = Parallel(n_jobs=2)(delayed(np.min)(half) for half in (array[: 2 * MIB], array[2 * MIB :]))
    assert sent == [0, -1]
    back = Parallel(n_jobs=2)(delayed(_loaded_and_changed)(store, where, i) for i in range(2))
    assert [part[MIB] for part in back] == [MIB, MIB + 1]
    assert store.load(where)[3 * MIB] == 3 * MIB


def _loaded_and_changed(store: Store, where: Any, by: int) -> np.ndarray:
    array = store.load(where)
    array += by
    return array


def _file_behind(array: np.ndarray) -> str:
    return str(root_of(array).filename)


def test_threads_share_a_store(store: Store) -> None:
    def work(number: int) -> None:
        for i in range(30):
            key = bytes([number, i]) * 16
            store.publish(FAMILY, [NewRecord(key, store.put((number, i)))])
            assert store.load(store.family(FAMILY).find(key)[0].where) == (number, i)

    store.family(FAMILY).refresh()
    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store.family(FAMILY).keys()) == len(fresh(store).family(FAMILY).keys()) == 240


def test_importing_the_store_is_light() -> None:
    heavy = ("numpy", "joblib", "filelock", "cloudpickle")
    script = f"import sys, jpipe.store; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_a_new_cache_says_what_it_is(store: Store) -> None:
    names = {path.name for path in store.root.iterdir()}
    assert names == {"README", ".gitignore", "CACHEDIR.TAG", "format", "v1"}
    assert (store.root / "CACHEDIR.TAG").read_text().startswith("Signature: 8a477f597d28d172789f06886806bc55")
    assert (store.root / ".gitignore").read_text().splitlines()[-1] == "*"
    assert store.root.stat().st_mode & 0o777 == 0o700


@pytest.mark.slow
def test_a_hundred_processes_may_make_the_cache_at_once(tmp_path: Path) -> None:
    script = f"""
        from pathlib import Path
        from jpipe.store import Store, NewRecord
        store = Store.open(Path({str(tmp_path / "a" / "cache")!r}))
        store.publish(b"f" * 32, [NewRecord(b"a" * 32, store.put(1))])
    """
    command = [sys.executable, "-S", "-c", textwrap.dedent(script)]
    environment = {**os.environ, "XDG_CONFIG_HOME": str(tmp_path / "config"), "PYTHONPATH": os.pathsep.join(sys.path)}
    processes = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) for _ in range(100)]
    errors = [process.communicate(timeout=120)[1] for process in processes]
    assert {process.returncode for process in processes} == {0}, max(errors)


def test_a_folder_that_jpipe_did_not_make_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "thesis.tex").write_text("years of work")
    with pytest.raises(CacheFolderError, match=r"thesis\.tex") as caught:
        Store.open(tmp_path / "cache", key=KEY)
    assert "--cache-dir" in str(caught.value)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["thesis.tex"]
    (tmp_path / "file").write_text("")
    with pytest.raises(CacheFolderError):
        Store.open(tmp_path / "file", key=KEY)
    with pytest.raises(CacheFolderError, match="no cache"):
        Store.open(tmp_path / "none", create=False, key=KEY)


def test_the_files_that_git_keeps_of_a_cache_are_taken_over(tmp_path: Path, store: Store) -> None:
    clone = tmp_path / "clone" / "cache"
    clone.mkdir(parents=True)
    clone.chmod(0o775)
    for name in ("README", ".gitignore"):
        (clone / name).write_bytes((store.root / name).read_bytes())
    assert Store.open(clone, key=KEY).put(1)
    assert (clone / "format").exists()


def test_a_cache_of_a_newer_jpipe_is_refused(store: Store) -> None:
    (store.root / "format").write_text("jpipe cache 99\n")
    with pytest.raises(NewerFormatError, match="format 99"):
        Store.open(store.root, key=KEY)


def test_a_damaged_format_file_is_mended_where_the_rest_is_a_cache(store: Store, tmp_path: Path) -> None:
    store.publish(FAMILY, [NewRecord(b"a" * 32, store.put(1))])
    for damaged in ("", "???", "jpipe cache 0\n"):
        (store.root / "format").write_text(damaged)
        assert Store.open(store.root, key=KEY).family(FAMILY).find(b"a" * 32)
        assert (store.root / "format").read_text() == "jpipe cache 1\n", "there is only one that it can have been"
    (store.root / "README").write_text("")
    (store.root / "format").unlink()
    assert Store.open(store.root, key=KEY).family(FAMILY).find(b"a" * 32)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "format").write_text("A4")
    with pytest.raises(CacheFolderError, match="format"):
        Store.open(tmp_path / "mine", key=KEY)
    assert (tmp_path / "mine" / "format").read_text() == "A4"


@pytest.fixture
def few_descriptors() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_running_out_of_descriptors_is_no_damage(store: Store, few_descriptors: None) -> None:
    place = store.put(np.ones(MIB)).where
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    lowest_free = os.dup(1)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    with pytest.raises(OSError, match="Too many open files"):
        store.load(place)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    assert store.load(place).sum() == MIB


def test_a_large_family_tells_which_calls_it_has_without_being_read_as_a_whole(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    from jpipe.store import record_index as families

    many = keys(700)
    for start in (0, 300, 600):
        chunk = many[start : start + 100]
        store.publish(FAMILY, [NewRecord(key, store.put(number)) for number, key in enumerate(chunk)])
    there = {*many[0:100], *many[300:400], *many[600:700]}
    assert fresh(store).family(FAMILY).present(many) == there
    monkeypatch.setattr(families, "_LARGE", 100)
    large = fresh(store).family(FAMILY)
    assert large.present(many) == there
    assert large._index is None, "nothing was taken into memory"
    next((store.root / "v1" / "families").rglob("*.pack")).chmod(0o600)
    next((store.root / "v1" / "families").rglob("*.pack")).write_bytes(b"torn")
    assert large.present(many) < there
