"""Two machines on one cache whose locks do not reach each other: each item is computed once in total."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from jpipe.store.disk import leases

if TYPE_CHECKING:
    from conftest import Project

HOST = """
    import fcntl, os, random, sys, time
    from pathlib import Path

    from jpipe.store.disk import leases, locks, system

    host, delay = sys.argv.pop(1), float(sys.argv.pop(1))
    leases.locks_are_common = lambda folder: False
    leases.BEAT, leases.SILENCE = 0.5, 3.0
    system.boot_id = lambda: host.encode()
    own = Path("locks of", host)
    own.mkdir(parents=True, exist_ok=True)
    flock = fcntl.flock

    def own_flock(descriptor, how, held={}):
        # What this host locks is seen by the processes of this host alone.
        for number in list(held):
            if number == descriptor or not os.path.exists(f"/proc/self/fd/{number}"):
                os.close(held.pop(number))
        file = os.open(own / str(os.fstat(descriptor).st_ino), os.O_RDWR | os.O_CREAT)
        try:
            flock(file, how)
        except BaseException:
            os.close(file)
            raise
        held[descriptor] = file

    locks.fcntl = type(sys)("fcntl of the host")
    locks.fcntl.flock, locks.fcntl.LOCK_EX, locks.fcntl.LOCK_NB = own_flock, fcntl.LOCK_EX, fcntl.LOCK_NB

    def late(function):
        def call(*arguments, **keywords):
            time.sleep(random.random() * delay)
            try:
                return function(*arguments, **keywords)
            finally:
                time.sleep(random.random() * delay)
        return call

    for name in ("open", "write", "link", "rename", "unlink", "listdir", "lstat", "utime", "close"):
        setattr(system, name, late(getattr(system, name)))

    from jpipe.cli import main
    sys.argv[0] = "jpipe"
    sys.exit(main())
"""
WORK = """
    import os, time
    from jpipe import map, pipeline, step

    @step(batch_size=1)
    def work(i):
        with open("computed.txt", "a") as file:
            file.write(f"{i}\\n")
        time.sleep(0.05 + 0.02 * (i % 5))
        return i

    @step
    def total(values):
        return sum(values)

    @pipeline
    def main(n: int = 30):
        return total(map(work, range(n)))
"""


@pytest.fixture
def study(project: Project) -> Project:
    project.write({"pipeline.py": WORK, "host.py": HOST})
    return project


def start(study: Project, host: str, *arguments: str, delay: float = 0.01) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "host.py", host, str(delay), "run", "--json", *arguments],
        cwd=study.root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def computed(study: Project) -> list[int]:
    return sorted(map(int, (study.root / "computed.txt").read_text().split()))


linux = pytest.mark.skipif(sys.platform != "linux", reason="the hosts are made of what Linux has")


@pytest.mark.slow
@linux
def test_two_hosts_share_the_work(study: Project) -> None:
    runs = [start(study, host, "-j1") for host in ("ann", "ben")]
    said = [run.communicate(timeout=120) for run in runs]
    assert [run.returncode for run in runs] == [0, 0], said
    assert computed(study) == list(range(30)), said
    assert sum(json.loads(out.splitlines()[-1])["ran"] for out, _ in said) == 31
    assert study.command("cache", "verify").exit_code == 0


@pytest.mark.slow
@linux
def test_what_a_dead_host_was_at_is_computed_by_another(study: Project) -> None:
    """It says nothing more, so it counts as dead after a while, and what it had finished is taken."""
    dead = start(study, "ann", "-j1", "--set", "n=1000")
    while not (study.root / "computed.txt").exists() or len(computed(study)) < 8:
        time.sleep(0.01)
    dead.send_signal(signal.SIGKILL)
    dead.communicate()
    before = len(computed(study))
    begun = time.monotonic()
    out, err = start(study, "ben", "-j1").communicate(timeout=120)
    assert json.loads(out.splitlines()[-1])["outcome"] == "ran", err
    assert time.monotonic() - begun > 2, "nobody is taken for dead at once"
    again = computed(study)
    assert set(again) == set(range(30)) and len(again) - 30 <= 2, (before, again)


@linux
def test_a_disk_of_this_machine_is_known_as_one(study: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    assert leases.locks_are_common(str(study.root))
    assert leases.locks_are_common(os.sep)
    mounts = (
        "20 1 8:1 / / rw - ext4 /dev/vda rw\n"
        "21 20 0:30 / /home/ann\\040b rw,relatime shared:1 - nfs4 server:/home rw\n"
        "22 21 0:31 / /home/ann\\040b/local rw - tmpfs tmpfs rw\n"
    )
    monkeypatch.setattr(leases.Path, "read_text", lambda *_: mounts)
    known = leases.locks_are_common.__wrapped__
    asked = ["/home/ann b/cache", "/home/ann b", "/home/ann b/local/x", "/home/ann bc", "/home", "/x"]
    assert [known(folder) for folder in asked] == [False, False, True, True, True, True]
