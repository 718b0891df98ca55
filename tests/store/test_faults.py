"""Every call that the store makes to the system fails once, in every way, and nothing is wrong or lost afterwards.

Each case is a process of its own: it stores results, and its N-th call is made to fail, for N = 1, 2, ... until it
makes no more calls. Then a clean process looks at what is there (the invariants of the design's fault table):

* a result that is found is the one that was computed;
* storing never raises because the disk does not work, and never swallows Ctrl-C;
* what was published before the fault is there, and what was not is stored without trouble now;
* nothing is left of dead processes after a prune, `verify` finds nothing, no file descriptor is leaked.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pickle
import shutil
import signal
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jpipe.errors import JpipeError
from jpipe.store import (
    BlobPlace,
    CacheWarning,
    Held,
    MissingEntry,
    NewRecord,
    NoteKind,
    SigningKey,
    Store,
)
from jpipe.store.care.prune import prune
from jpipe.store.disk import system
from jpipe.store.work_claims import WorkClaims

KEY = SigningKey(b"k" * 32)
FAMILY, SMALL, OTHER, OLD = b"f" * 32, b"s" * 32, b"o" * 32, b"d" * 32
VALUES: dict[bytes, Any] = {
    b"1" * 32: {"small": 1},
    b"2" * 32: "medium" * 5000,
    b"3" * 32: np.arange(200_000.0),
    b"4" * 32: np.arange(200_000.0),
    b"5" * 32: [np.ones(700), "in one piece"],
}
CALLS = "open close write fstat lstat link rename replace unlink mkdir utime listdir pread fsync scan".split()
DIES = ("before", "after", "half")
FAILS = {
    name: getattr(errno, name) for name in ("ENOSPC", "EIO", "EDQUOT", "EROFS", "EACCES", "ESTALE", "EMFILE", "ENOMEM")
}
RAISES = {"KeyboardInterrupt": KeyboardInterrupt, "MemoryError": MemoryError}
USUAL = ["before", "after", "half", "short", "ENOSPC", "EIO", "KeyboardInterrupt"]
RARE = ["EDQUOT", "EROFS", "EACCES", "ESTALE", "EMFILE", "ENOMEM", "MemoryError"]
SLOW = {"after", "short", "EIO"}
"""Each is much like one of the others."""
Work = Callable[[Path, int], None]
STEP = 15
"""The usual test run takes every fifteenth call, starting at another one for each fault."""


class Saboteur:
    """Stands between the store and the system, and makes call number `at` fail in the way `how`."""

    def __init__(self, at: int, how: str) -> None:
        self.at = at
        self.how = how
        self.made = 0

    def install(self) -> None:
        for name in CALLS:
            setattr(system, name, self.around(name, getattr(system, name)))

    def around(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def sabotaged(*arguments: Any, **keywords: Any) -> Any:
            self.made += 1
            if self.made != self.at:
                return call(*arguments, **keywords)
            return self.fail(name, call, arguments, keywords)

        return sabotaged

    def fail(self, name: str, call: Callable[..., Any], arguments: Any, keywords: Any) -> Any:
        if self.how == "short" or self.how == "half":
            if name == "write":
                arguments = (arguments[0], arguments[1][: max(1, len(arguments[1]) // 2)])
            result = call(*arguments, **keywords)
            if self.how == "half":
                os.kill(os.getpid(), signal.SIGKILL)
            return result
        if self.how == "after":
            call(*arguments, **keywords)
        if self.how in DIES:
            os.kill(os.getpid(), signal.SIGKILL)
        if name == "close":
            call(*arguments, **keywords)
        if self.how in RAISES:
            raise RAISES[self.how]
        raise OSError(FAILS[self.how], os.strerror(FAILS[self.how]))


def store_and_load(root: Path, report: int) -> None:
    """What a run does with the store; says what is safe as it goes."""
    store = Store.open(root, key=KEY)
    for key, value in VALUES.items():
        stored = store.put(value)
        published = store.publish(FAMILY, [NewRecord(key, stored, (("x", key),), seconds=1.0)])
        lost = store.sync(published.paths)
        if not lost and not isinstance(stored.where, Held) and published.paths[-1:] and "pack" in published.paths[-1]:
            os.write(report, key)
        try:
            assert same(store.load(published.places[0]), value)
        except MissingEntry:
            continue
    store.write_note(NoteKind.STEP, FAMILY, b"note")
    assert store.read_note(NoteKind.STEP, FAMILY) in (None, b"note")
    store.mark_reached(b"p" * 16, b"r" * 16, {FAMILY: list(VALUES)})
    claims = WorkClaims(store.disk)
    try:
        claims.take(FAMILY, [b"c" * 32])
    finally:  # as a run ends
        claims.release()
    for key, records in zip(VALUES, store.family(FAMILY).find_many(list(VALUES)), strict=True):
        for record in records:
            try:
                assert same(store.load(record.where), VALUES[key])
            except MissingEntry:
                continue


def same(one: Any, other: Any) -> bool:
    return pickle.dumps(np.asarray(one, dtype=object)) == pickle.dumps(np.asarray(other, dtype=object))


def keep_in_order(root: Path, report: int) -> None:
    """Merge, prune, mend and clear; the commands tell their user of an error of the disk."""
    store = Store.open(root, key=KEY)
    store.merge([SMALL])
    for command in (
        lambda: prune(store.disk, 0, grace=-1.0),
        lambda: store.verify(repair=True),
        lambda: store.clear([OTHER]),
    ):
        with contextlib.suppress(OSError):
            command()


def neglected(root: Path) -> None:
    """A store with many small packs, damaged files, what may be pruned, what runs reached, and leftovers."""
    store = Store.open(root, key=KEY)
    for number in range(70):
        store.publish(SMALL, [NewRecord(number.to_bytes(32, "big"), store.put(number))])
    for key, value in VALUES.items():
        store.publish(FAMILY, [NewRecord(key, store.put(value))])
        store.publish(OTHER, [NewRecord(key, store.put(value))])
    together = [NewRecord(bytes([number]) * 32, store.put("old" * 200 + str(number))) for number in range(20)]
    store.publish(OLD, together)
    store.mark_reached(b"p" * 16, b"r" * 16, {FAMILY: None, SMALL: None, OLD: [together[3].key]})
    for path in (store.root / "v1" / "tmp" / "left-1-behind", store.root / "v1" / "blobs" / "00" / "stray"):
        path.parent.mkdir(exist_ok=True, mode=0o700)
        path.write_text("left behind")
    place = store.family(FAMILY).find(b"2" * 32)[0].where
    assert isinstance(place, BlobPlace)
    spoilt = Path(store.disk.blobs.path(place.id))
    spoilt.chmod(0o600)
    spoilt.write_bytes(spoilt.read_bytes()[:-1])


def still_right(root: Path) -> None:
    """What runs reached is there or was damaged, all is right, and a clean upkeep leaves a sound store."""
    store = Store.open(root, key=KEY)
    for key, value in VALUES.items():
        found = store.family(FAMILY).find(key)
        try:
            assert same(store.load(found[0].where), value) if found else key == b"2" * 32, "a reached result is gone"
        except MissingEntry:
            assert key == b"2" * 32
        store.publish(FAMILY, [NewRecord(key, store.put(value))])
    assert {store.load(store.family(SMALL).find(n.to_bytes(32, "big"))[0].where) for n in range(70)} == set(range(70))
    assert store.load(store.family(OLD).find(bytes([3]) * 32)[0].where) == "old" * 200 + "3"
    keep_in_order(root, -1)
    for room in ("tmp", "locks", "pins"):
        left = os.listdir(store.disk.folder.path(room))
        assert [name for name in left if not name.endswith(".claims")] == [], "only the table of claims stays"
    assert store.verify().sound
    again = Store.open(root, key=KEY)
    assert all(same(again.load(again.family(FAMILY).find(key)[0].where), value) for key, value in VALUES.items())


def child(root: Path, at: int, how: str, report: int, work: Work) -> int:
    """The process that is hit: 0 fine, 1 the cache cannot be opened, 2 Ctrl-C or the like came through, 9 wrong."""
    warnings.simplefilter("ignore", CacheWarning)
    saboteur = Saboteur(at, how)
    before = len(os.listdir("/proc/self/fd"))
    saboteur.install()
    status = 0
    try:
        work(root, report)
        status = 9 if how in RAISES and saboteur.made >= at else 0
    except JpipeError:
        status = 1
    except (KeyboardInterrupt, MemoryError):
        status = 2
    except OSError as error:
        status = 1 if error.errno in (errno.EMFILE, errno.ENOMEM) and how == errno.errorcode[error.errno] else 9
    if len(os.listdir("/proc/self/fd")) != before and how != "MemoryError":
        status = 9
    return status if saboteur.made >= at else 100 + status


def run_case(root: Path, at: int, how: str, work: Work) -> tuple[int, set[bytes]]:
    """One case in a process of its own: its exit status, and the keys that it called safe."""
    reading, writing = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(reading)
        status = 9
        try:
            status = child(root, at, how, writing, work)
        except BaseException as error:
            print(f"at call {at}, {how}: {type(error).__name__}: {error}", file=sys.stderr)
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        told = pipe.read()
    _, status = os.waitpid(process, 0)
    safe = {told[i : i + 32] for i in range(0, len(told), 32)}
    return (-os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)), safe


def check_afterwards(root: Path, safe: set[bytes]) -> None:
    """What a clean run finds, does and leaves."""
    store = Store.open(root, key=KEY)
    found = {key: records for key in VALUES if (records := store.family(FAMILY).find(key))}
    assert safe <= found.keys(), "a result that was called safe is gone"
    for key, records in found.items():
        try:
            assert same(store.load(records[0].where), VALUES[key]), "a wrong result"
        except MissingEntry:
            assert key not in safe, "a result that was called safe cannot be loaded"
            store.publish(FAMILY, [NewRecord(key, store.put(VALUES[key]))])
    for key in VALUES.keys() - found.keys():
        store.publish(FAMILY, [NewRecord(key, store.put(VALUES[key]))])
    assert store.sync() == ()
    again = pickle.loads(pickle.dumps(store))
    for key, value in VALUES.items():
        assert same(again.load(again.family(FAMILY).find(key)[0].where), value)
    prune(store.disk, 1 << 40)
    for room in ("tmp", "locks", "pins"):
        left = os.listdir(store.disk.folder.path(room))
        assert [name for name in left if not name.endswith(".claims")] == [], "only the table of claims stays"
    verified = again.verify()
    assert [problem for problem in verified.problems if not problem.kind == "torn pack"] == []


def sweep(tmp_path: Path, how: str, first: int, step: int) -> int:
    cases = 0
    for at in range(first, 1000, step):
        root = tmp_path / f"{how}-{at}"
        status, safe = run_case(root, at, how, store_and_load)
        assert status % 100 != 9, f"call {at}, {how}"
        check_afterwards(root, safe)
        cases += 1
        if status >= 100:
            return cases
    raise AssertionError("it never came to an end")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one: a thousand cases wait for a disk a hundred thousand times."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    made = Path(tempfile.mkdtemp(dir=memory))
    yield made
    shutil.rmtree(made)


@pytest.mark.parametrize("how", [pytest.param(how, marks=pytest.mark.slow) if how in SLOW else how for how in USUAL])
def test_a_fault_at_any_call(folder: Path, how: str) -> None:
    assert sweep(folder, how, 1 + USUAL.index(how) % STEP, STEP) > 10


@pytest.mark.nightly
@pytest.mark.parametrize("unnamed", [True, False], ids=["unnamed files", "named files"])
@pytest.mark.parametrize("how", USUAL + RARE)
def test_every_fault_at_every_call(folder: Path, how: str, unnamed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not unnamed:
        monkeypatch.setattr(system, "UNNAMED", None)
    assert sweep(folder, how, 1, 1) > 60


def test_without_unnamed_files_a_fault_at_any_call(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "UNNAMED", None)
    assert sweep(folder, "half", 2, 7) > 10


def sweep_upkeep(folder: Path, how: str, first: int, step: int) -> int:
    before = folder / "before"
    neglected(before)
    cases = 0
    for at in range(first, 10_000, step):
        root = folder / f"upkeep-{how}-{at}"
        shutil.copytree(before, root, copy_function=shutil.copy2)
        status, _ = run_case(root, at, how, keep_in_order)
        assert status % 100 != 9, f"call {at}, {how}"
        still_right(root)
        shutil.rmtree(root)
        cases += 1
        if status >= 100:
            return cases
    raise AssertionError("it never came to an end")


@pytest.mark.parametrize("how", ["before", "half", "ENOSPC"])
def test_a_fault_at_any_call_of_upkeep(folder: Path, how: str) -> None:
    assert sweep_upkeep(folder, how, 5, 97) > 5


@pytest.mark.nightly
@pytest.mark.parametrize("how", ["before", "after", "half", "ENOSPC", "EIO"])
def test_every_fault_at_every_call_of_upkeep(folder: Path, how: str) -> None:
    assert sweep_upkeep(folder, how, 1, 1) > 100
