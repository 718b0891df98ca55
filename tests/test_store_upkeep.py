"""The cache stays below its size, keeps what runs reached, survives a full disk, and can be checked and emptied."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
import textwrap
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jpipe.store import BlobPlace, CacheWarning, Held, NewRecord, SigningKey, Store
from jpipe.store.care.prune import default_limit, prune
from jpipe.store.care.roots import living_since
from jpipe.store.disk import leases, system
from jpipe.store.disk.publish import process_name

KEY = SigningKey(b"k" * 32)
MIB = 1 << 20
DAY = 86400.0


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "cache", key=KEY)


def family(number: int) -> bytes:
    return bytes([number]) * 32


def fill(store: Store, numbers: range) -> None:
    """For each number a family with one result of 1 MiB."""
    for number in numbers:
        store.publish(family(number), [NewRecord(family(number), store.put(np.full(MIB // 8, number, float)))])


def age(store: Store, days: dict[int, float]) -> None:
    """Let the results of these families, and their blobs, be that many days old."""
    for number, old in days.items():
        then = time.time() - old * DAY
        record = store.family(family(number)).find(family(number))[0]
        assert isinstance(record.where, BlobPlace)
        blob = store.disk.blobs.path(record.where.id)
        pack = next(Path(store.disk.family_folder(family(number))).glob("*.pack"))
        for path in (blob, blob + ".seal", pack):
            os.utime(path, (then, then))


def left(store: Store) -> set[int]:
    return {entry.family[0] for entry in store.entries()}


def test_what_was_not_used_for_longest_goes_first(store: Store) -> None:
    fill(store, range(6))
    age(store, {0: 9, 1: 3, 2: 8, 3: 2, 4: 5, 5: 0})
    pruned = store.prune(int(3.5 * MIB))
    assert left(store) == {1, 3, 5}
    assert pruned.blobs == pruned.packs == 3
    assert pruned.freed > 3 * MIB
    assert store.size().nbytes <= 3.5 * MIB
    assert store.verify().sound


def test_what_is_used_counts_as_new(store: Store) -> None:
    fill(store, range(3))
    age(store, {0: 9, 1: 8, 2: 7})
    fresh = pickle.loads(pickle.dumps(store))
    assert fresh.family(family(0)).find(family(0))
    store.prune(0)
    assert left(store) == {0}


def test_what_is_younger_than_a_day_or_used_by_a_living_run_stays(store: Store) -> None:
    fill(store, range(2))
    age(store, {0: 3, 1: 0.9})
    script = f"""
        import sys, time
        from pathlib import Path
        from jpipe.store import SigningKey, Store
        store = Store.open(Path({str(store.root)!r}), key=SigningKey(b"k" * 32))
        store.pin()
        print("pinned", flush=True)
        time.sleep(60)
    """
    run = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE)
    assert run.stdout is not None
    assert run.stdout.readline() == b"pinned\n"
    (pin,) = (store.root / "v1" / "pins").iterdir()
    os.utime(pin, (time.time() - 4 * DAY,) * 2)
    store.prune(0)
    assert left(store) == {0, 1}
    run.kill()
    run.communicate()
    assert living_since(store.disk) is None
    store.prune(0)
    assert left(store) == {1}


def test_a_run_of_another_machine_counts_as_alive_where_its_lock_is_not_seen(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    pins, locks = store.root / "v1" / "pins", store.root / "v1" / "locks"
    for folder in (pins, locks):
        folder.mkdir(exist_ok=True)
    monkeypatch.setattr(leases, "locks_are_common", lambda folder: False)
    for name in ("another-12-ab", f"{process_name()}-ab"):
        (pins / name).touch()
    (locks / "run-00").touch()
    assert living_since(store.disk) == (pins / "another-12-ab").stat().st_mtime
    store.prune(0)
    assert [path.name for path in pins.iterdir()] == ["another-12-ab"], "one of this machine has no lock, so it is over"
    assert (locks / "run-00").exists()
    os.utime(pins / "another-12-ab", (time.time() - 8 * DAY,) * 2)
    assert living_since(store.disk) is None, "no run takes a week"


def test_a_run_that_ends_takes_its_pin_along_and_a_forked_child_does_not(store: Store) -> None:
    script = f"""
        import os, sys
        from pathlib import Path
        from jpipe.store import SigningKey, Store
        store = Store.open(Path({str(store.root)!r}), key=SigningKey(b"k" * 32))
        store.pin()
        pins = store.root / "v1" / "pins"
        if os.fork() == 0:
            sys.exit()
        os.wait()
        assert len(list(pins.iterdir())) == 1
        print("alive", flush=True)
        sys.stdin.read()
    """
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    run = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], **pipes)
    assert run.stdout is not None
    assert run.stdout.readline() == b"alive\n"
    assert living_since(store.disk) is not None
    run.communicate()
    assert run.returncode == 0
    assert list((store.root / "v1" / "pins").iterdir()) == []


def test_what_the_last_three_runs_of_a_pipeline_reached_stays(store: Store) -> None:
    fill(store, range(6))
    age(store, dict.fromkeys(range(6), 9.0))
    for run in range(5):
        store.mark_reached(b"p" * 16, bytes([run]) * 16, {family(run): [family(run)]})
    store.mark_reached(b"q" * 16, b"r" * 16, {family(5): None})
    store.prune(0)
    assert left(store) == {2, 3, 4, 5}
    assert len(list((store.root / "v1" / "roots" / (b"p" * 16).hex()).iterdir())) == 3


def test_a_pack_of_which_little_is_reached_is_thinned_out(store: Store) -> None:
    keys = [number.to_bytes(32, "big") for number in range(0, 1000 << 192, 1 << 192)]
    store.publish(family(1), [NewRecord(key, store.put("x" * 1000 + str(i))) for i, key in enumerate(keys)])
    (pack,) = Path(store.disk.family_folder(family(1))).glob("*.pack")
    os.utime(pack, (time.time() - 9 * DAY,) * 2)
    store.mark_reached(b"p" * 16, b"r" * 16, {family(1): keys[:10]})
    store.prune(100_000)
    fresh = pickle.loads(pickle.dumps(store))
    assert fresh.family(family(1)).keys() == set(keys[:10])
    assert fresh.load(fresh.family(family(1)).find(keys[7])[0].where) == "x" * 1000 + "7"
    assert store.size().nbytes < 100_000


def test_blobs_without_a_record_go_after_a_day(store: Store) -> None:
    places = [store.put(np.full(MIB, n)).where for n in range(2)]
    old = next(store.disk.blobs.path(place.id) for place in places if isinstance(place, BlobPlace))
    for path in (old, old + ".seal"):
        os.utime(path, (time.time() - 2 * DAY,) * 2)
    store.prune(1 << 40)
    assert [store.has(place) for place in places] == [False, True]
    assert not os.path.exists(old + ".seal")


def test_a_blob_that_other_records_name_stays(store: Store) -> None:
    for number in range(2):
        store.publish(family(number), [NewRecord(family(number), store.put(np.ones(MIB)))])
    assert store.size().blobs == 1
    store.clear([family(0)])
    assert left(store) == {1}
    assert store.load(store.family(family(1)).find(family(1))[0].where).sum() == MIB
    store.clear([family(1)])
    assert store.size().packs == 0


def test_clear_empties_everything(store: Store) -> None:
    fill(store, range(3))
    store.clear()
    assert (left(store), store.size().packs, store.size().blobs) == (set(), 0, 0)
    fill(store, range(3))
    assert left(store) == {0, 1, 2}


def test_the_default_limit_is_a_fifth_of_the_disk_at_most(store: Store) -> None:
    assert default_limit(store.disk) == min(50 << 30, int(shutil.disk_usage(store.root).total * 0.2))


def test_clocks_that_jump_do_not_make_everything_old(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(store, range(2))
    monkeypatch.setattr(time, "time", lambda now=time.time(): now - 30 * DAY)
    store.prune(0)
    assert left(store) == {0, 1}


def test_two_prunes_do_not_disturb_each_other(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(store, range(1))
    other: list[Any] = []
    scan = system.scan

    def scan_and_prune_again(folder: str) -> Any:
        if not other:
            other.append(None)
            other[0] = prune(store.disk, 0)
        return scan(folder)

    monkeypatch.setattr(system, "scan", scan_and_prune_again)
    assert prune(store.disk, 1 << 40).done
    assert not other[0].done


def test_verify_names_what_is_wrong_and_repair_mends_it(store: Store) -> None:
    fill(store, range(4))
    small = [NewRecord(bytes([n]) * 32, store.put("value" * 99 + str(n))) for n in range(3)]
    store.publish(family(9), small)
    assert store.verify().sound
    assert (store.verify().records, store.verify().blobs) == (7, 4)
    blobs = {n: store.family(family(n)).find(family(n))[0].where for n in range(3)}
    spoil(store.disk.blobs.path(blobs[0].id), 5000)  # type: ignore[union-attr]
    os.unlink(store.disk.blobs.path(blobs[1].id))  # type: ignore[union-attr]
    spoil(str(next(Path(store.disk.family_folder(family(2))).glob("*.pack"))), 100)
    place = store.family(family(9)).find(bytes([1]) * 32)[0].where
    spoil(str(next(Path(store.disk.family_folder(family(9))).glob("*.pack"))), place.offset + 1)  # type: ignore[union-attr]
    (Path(store.disk.family_folder(family(3))) / ".nfs0001").write_text("junk")
    verified = store.verify()
    kinds = sorted(problem.kind for problem in verified.problems)
    assert kinds == ["damaged blob", "damaged value", "missing blob", "missing blob", "stray file", "torn pack"]
    assert not verified.sound
    assert not store.verify(repair=True).sound
    again = store.verify()
    assert [problem.kind for problem in again.problems] == ["stray file"]
    assert again.sound
    assert left(store) == {3, 9}
    assert pickle.loads(pickle.dumps(store)).family(family(9)).keys() == {bytes([0]) * 32, bytes([2]) * 32}


def spoil(path: str, at: int) -> None:
    os.chmod(path, 0o600)
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 1]))


def test_what_dead_processes_left_is_removed(store: Store) -> None:
    script = f"""
        import os, signal
        from pathlib import Path
        from jpipe.store import SigningKey, Store, NewRecord
        from jpipe.store.disk import system
        from jpipe.store.work_claims import WorkClaims
        system.UNNAMED = None
        store = Store.open(Path({str(store.root)!r}), key=SigningKey(b"k" * 32))
        store.pin()
        write = system.write
        system.write = lambda *a: (write(*a), os.kill(os.getpid(), signal.SIGKILL))
        claims = WorkClaims(store.disk)
        store.put(bytes(10**6))
    """
    assert subprocess.run([sys.executable, "-c", textwrap.dedent(script)]).returncode == -9
    rooms = [store.root / "v1" / room for room in ("tmp", "locks", "pins")]
    assert [len(list(room.iterdir())) for room in rooms] == [1, 1, 1]
    store.prune(1 << 40)
    assert [len(list(room.iterdir())) for room in rooms] == [0, 0, 0]


def test_a_read_only_cache_serves_hits_and_warns_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(store, range(1))

    def refuse(*_: Any, **__: Any) -> Any:
        raise OSError(30, "Read-only file system")

    for name in ("write", "mkdir", "link", "rename", "replace", "unlink", "utime"):
        monkeypatch.setattr(system, name, refuse)
    reader = pickle.loads(pickle.dumps(store))
    assert reader.load(reader.family(family(0)).find(family(0))[0].where)[0] == 0
    with pytest.warns(CacheWarning, match="cannot be written to") as caught:
        stored = reader.put(np.ones(MIB))
        published = reader.publish(family(1), [NewRecord(family(1), stored), NewRecord(family(2), reader.put(2))])
    assert len(caught) == 1
    assert isinstance(stored.where, Held)
    assert [reader.load(place) is not None for place in published.places] == [True, True]
    assert reader.sync(published.paths) == ()


FULL = """
    import sys, warnings
    from pathlib import Path
    import numpy as np
    from jpipe.store import CacheWarning, Held, NewRecord, SigningKey, Store
    store = Store.open(Path(sys.argv[1]), key=SigningKey(b"k" * 32))
    warnings.simplefilter("always", CacheWarning)
    with warnings.catch_warnings(record=True) as caught:
        for number in range(12):
            value = np.full(100_000, number, dtype=float)
            stored = store.put(value)
            published = store.publish(bytes([number]) * 32, [NewRecord(b"a" * 32, stored)])
            store.sync(published.paths)
            assert (store.load(published.places[0]) == value).all()
        small = store.publish(b"s" * 32, [NewRecord(b"a" * 32, store.put(1))])
        assert store.load(small.places[0]) == 1
    assert len(caught) == 1, [str(w.message) for w in caught]
    assert "full" in str(caught[0].message)
    assert not list((store.root / "v1" / "tmp").iterdir())
    assert store.verify().sound
    store.clear([bytes([number]) * 32 for number in range(3)])
    assert isinstance(store.put(np.ones(10)).where, Held) is False
"""


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare for a small disk of its own")
def test_a_full_disk_loses_nothing_and_warns_once(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    (tmp_path / "full.py").write_text(textwrap.dedent(FULL))
    mount = f"mount -t tmpfs -o size=4m none {small} && exec {sys.executable} {tmp_path}/full.py {small}/cache"
    done = subprocess.run(["unshare", "-rm", "sh", "-c", mount], capture_output=True, text=True)
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip(done.stderr)
    assert done.returncode == 0, done.stderr


def test_a_full_disk_makes_room_by_pruning_old_results(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(store, range(4))
    age(store, dict.fromkeys(range(4), 2.0))
    write = system.write

    def full_at_four_mib(descriptor: int, data: Any) -> int:
        if sum(path.stat().st_size for path in (store.root / "v1").rglob("*") if path.is_file()) > 4 * MIB:
            raise OSError(28, "No space left on device")
        return write(descriptor, data)

    monkeypatch.setattr(system, "write", full_at_four_mib)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stored = store.put(np.full(MIB // 8, 99.0))
    assert isinstance(stored.where, BlobPlace)
    assert left(store) < {0, 1, 2, 3}


def test_a_failed_fsync_gives_the_result_up_and_is_not_asked_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = store.publish(family(0), [NewRecord(family(0), store.put(np.ones(MIB)))])
    asked = []

    def fail(descriptor: int) -> None:
        asked.append(descriptor)
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(system, "fsync", fail)
        assert set(store.sync(published.paths)) == set(published.paths)
    assert len(asked) == len(published.paths)
    assert left(store) == set()
    assert store.size().blobs == 0


@pytest.mark.nightly
def test_a_hundred_thousand_results_are_pruned_in_seconds(store: Store) -> None:
    value = store.put("x" * 20)
    for start in range(0, 100_000, 500):
        keys = [number.to_bytes(32, "big") for number in range(start, start + 500)]
        store.publish(family(start // 20_000), [NewRecord(key, value) for key in keys])
    begun = time.perf_counter()
    prune(store.disk, 0, grace=-1)
    assert time.perf_counter() - begun < 5
    assert store.size().packs == 0


@pytest.mark.nightly
def test_a_million_tiny_results_take_few_files(store: Store) -> None:
    values = [store.put({"number": number}) for number in range(100)]
    keys = [number.to_bytes(32, "big") for number in range(1_000_000)]
    for start in range(0, len(keys), 500):
        together = keys[start : start + 500]
        published = store.publish(family(1), [NewRecord(key, values[key[-1] % 100]) for key in together])
        if start % 10_000 == 0:
            store.sync(published.paths)
    store.merge([family(1)])
    size = store.size()
    assert size.nbytes < 400e6
    assert size.packs < 2000
    fresh: Store = pickle.loads(pickle.dumps(store))
    assert all(fresh.family(family(1)).find_many(keys))
    begun = time.perf_counter()
    prune(store.disk, 0, grace=-1)
    assert time.perf_counter() - begun < 10
    assert store.size().packs == 0


def failing_open(monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    """Files with `part` in their path cannot be opened, as where a process is out of descriptors."""
    open_file = system.open

    def refused(path: str, *how: Any) -> int:
        if part in path:
            raise OSError(24, "too many open files", path)
        return open_file(path, *how)

    monkeypatch.setattr(system, "open", refused)


def test_nothing_is_pruned_while_it_cannot_be_read_what_runs_reached(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, range(2))
    store.mark_reached(b"p" * 16, b"r" * 16, {family(0): None, family(1): None})
    with monkeypatch.context() as patched:
        failing_open(patched, "/roots/")
        with pytest.raises(OSError, match="too many open files"):
            store.prune(0, grace=-1.0)
    assert left(store) == {0, 1}


def test_a_result_that_is_on_the_disk_stays_where_an_equal_one_cannot_be_flushed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, range(1))
    assert store.sync() == ()
    equal = store.publish(family(1), [NewRecord(family(1), store.put(np.full(MIB // 8, 0, float)))])
    record = store.family(family(0)).find(family(0))[0]
    assert isinstance(record.where, BlobPlace)
    blob = store.disk.relative(store.disk.blobs.path(record.where.id))
    with monkeypatch.context() as patched:
        failing_open(patched, "/blobs/")
        assert store.sync([blob, *equal.paths]) == (blob,)
    assert store.load(record.where)[0] == 0.0
