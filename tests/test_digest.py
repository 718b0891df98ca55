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

# Where the fingerprint of a constant and the digest of a value disagree; in each of them the digest is right.
ONLY_DIGESTS_KNOW_EQUAL = {
    # Whether equal parts are one object is nothing that a step could rely on: re-running is needless.
    "(lambda x: [x, x])([1, 2])",
    "(lambda x: [x] * 5)(list(range(3000)))",
    # A mapped array is an array with the same content.
    "mapped(np.arange(5.0))",
    "mapped(np.arange(500_000.0))[10:]",
    # Bytes that no element covers differ from process to process.
    "padded(0)",
    "long_double(0)",
    "covered(5)",
    "under_null(5)",
    # Views, chunks and dictionaries are how a table came to be, not what it holds.
    "pd.Series(['a', 'b', 'c'])[1:].reset_index(drop=True)",
    "pa.chunked_array([['a'], ['b', None]])",
    "pa.array([0, 1, 2, 3])[1:]",
    "pa.array([[1], [2, 3]])[1:]",
    "pa.array([True, False, True])[1:]",
    "pa.concat_tables([pa.table({'a': [1]}), pa.table({'a': [2]})])",
    "pl.concat([pl.DataFrame({'a': ['x']}), pl.DataFrame({'a': [None]})])",
    "dictionaries('ab', 'ba')",
    # What objects remember of questions they were asked.
    "pl.Series([3, 1, 2]).sort()",
    "used(csr([[0, 1], [2, 0]]), lambda a: a.has_sorted_indices)",
    "used(Hashed('x'), hash)",
    # The state of the global generators: jpipe seeds them before each item.
    "random.random",
    "np.random.normal",
}
ONLY_DIGESTS_TELL_APART = {
    ("math_module", "re"),
    ("types.CellType(1)", "types.CellType(2)"),
    ("types.CellType(1)", "types.CellType()"),
    *(("(lambda: 1).__code__", f"({other}).__code__") for other in ("lambda: 2", "lambda x: 1")),
    *(("(lambda: 1).__code__", f"(lambda: (lambda: {n})).__code__") for n in (1, 2)),
    *(
        (
            "functools.lru_cache(maxsize=3)(from_library(one_by_one))",
            f"functools.lru_cache({how})(from_library(one_by_one))",
        )
        for how in ("maxsize=4", "maxsize=3, typed=True")
    ),
}
ONLY_DIGESTS_ARE_STABLE = {"np.longdouble(1 / 3)", "random.random"}


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
    assert {left for (left, _), here, there in pairs if here != there} == ONLY_DIGESTS_KNOW_EQUAL


def test_different_constants_have_different_fingerprints(told: list[dict[str, Any]]) -> None:
    confused = set()
    for group, here in zip(cases.DIFFERENT, told[0]["constants"]["different"], strict=True):
        first: dict[str, str] = {}
        for expression, fingerprint in zip(group, here, strict=True):
            if first.setdefault(fingerprint, expression) != expression:
                confused.add((first[fingerprint], expression))
    assert confused == ONLY_DIGESTS_TELL_APART


def test_every_constant_has_the_same_fingerprint_in_another_process(told: list[dict[str, Any]]) -> None:
    unstable = {
        expression
        for group, here, there in zip(
            cases.DIFFERENT, told[0]["constants"]["different"], told[1]["constants"]["different"], strict=True
        )
        for expression, one, other in zip(group, here, there, strict=True)
        if one != other
    }
    assert unstable == ONLY_DIGESTS_ARE_STABLE
    assert told[0]["constants"]["refused"] == told[1]["constants"]["refused"]
