"""Of two runs at once each computes what the other does not; what a run took ends with it."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jpipe.store import SigningKey, Store
from jpipe.store.work_claims import WorkClaims

if TYPE_CHECKING:
    from conftest import Project

KEY = SigningKey(b"k" * 32)
FAMILY = b"f" * 32
KEYS = [bytes([number]) * 32 for number in range(10)]
HOLD = """
    import os, sys, time
    from pathlib import Path
    from jpipe.store import SigningKey, Store
    from jpipe.store.work_claims import WorkClaims
    store = Store.open(Path(sys.argv[1]), key=SigningKey(b"k" * 32))
    claims = WorkClaims(store.disk, "score")
    claims.take(b"f" * 32, [bytes([number]) * 32 for number in range(4)])
    claims.let_go()
    if "fork" in sys.argv and os.fork() == 0:
        time.sleep(60)
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "cache", key=KEY)


def other_run(store: Store, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", textwrap.dedent(HOLD), str(store.root), *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def stop(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def test_what_another_run_is_at_is_left_to_it_and_told(store: Store) -> None:
    process = other_run(store)
    claims = WorkClaims(store.disk)
    others = claims.take(FAMILY, KEYS)
    assert sorted(others) == [0, 1, 2, 3]
    who = claims.holder(others[0])
    assert who is not None
    assert (who.pid, who.step, who.host) == (process.pid, "score", os.uname().nodename)
    assert abs(time.time() - who.started) < 60
    claims.release()
    assert claims.take(b"g" * 32, KEYS) == {}, "another step's items are others"
    stop(process)


@pytest.mark.parametrize("arguments", [(), ("fork",)], ids=["", "with a child that lives on"])
def test_what_a_killed_run_was_at_is_free_at_once(store: Store, arguments: tuple[str, ...]) -> None:
    process = other_run(store, *arguments)
    process.kill()
    process.wait()
    until = time.monotonic() + 2
    taken = None
    while taken != {} and time.monotonic() < until:
        claims = WorkClaims(store.disk)
        taken = claims.take(FAMILY, KEYS)
        claims.release()
    assert taken == {}
    stop(process)


def test_nothing_is_left_but_the_table(store: Store) -> None:
    one, other = WorkClaims(store.disk), WorkClaims(store.disk)
    assert one.take(FAMILY, KEYS[:5]) == {}
    one.let_go()
    assert sorted(other.take(FAMILY, KEYS)) == [0, 1, 2, 3, 4]
    other.let_go()
    assert sorted(one.take(FAMILY, KEYS)) == [5, 6, 7, 8, 9]
    one.release()
    assert other.take(FAMILY, KEYS) == {}
    other.release()
    left = {path.suffix for path in (store.root / "v1" / "locks").iterdir()}
    assert left <= {".claims", ".lock"}
    store.prune(1 << 40)
    assert {path.suffix for path in (store.root / "v1" / "locks").iterdir()} <= {".claims"}


def test_many_runs_compute_each_item_once(store: Store, tmp_path: Path) -> None:
    log = tmp_path / "computed"
    log.touch()
    processes = []
    for _ in range(6):
        process = os.fork()
        if process == 0:
            status = 1
            try:
                status = compute(pickle.loads(pickle.dumps(store)), log)
            finally:
                os._exit(status)
        processes.append(process)
    assert {os.waitpid(process, 0)[1] for process in processes} == {0}
    assert sorted(log.read_text().split()) == sorted(map(str, range(10)))


def compute(store: Store, log: Path) -> int:
    """Take what nobody is at, two by two, and go on until all is done; none ends before, for then it would be free."""
    claims = WorkClaims(store.disk)
    for start in range(0, 10, 2):
        others = claims.take(FAMILY, KEYS[start : start + 2])
        claims.let_go()
        time.sleep(0.01)
        with log.open("a") as file:
            file.writelines(f"{start + position}\n" for position in range(2) if position not in others)
    until = time.monotonic() + 30
    while len(log.read_text().split()) < 10 and time.monotonic() < until:
        time.sleep(0.01)
    time.sleep(0.3)
    return 0


def test_where_locks_cannot_be_had_everybody_computes(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from jpipe.store.disk import system

    def refuse(*_: object, **__: object) -> int:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(system, "open", refuse)
    assert WorkClaims(store.disk).take(FAMILY, KEYS) == {}


def test_what_a_run_beside_finished_and_left_is_not_computed_again(project: Project) -> None:
    """Also where the run that needs it later has read the folder since for another of its items."""
    project.write(
        """
        import os
        import time
        from jpipe import map, pipeline, step

        @step(batch_size=1)
        def work(i):
            with open("computed.txt", "a") as file:
                file.write(f"{i}\\n")
            while i == 9 and not os.path.exists("go on"):
                time.sleep(0.01)
            return i

        @pipeline
        def main(start: int = 0):
            return map(work, range(start, 24))
        """
    )
    long = project.start("run", "-j1", "--json")
    while not (project.root / "computed.txt").exists():
        time.sleep(0.01)
    assert project.run("-j1", "--set", "start=18").counts == (6, 0)
    (project.root / "go on").touch()
    out, err = long.communicate(timeout=60)
    assert json.loads(out.splitlines()[-1])["ran"] == 18, err
    computed = (project.root / "computed.txt").read_text().split()
    assert sorted(map(int, computed)) == list(range(24))
