"""The same content has the same digest in every process; different contents differ; what has none is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent / "digest"
sys.path.insert(0, str(HERE))
import cases  # noqa: E402

# The state of a generator is no part of the code: a constant that is one counts by the statements that make it.
GENERATORS = {
    ("np.random.default_rng(3)", "np.random.default_rng(4)"),
    ("np.random.default_rng(3)", "drawn(np.random.default_rng(3))"),
    ("random.Random(3)", "drawn(random.Random(3))"),
}


@pytest.fixture(scope="module")
def told() -> list[dict[str, Any]]:
    """What two processes with hash seeds of their own tell of all cases."""

    def evaluate(side: str, seed: str) -> dict[str, Any]:
        done = subprocess.run(
            [sys.executable, HERE / "evaluate.py", side],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(HERE.parent.parent)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(evaluate, ("left", "right"), ("1", "20260")))


def test_equal_values_have_equal_digests_in_different_processes(told: list[dict[str, Any]]) -> None:
    differing = [
        pair for pair, left, right in zip(cases.EQUAL, told[0]["equal"], told[1]["equal"], strict=True) if left != right
    ]
    assert differing == []


def test_a_digest_survives_pickling_and_another_process(told: list[dict[str, Any]]) -> None:
    unstable = [
        expression
        for expression, here, there in zip(cases.STABLE, told[0]["stable"], told[1]["stable"], strict=True)
        if len({*here, *there}) > 1
    ]
    assert unstable == []


def test_different_values_have_different_digests(told: list[dict[str, Any]]) -> None:
    confused = []
    for group, digests in zip(cases.DIFFERENT, told[0]["different"], strict=True):
        first: dict[str, str] = {}
        for expression, digest in zip(group, digests, strict=True):
            if digest in first:
                confused.append((first[digest], expression))
            first.setdefault(digest, expression)
    assert confused == []


def test_every_one_of_the_different_values_has_the_same_digest_in_another_process(told: list[dict[str, Any]]) -> None:
    unstable = [
        expression
        for group, here, there in zip(cases.DIFFERENT, told[0]["different"], told[1]["different"], strict=True)
        for expression, one, other in zip(group, here, there, strict=True)
        if one != other
    ]
    assert unstable == []


def test_what_cannot_be_digested_is_refused_with_its_place_and_a_remedy(told: list[dict[str, Any]]) -> None:
    wrong = [
        (expression, message)
        for (expression, place), message in zip(cases.REFUSED, told[1]["refused"], strict=True)
        if not message.startswith(f"cannot digest {place}")
        or not any(word in message for word in ("@step(hash={", "pass ", "use None"))
    ]
    assert wrong == []


def test_equal_constants_have_equal_fingerprints_in_different_processes(told: list[dict[str, Any]]) -> None:
    pairs = zip(cases.EQUAL, told[0]["constants"]["equal"], told[1]["constants"]["equal"], strict=True)
    assert [pair for pair, here, there in pairs if here != there] == []


def test_different_constants_have_different_fingerprints(told: list[dict[str, Any]]) -> None:
    confused = set()
    for group, here in zip(cases.DIFFERENT, told[0]["constants"]["different"], strict=True):
        first: dict[str, str] = {}
        for expression, fingerprint in zip(group, here, strict=True):
            if first.setdefault(fingerprint, expression) != expression:
                confused.add((first[fingerprint], expression))
    assert confused == GENERATORS


def test_every_constant_has_the_same_fingerprint_in_another_process(told: list[dict[str, Any]]) -> None:
    here, there = (side["constants"] for side in told)
    assert here["different"] == there["different"]
    assert here["refused"] == there["refused"]
