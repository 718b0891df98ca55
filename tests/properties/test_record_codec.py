"""What is written is read as it was, and what was changed in any way is refused, or is what it says."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jpipe.files import Read
from jpipe.fingerprint import Part, PartKind
from jpipe.history import acceptance, last_run
from jpipe.history.acceptance import Acceptance
from jpipe.history.last_run import EarlierCall, LastRun
from jpipe.model import plan
from jpipe.model.plan import Plan, StepPlan
from jpipe.model.reasons import Reason, ReasonKind
from jpipe.model.record_codec import Codec, Malformed, dump, load
from jpipe.store.disk import locks
from jpipe.store.disk.locks import Holder
from jpipe.store.format import pack_codec

TEXTS = st.text(st.characters(codec="utf-8"), max_size=8)
NAMES = TEXTS | st.sampled_from(["x", "größe", "a.b", "\udc80", "\0"])
DIGESTS = st.binary(min_size=32, max_size=32)
COUNTS = st.integers(0, (1 << 63) - 1)
WHOLE = st.integers(-(1 << 63), (1 << 63) - 1)
NUMBERS = st.floats(0, 1e12) | st.integers(0, 1 << 40)
MAYBE = st.none() | NAMES


def several(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(strategy, max_size=3).map(tuple)


CODE = several(st.tuples(NAMES, NAMES))
READS = st.builds(
    Read, NAMES, st.sampled_from(["file", "folder", "missing"]), COUNTS, WHOLE, WHOLE, st.binary(max_size=40),
    st.booleans())  # fmt: skip
PARTS = st.builds(Part, st.sampled_from(PartKind), NAMES, MAYBE, st.none() | WHOLE, DIGESTS, MAYBE, MAYBE, CODE)
CALLS = st.builds(
    EarlierCall, DIGESTS, DIGESTS, st.dictionaries(NAMES, DIGESTS, max_size=3),
    st.dictionaries(NAMES, NAMES, max_size=2), st.booleans())  # fmt: skip
REASONS = st.builds(Reason, st.sampled_from(ReasonKind), NAMES, MAYBE, st.none() | WHOLE, MAYBE, MAYBE, MAYBE)
STEPS = st.builds(
    StepPlan, NAMES, NAMES, WHOLE, COUNTS, COUNTS, COUNTS, COUNTS, several(st.tuples(REASONS, COUNTS)), NUMBERS,
    NUMBERS, COUNTS, several(NAMES), several(NAMES), COUNTS, COUNTS)  # fmt: skip
RUNS = st.builds(
    LastRun, NAMES, NUMBERS, st.dictionaries(NAMES, st.lists(CALLS, max_size=2), max_size=2),
    st.frozensets(DIGESTS, max_size=2), st.dictionaries(NAMES, NUMBERS, max_size=2))  # fmt: skip
KINDS: dict[str, tuple[Codec, st.SearchStrategy[Any]]] = {
    "what entries share": (pack_codec.SHAPES, st.lists(st.tuples(several(NAMES), CODE, several(READS)), max_size=2)),
    "parts of a result": (pack_codec.PARTS, several(st.tuples(NAMES | st.integers(0, 9), DIGESTS, CODE))),
    "parts of a fingerprint": (last_run._PARTS, several(PARTS)),
    "the last run": (last_run._RUN, RUNS),
    "fingerprints of a step": (last_run._FAMILIES, st.lists(DIGESTS, max_size=3)),
    "what was accepted": (
        acceptance._NOTE,
        st.builds(
            acceptance._Note, NAMES, several(st.builds(Acceptance, st.just(""), DIGESTS, several(DIGESTS), NUMBERS,
                                                       several(NAMES)))),
    ),
    "who holds a lock": (locks.HOLDER, st.builds(Holder, NAMES, COUNTS, NUMBERS, NAMES, NAMES)),
    "a plan": (plan._PLAN, st.builds(Plan, NAMES, several(STEPS), st.just(()))),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_what_is_written_is_read_as_it_was(kind: str, data: st.DataObject) -> None:
    codec, values = KINDS[kind]
    value = data.draw(values)
    assert load(codec, dump(codec, value)) == value


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data(), seed=st.integers(0, 1 << 30))
def test_what_was_changed_is_refused_or_is_what_it_says(kind: str, data: st.DataObject, seed: int) -> None:
    codec, values = KINDS[kind]
    plain = json.loads(dump(codec, data.draw(values)))
    rng = random.Random(seed)
    for changed in (changed_somewhere(plain, rng) for _ in range(5)):
        try:
            read = codec.read(json.loads(json.dumps(changed)))
        except Malformed:
            continue
        assert same(codec.write(read), changed)


def same(one: Any, other: Any) -> bool:
    """Equal, 1 and True and 1.0 apart; a set has no order."""
    return sorted_lists(one) == sorted_lists(other)


def sorted_lists(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ",".join(sorted(f"{name!r}:{sorted_lists(one)}" for name, one in value.items())) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(sorted(map(sorted_lists, value))) + "]"
    return repr(value)


ODD: list[Any] = [
    *[None, True, False, 0, 1, -1, 1 << 63, 1e300, 0.5, "", "x", "ab" * 32, "AB" * 32, "file", "code"],
    *[[], [[]], {}, {"x": 1}, ["x"], [None] * 8, {"step": "s", "entries": []}],
]


def changed_somewhere(plain: Any, rng: random.Random) -> Any:
    """A copy that differs in one place: another value, a value more, one less, another name."""
    places = list(walk(plain))
    path, value = rng.choice(places)
    copy = json.loads(json.dumps(plain))
    how = rng.choice(["replace", "drop", "add", "rename"])
    if how == "add" and isinstance(value, (list, dict)):
        inner = at(copy, path)
        inner.append(rng.choice(ODD)) if isinstance(inner, list) else inner.update({"another": rng.choice(ODD)})
        return copy
    if not path:
        return rng.choice(ODD)
    above, last = at(copy, path[:-1]), path[-1]
    if how == "drop":
        del above[last]
    elif how == "rename" and isinstance(above, dict):
        above[f"{last}_"] = above.pop(last)
    else:
        above[last] = rng.choice(ODD)
    return copy


def walk(plain: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    yield path, plain
    if isinstance(plain, (list, dict)):
        for key, value in plain.items() if isinstance(plain, dict) else enumerate(plain):
            yield from walk(value, (*path, key))


def at(plain: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        plain = plain[key]
    return plain


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("raw", [b"", b"{", b"[" * 100_000, b"\xff", b"NaN", b'"x"', b"1e999", b"null", b"[1]", b"{}"])
def test_what_is_no_record_is_refused(kind: str, raw: bytes) -> None:
    with pytest.raises(Malformed):
        load(KINDS[kind][0], raw)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 1e300, True, "1", None])
def test_numbers_are_finite_numbers(number: object) -> None:
    raw = json.dumps({"host": "h", "pid": 1, "started": number, "step": "s"}).encode()
    with pytest.raises(Malformed):
        load(locks.HOLDER, raw)
