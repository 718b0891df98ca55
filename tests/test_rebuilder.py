"""The rule book: when a record answers a question, and which reasons are given when none does."""

from __future__ import annotations

import pytest

from jpipe.decide.rebuilder import ArgumentChange, Evidence, Question, decide, reasons
from jpipe.files import Read
from jpipe.fingerprint import Change, PartKind
from jpipe.fingerprint.changes import ChangeKind
from jpipe.model.outcomes import Verdict
from jpipe.model.reasons import ReasonKind
from jpipe.store import Inline, Record

KEY = b"k" * 32
RAW = Read("raw.csv", "file", 3, 1, 1, b"d" * 32)
PLOT = RAW._replace(path="plot.png", written=True)


def record(created: float = 100.0, reads: tuple[Read, ...] = (), content: bytes = b"c" * 32) -> Record:
    return Record(
        key=KEY, content=content, code=(), parts=None, part_code={}, arguments=(), reads=reads, seconds=0.0,
        peak_memory=0, nbytes=0, created=created, where=Inline(b""), extra=b"",
    )  # fmt: skip


ASK = Question(KEY, now=160.0)
OLD, NEW = record(100.0, content=b"o" * 32), record(150.0, content=b"n" * 32)
READER = record(reads=(RAW,))

VERDICTS: dict[str, tuple[Question, list[Record], set[str], bool, Verdict, Record | None]] = {
    # question, records (newest first), changed files, result there? -> verdict, record used
    "a need is not known": (Question(None), [NEW], set(), True, Verdict.PENDING, None),
    "a need is not known, forced": (Question(None, forced=True), [NEW], set(), True, Verdict.PENDING, None),
    "no record": (ASK, [], set(), True, Verdict.STALE, None),
    "a record": (ASK, [NEW], set(), True, Verdict.FRESH, NEW),
    "the newest of two": (ASK, [NEW, OLD], set(), True, Verdict.FRESH, NEW),
    "forced": (ASK._replace(forced=True), [NEW], set(), True, Verdict.STALE, None),
    "its result is gone": (ASK, [NEW], set(), False, Verdict.STALE, None),
    "not expired yet": (ASK._replace(expires=10.5), [NEW], set(), True, Verdict.FRESH, NEW),
    "expired to the second": (ASK._replace(expires=10.0), [NEW], set(), True, Verdict.STALE, None),
    "always expired": (ASK._replace(expires=0.0, now=150.0), [NEW], set(), True, Verdict.STALE, None),
    "its file is the same": (ASK, [READER], set(), True, Verdict.FRESH, READER),
    "its file changed": (ASK, [READER], {"raw.csv"}, True, Verdict.STALE, None),
    "an older one fits": (ASK, [READER, OLD], {"raw.csv"}, True, Verdict.FRESH, OLD),
}


@pytest.mark.parametrize("row", VERDICTS)
def test_verdicts(row: str) -> None:
    question, records, changed, there, verdict, used = VERDICTS[row]
    decision = decide(question, records, lambda read: read.path not in changed, lambda _: there)
    assert (decision.verdict, decision.record) == (verdict, used)


def change(part: PartKind, name: str = "thing", old: str | None = None, new: str | None = None) -> Change:
    return Change(ChangeKind.EDITED, part, name, "f.py", 3, "score", old, new, None)


PAST = Evidence("score", earlier=True)
REASONS: dict[str, tuple[Evidence, list[tuple[ReasonKind, str, str | None]]]] = {
    "nothing is known": (Evidence("score"), [(ReasonKind.NEVER_RAN, "score", None)]),
    "code": (PAST._replace(changes=(change(PartKind.CODE, "score"),)), [(ReasonKind.CODE, "score", None)]),
    "version=": (PAST._replace(changes=(change(PartKind.VERSION, "v", "1", "2"),)), [(ReasonKind.CODE, "v", "1 → 2")]),
    "helper": (PAST._replace(changes=(change(PartKind.HELPER, "m.f"),)), [(ReasonKind.HELPER, "m.f", None)]),
    "class": (PAST._replace(changes=(change(PartKind.CLASS, "Model"),)), [(ReasonKind.HELPER, "Model", None)]),
    "constant": (
        PAST._replace(changes=(change(PartKind.CONSTANT, "RATE", "0.1", "0.2"),)),
        [(ReasonKind.CONSTANT, "RATE", "0.1 → 0.2")],
    ),
    "new constant": (
        PAST._replace(changes=(change(PartKind.CONSTANT, "RATE", None, "0.2"),)),
        [(ReasonKind.CONSTANT, "RATE", "now 0.2")],
    ),
    "parameter": (PAST._replace(arguments=(ArgumentChange("C", None),)), [(ReasonKind.PARAMETER, "C", None)]),
    "input file": (PAST._replace(files=(RAW,)), [(ReasonKind.INPUT_FILE, "raw.csv", None)]),
    "output file": (
        PAST._replace(files=(PLOT,)),
        [(ReasonKind.INPUT_FILE, "plot.png", "its output was changed or removed")],
    ),
    "declared file": (
        PAST._replace(changes=(change(PartKind.FILE, "x.txt"),)),
        [(ReasonKind.INPUT_FILE, "x.txt", None)],
    ),
    "upstream": (PAST._replace(arguments=(ArgumentChange("Z", "project"),)), [(ReasonKind.UPSTREAM, "project", None)]),
    "package": (
        PAST._replace(changes=(change(PartKind.PACKAGE, "scipy", "1.1", "1.2"),)),
        [(ReasonKind.PACKAGE, "scipy", "1.1 → 1.2")],
    ),
    "environment": (PAST._replace(changes=(change(PartKind.ENVIRONMENT, "X"),)), [(ReasonKind.ENVIRONMENT, "X", None)]),
    "not kept": (PAST._replace(not_kept=True), [(ReasonKind.NOT_KEPT, "score", None)]),
    "result missing": (PAST._replace(missing=True), [(ReasonKind.RESULT_MISSING, "score", None)]),
    "pruned": (PAST._replace(pruned=True), [(ReasonKind.PRUNED, "score", None)]),
    "signed with another key": (PAST._replace(foreign=True), [(ReasonKind.FOREIGN, "score", None)]),
    "expired": (PAST._replace(expired_after=60.0), [(ReasonKind.EXPIRED, "score", "after 60 s")]),
    "failed": (Evidence("score", failed=True), [(ReasonKind.FAILED, "score", None)]),
    "forced": (Evidence("score", forced=True), [(ReasonKind.FORCED, "score", None)]),
}


@pytest.mark.parametrize("row", REASONS)
def test_reasons(row: str) -> None:
    evidence, expected = REASONS[row]
    assert [(reason.kind, reason.object, reason.detail) for reason in reasons(evidence)] == expected


def test_every_kind_of_reason_has_a_row_and_is_said_in_words() -> None:
    found = [reason for evidence, _ in REASONS.values() for reason in reasons(evidence)]
    assert {reason.kind for reason in found} == set(ReasonKind)
    assert all(str(reason) and reason.to_json()["kind"] == reason.kind.value for reason in found)


def test_several_reasons_come_in_the_documented_order() -> None:
    every = PAST._replace(
        changes=tuple(change(part) for part in reversed(PartKind)),
        arguments=(ArgumentChange("Z", "up"), ArgumentChange("C", None)),
        files=(RAW,),
        not_kept=True,
        missing=True,
        pruned=True,
        foreign=True,
        expired_after=1.0,
        failed=True,
        forced=True,
    )
    order = list(ReasonKind)
    given = [order.index(reason.kind) for reason in reasons(every)]
    assert given == sorted(given)
    assert set(order[1:]) == {reason.kind for reason in reasons(every)}
