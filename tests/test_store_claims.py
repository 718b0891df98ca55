"""One process at a time computes a result, and a claim ends with the process that holds it."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from jpipe.store import Holder, NewRecord, SigningKey, Store

KEY = SigningKey(b"k" * 32)
FAMILY = b"f" * 32
HOLD = """
    import os, sys, time
    from pathlib import Path
    from jpipe.store import SigningKey, Store
    store = Store.open(Path(sys.argv[1]), key=SigningKey(b"k" * 32))
    with store.claim(b"c" * 32, step="score"):
        if "fork" in sys.argv and os.fork() == 0:
            time.sleep(60)
        print("held", flush=True)
        time.sleep(60)
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "cache", key=KEY)


def holder(store: Store, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", textwrap.dedent(HOLD), str(store.root), *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def stop(process: subprocess.Popen[str]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def test_who_waits_is_told_for_whom(store: Store) -> None:
    process = holder(store)
    told: list[Holder | None] = []

    def wait(who: Holder | None, seconds: float) -> None:
        told.append(who)
        stop(process)

    with store.claim(b"c" * 32, wait=wait) as claim:
        assert claim.waited
    (who,) = told
    assert who is not None
    assert (who.pid, who.step, who.host) == (process.pid, "score", os.uname().nodename)
    assert abs(time.time() - who.started) < 60


@pytest.mark.parametrize("arguments", [(), ("fork",)], ids=["", "with a child that lives on"])
def test_a_killed_holder_frees_its_claim_at_once(store: Store, arguments: tuple[str, ...]) -> None:
    process = holder(store, *arguments)
    process.kill()
    killed = time.monotonic()
    with store.claim(b"c" * 32):
        assert time.monotonic() - killed < 2
    stop(process)


def test_waiting_can_be_broken_off(store: Store) -> None:
    process = holder(store)

    def impatient(who: Holder | None, seconds: float) -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError), store.claim(b"c" * 32, wait=impatient):
        pass
    stop(process)


def test_nothing_is_left_and_other_claims_do_not_wait(store: Store) -> None:
    with store.claim(b"c" * 32) as claim, store.claim(b"d" * 32) as other:
        assert (claim.held, claim.waited, other.held, other.waited) == (True, False, True, False)
    assert list((store.root / "v1" / "locks").iterdir()) == []


def test_many_processes_compute_once(store: Store, tmp_path: Path) -> None:
    log = tmp_path / "computed"
    processes = []
    for _ in range(6):
        process = os.fork()
        if process == 0:
            status = 1
            try:
                status = compute_ten(pickle.loads(pickle.dumps(store)), log)
            finally:
                os._exit(status)
        processes.append(process)
    assert {os.waitpid(process, 0)[1] for process in processes} == {0}
    assert sorted(log.read_text().split()) == sorted(map(str, range(10)))


def compute_ten(store: Store, log: Path) -> int:
    for number in range(10):
        key = bytes([number]) * 32
        with store.claim(key):
            family = store.family(FAMILY)
            family.refresh()
            if not family.find(key):
                time.sleep(0.01)
                with log.open("a") as file:
                    file.write(f"{number}\n")
                store.publish(FAMILY, [NewRecord(key, store.put(number))])
            family.refresh()
            if store.load(family.find(key)[0].where) != number:
                return 1
    return 0


def test_where_locks_cannot_be_had_everybody_computes(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from jpipe.store.disk import system

    def refuse(*_: object, **__: object) -> int:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(system, "open", refuse)
    with store.claim(b"c" * 32) as claim:
        assert not claim.held
