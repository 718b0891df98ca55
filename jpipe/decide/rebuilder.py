"""Decide whether a call must run, and say why.

`verdict` is the whole rule, for a plan and for a run alike: the scheduler asks it again when a pending need is known.
`reasons` says why, from what is known of the past: one small function for each kind of reason, in the order of
`ReasonKind` and of the reference page. Nothing here reads or writes anything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from jpipe.files import Read
from jpipe.fingerprint import Change, ChangeKind, PartKind
from jpipe.model.outcomes import Verdict
from jpipe.model.reasons import Reason, ReasonKind
from jpipe.store import Record

__all__ = ["ArgumentChange", "Decision", "Evidence", "Question", "decide", "reasons", "reasons_of_code"]


class Question(NamedTuple):
    """What is asked of one item.

    Parameters
    ----------
    key
        Its key, or None while the result of a need is not known.
    forced
        Whether the user asked for it to run.
    expires
        Seconds for which a result counts, or None.
    now
        Seconds since 1970.
    """

    key: bytes | None
    forced: bool = False
    expires: float | None = None
    now: float = 0.0


class Decision(NamedTuple):
    """The verdict on one item, and the record to use where it is fresh."""

    verdict: Verdict
    record: Record | None = None


def decide(
    question: Question,
    records: Sequence[Record],
    unchanged: Callable[[Read], bool],
    is_there: Callable[[Record], bool],
) -> Decision:
    """Whether one of the records answers the question.

    Parameters
    ----------
    records
        The records under the key, newest first.
    unchanged
        Whether a file is as it was read.
    is_there
        Whether the result of a record can be had.
    """
    if question.key is None:
        return Decision(Verdict.PENDING)
    if question.forced:
        return Decision(Verdict.STALE)
    for record in records:
        expired = is_expired(record, question.expires, question.now)
        if not expired and all(map(unchanged, record.reads)) and is_there(record):
            return Decision(Verdict.FRESH, record)
    return Decision(Verdict.STALE)


def is_expired(record: Record, expires: float | None, now: float) -> bool:
    """Whether a result is too old; one that a wrong clock dated into the future would not be for years."""
    return expires is not None and abs(now - record.created) >= expires


class ArgumentChange(NamedTuple):
    """An argument that differs from that of the nearest earlier call.

    Parameters
    ----------
    name
        The parameter.
    upstream
        The step whose result it is, or None for a value that the pipeline gives.
    file, line
        Where the call stands.
    detail
        The values before and now, or that it is an item more.
    """

    name: str
    upstream: str | None
    file: str | None = None
    line: int | None = None
    detail: str | None = None


class Evidence(NamedTuple):
    """What is known of the past of an item that is not fresh.

    Parameters
    ----------
    step, file, line
        The step, and where it is defined.
    earlier
        Whether there is an earlier call to compare with.
    changes
        What changed in the code since then.
    arguments
        What changed in the arguments since then.
    files
        Input files that are not as they were.
    not_kept
        The step says that its results are not kept.
    missing
        A record is there, its result is not.
    pruned
        A record was there, and was removed to make room.
    foreign
        A record is there, signed with another key than this user's.
    expired_after
        Seconds for which the result counted, when that is over.
    failed
        It failed in the last run.
    forced
        The user asked for it.
    """

    step: str
    file: str | None = None
    line: int | None = None
    earlier: bool = False
    changes: tuple[Change, ...] = ()
    arguments: tuple[ArgumentChange, ...] = ()
    files: tuple[Read, ...] = ()
    not_kept: bool = False
    missing: bool = False
    pruned: bool = False
    foreign: bool = False
    expired_after: float | None = None
    failed: bool = False
    forced: bool = False


def reasons(evidence: Evidence) -> tuple[Reason, ...]:
    """Every reason that holds, in the order of `ReasonKind`; never none."""
    found = tuple(dict.fromkeys(reason for rule in _RULES for reason in rule(evidence)))
    # The parts of an older fingerprint may be lost.
    return found or (_about(evidence, ReasonKind.CODE if evidence.earlier else ReasonKind.NEVER_RAN),)


def reasons_of_code(step: str, changes: tuple[Change, ...]) -> tuple[Reason, ...]:
    """What changed in the code of a step, as reasons."""
    return reasons(Evidence(step, earlier=True, changes=changes))


def _about(evidence: Evidence, kind: ReasonKind, detail: str | None = None) -> Reason:
    """A reason whose object is the step itself."""
    return Reason(kind, evidence.step, evidence.file, evidence.line, detail=detail)


def _never_ran(evidence: Evidence) -> list[Reason]:
    known = evidence.earlier or evidence.files or evidence.missing or evidence.expired_after is not None
    if known or evidence.pruned or evidence.foreign or evidence.failed or evidence.forced:
        return []
    return [_about(evidence, ReasonKind.NEVER_RAN)]


def _code(evidence: Evidence) -> list[Reason]:
    return _of_parts(evidence, ReasonKind.CODE)


def _helper(evidence: Evidence) -> list[Reason]:
    return _of_parts(evidence, ReasonKind.HELPER)


def _constant(evidence: Evidence) -> list[Reason]:
    return _of_parts(evidence, ReasonKind.CONSTANT)


def _parameter(evidence: Evidence) -> list[Reason]:
    changed = [change for change in evidence.arguments if change.upstream is None]
    return [Reason(ReasonKind.PARAMETER, c.name, c.file, c.line, detail=c.detail) for c in changed]


def _input_file(evidence: Evidence) -> list[Reason]:
    found = [
        Reason(
            ReasonKind.INPUT_FILE,
            read.path,
            read.path,
            detail="its output was changed or removed" if read.written else None,
        )
        for read in evidence.files
    ]
    return found + _of_parts(evidence, ReasonKind.INPUT_FILE)


def _upstream(evidence: Evidence) -> list[Reason]:
    changed = [change for change in evidence.arguments if change.upstream is not None]
    return [Reason(ReasonKind.UPSTREAM, str(c.upstream), c.file, c.line, via=c.name) for c in changed]


def _package(evidence: Evidence) -> list[Reason]:
    return _of_parts(evidence, ReasonKind.PACKAGE)


def _environment(evidence: Evidence) -> list[Reason]:
    return _of_parts(evidence, ReasonKind.ENVIRONMENT)


def _not_kept(evidence: Evidence) -> list[Reason]:
    return [_about(evidence, ReasonKind.NOT_KEPT)] if evidence.not_kept and evidence.earlier else []


def _result_missing(evidence: Evidence) -> list[Reason]:
    return [_about(evidence, ReasonKind.RESULT_MISSING)] if evidence.missing else []


def _pruned(evidence: Evidence) -> list[Reason]:
    return [_about(evidence, ReasonKind.PRUNED)] if evidence.pruned else []


def _foreign(evidence: Evidence) -> list[Reason]:
    return [_about(evidence, ReasonKind.FOREIGN)] if evidence.foreign else []


def _expired(evidence: Evidence) -> list[Reason]:
    if evidence.expired_after is None:
        return []
    return [_about(evidence, ReasonKind.EXPIRED, f"after {evidence.expired_after:g} s")]


def _failed(evidence: Evidence) -> list[Reason]:
    return [_about(evidence, ReasonKind.FAILED)] if evidence.failed else []


def _forced(evidence: Evidence) -> list[Reason]:
    return [_about(evidence, ReasonKind.FORCED)] if evidence.forced else []


_RULES: tuple[Callable[[Evidence], list[Reason]], ...] = (
    _never_ran,
    _code,
    _helper,
    _constant,
    _parameter,
    _input_file,
    _upstream,
    _package,
    _environment,
    _not_kept,
    _result_missing,
    _pruned,
    _foreign,
    _expired,
    _failed,
    _forced,
)

_KINDS = {
    PartKind.CODE: ReasonKind.CODE,
    PartKind.VERSION: ReasonKind.CODE,
    PartKind.HELPER: ReasonKind.HELPER,
    PartKind.CLASS: ReasonKind.HELPER,
    PartKind.EFFECTS: ReasonKind.HELPER,
    PartKind.MODULE: ReasonKind.HELPER,
    PartKind.CONSTANT: ReasonKind.CONSTANT,
    PartKind.PACKAGE: ReasonKind.PACKAGE,
    PartKind.ENVIRONMENT: ReasonKind.ENVIRONMENT,
    PartKind.FILE: ReasonKind.INPUT_FILE,
}


def _of_parts(evidence: Evidence, kind: ReasonKind) -> list[Reason]:
    changes = [change for change in evidence.changes if _KINDS.get(change.part, ReasonKind.HELPER) is kind]
    return [Reason(kind, c.name, c.file, c.line, c.via, c.diff or None, _detail(c)) for c in changes]


def _detail(change: Change) -> str | None:
    old, new = change.old_text, change.new_text
    if change.note is not None:
        return change.note
    if change.kind is ChangeKind.REBOUND:
        return f"{old} → {new}"
    if change.part not in _WITH_VALUE:
        return {ChangeKind.ADDED: "newly used", ChangeKind.REMOVED: "not used any more"}.get(change.kind)
    if old is None or new is None:
        return f"now {new}" if new is not None else f"was {old}" if old is not None else None
    return f"{old} → {new}" if old != new else None


_WITH_VALUE = (PartKind.CONSTANT, PartKind.PACKAGE, PartKind.VERSION)
