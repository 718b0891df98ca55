"""One process of the chaos: stores and loads results at random, and checks each against what it must be."""

from __future__ import annotations

import os
import random
import sys
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from jpipe.store import CacheWarning, MissingEntry, NewRecord, PutOptions, SigningKey, Store
from jpipe.store.care.prune import prune

NUMBERS = 30


def truth(number: int) -> Any:
    """What call `number` gives."""
    if number % 4 == 0:
        return {"number": number, "text": "x" * number}
    if number % 4 == 1:
        return [number] * 20_000
    if number % 4 == 2:
        return np.full(140_000, number, dtype=float)
    return {"a": np.full(40_000, number), "b": np.arange(number)}


def key(number: int) -> bytes:
    return number.to_bytes(32, "big")


def same(one: Any, other: Any) -> bool:
    if isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in other)
    return bool(np.array_equal(one, other)) if isinstance(other, np.ndarray) else bool(one == other)


def work(store: Store, rng: random.Random, until: float) -> None:
    held: list[tuple[int, Any]] = []
    while time.time() < until:
        number = rng.randrange(NUMBERS)
        family = store.family(bytes([number % 3]) * 32)
        found = family.find(key(number))
        if not found and family.refresh():
            found = family.find(key(number))
        try:
            if not found:
                raise MissingEntry
            value = store.load(found[0].where)
            print("hit", flush=True)
        except MissingEntry:
            stored = store.put(truth(number), options=PutOptions(max_nbytes=300_000))
            published = store.publish(family.digest, [NewRecord(key(number), stored)])
            if rng.random() < 0.3:
                store.sync(published.paths)
            value = truth(number)
            print("miss", flush=True)
        held.append((number, value))
        for earlier, old in [held[-1], rng.choice(held), rng.choice(held)]:
            if not same(old, truth(earlier)):
                print(f"WRONG {earlier}", flush=True)
                os._exit(9)
        del held[:-40]
        if rng.random() < 0.02:
            store = Store.open(store.root, key=store.disk.key)


def prune_at_random(store: Store, rng: random.Random, until: float) -> None:
    while time.time() < until:
        prune(store.disk, rng.choice([0, 2 << 20, 8 << 20, 1 << 40]), grace=rng.choice([0.0, 0.0, 1.0]))
        store.verify(repair=rng.random() < 0.5)
        time.sleep(rng.random() * 0.3)


def rot(store: Store, rng: random.Random, until: float) -> None:
    """Put spoilt copies in the place of files; what is mapped already is another file and stays right."""
    while time.time() < until:
        time.sleep(rng.random() * 0.05)
        files = [path for path in (store.root / "v1").rglob("*") if path.is_file()]
        try:
            path = rng.choice(files)
            data = bytearray(path.read_bytes())
            data[rng.randrange(len(data))] ^= 1
            beside = store.root / "rotten"
            beside.write_bytes(data)
            beside.replace(path)
        except (OSError, ValueError, IndexError):
            continue


ROLES = {"work": work, "prune": prune_at_random, "rot": rot}


def play(role: str, root: Path, seed: int, until: float, log: Path) -> int:
    """Start a process of that role by a fork; gives its id."""
    process = os.fork()
    if process:
        return process
    status = 1
    try:
        output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.dup2(output, 1)
        os.dup2(output, 2)
        sys.stdout = sys.stderr = open(1, "w", closefd=False)
        warnings.simplefilter("ignore", CacheWarning)
        ROLES[role](Store.open(root, key=SigningKey(b"k" * 32)), random.Random(seed), until)
        status = 0
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(status)
