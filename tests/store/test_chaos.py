"""Workers, prunes, rotting bytes and kill -9 at random, all at once: no value is wrong, and the store stays valid."""

from __future__ import annotations

import importlib.util
import os
import random
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from jpipe.store import SigningKey, Store
from jpipe.store.care.prune import prune


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    memory = Path("/dev/shm")
    made = (memory if os.access(memory, os.W_OK) else tmp_path) / f"jpipe-chaos-{os.getpid()}"
    made.mkdir(mode=0o700)
    yield made
    shutil.rmtree(made)


def worker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("chaos_worker", Path(__file__).with_name("chaos_worker.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def ended(process: int) -> bool:
    """Whether a process was killed or came to its end without an error."""
    _, status = os.waitpid(process, 0)
    return status in (0, signal.SIGKILL)


def chaos(folder: Path, seconds: float, rots: bool, seed: int) -> tuple[int, int]:
    """The numbers of hits and of kills."""
    rng = random.Random(seed)
    root, log = folder / "cache", folder / "log"
    until = time.time() + seconds
    roles = ["work", "work", "work", "prune", *(["rot"] if rots else [])]
    start = worker().play
    running = [start(role, root, seed + i, until, log) for i, role in enumerate(roles)]
    kills = 0
    while time.time() < until - 1:
        time.sleep(rng.random() * 0.5)
        victim = rng.randrange(4)
        os.kill(running[victim], signal.SIGKILL)
        assert ended(running[victim]), log.read_text()[-2000:]
        kills += 1
        running[victim] = start(roles[victim], root, seed + kills * 100, until, log)
    for process in running:
        assert ended(process), log.read_text()[-2000:]
    text = log.read_text()
    assert "WRONG" not in text
    assert "Traceback" not in text, text[text.index("Traceback") :][:3000]
    store = Store.open(root, key=SigningKey(b"k" * 32))
    store.verify(repair=True)
    prune(store.disk, 1 << 40, grace=0)
    assert store.verify().sound
    for room in ("tmp", "locks"):
        assert list((root / "v1" / room).iterdir()) == []
    return text.count("hit"), kills


@pytest.mark.parametrize("rots", [False, True], ids=["", "rot"])
def test_chaos(folder: Path, rots: bool) -> None:
    hits, kills = chaos(folder, 5, rots, seed=1)
    assert hits > 50
    assert kills >= 5


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(4))
def test_long_chaos(folder: Path, seed: int) -> None:
    hits, kills = chaos(folder, 300, rots=seed % 2 == 1, seed=seed)
    assert hits > 5000
    assert kills > 500
