"""Why a call is not fresh: a closed set of reasons, each of which names its object."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, NamedTuple

__all__ = ["HAD_IT", "HAD_NONE", "IT_RAN", "Reason", "ReasonKind", "together"]

IT_RAN, HAD_NONE, HAD_IT = "it ran", "had none when it ran", "had it when it ran"
"""What details of helpers say or end with, where it is known what ran; the last two are of members of classes."""


class ReasonKind(str, Enum):
    """The kinds of reasons, in the order in which they are asked and documented."""

    NEVER_RAN = "never ran"
    CODE = "code"
    HELPER = "helper"
    CONSTANT = "constant"
    PARAMETER = "parameter"
    INPUT_FILE = "input file"
    UPSTREAM = "upstream result"
    PACKAGE = "package version"
    ENVIRONMENT = "environment"
    NOT_KEPT = "not kept"
    RESULT_MISSING = "result missing"
    PRUNED = "pruned"
    FOREIGN = "signed with another key"
    EXPIRED = "expired"
    FAILED = "failed last time"
    FORCED = "forced"


class Reason(NamedTuple):
    """One reason why a call has to run.

    Parameters
    ----------
    kind
        Which of the closed set.
    object
        The thing that changed, under the name the user gave it: ``metrics.balanced``, ``RATE``, ``raw.csv``.
    file, line
        Where that thing stands, where it stands anywhere. Lines count from 1.
    via
        The name through which the step reaches it, or None for the step itself.
    diff
        What changed, as unified diff lines, or None.
    detail
        What changed, in a few words: ``0.1 → 0.2``.
    """

    kind: ReasonKind
    object: str
    file: str | None = None
    line: int | None = None
    via: str | None = None
    diff: str | None = None
    detail: str | None = None

    @property
    def is_new_item(self) -> bool:
        """Whether a parameter has an item more, and nothing that was there changed."""
        return self.kind is ReasonKind.PARAMETER and (self.detail or "").startswith(_NEW)

    def to_json(self) -> dict[str, Any]:
        """The reason as the object that ``plan --json`` prints."""
        return {
            "kind": self.kind.value,
            "object": self.object,
            "file": self.file,
            "line": self.line,
            "via": self.via,
            "diff": self.diff,
            "detail": self.detail,
        }

    def __str__(self) -> str:
        place = f" ({self.file}:{self.line})" if self.file and self.line else f" ({self.file})" if self.file else ""
        text = {
            ReasonKind.NEVER_RAN: "never ran",
            ReasonKind.CODE: f"its code changed{place}",
            ReasonKind.HELPER: f"its helper {self.object} changed{place}",
            ReasonKind.CONSTANT: f"constant {self.object} changed{place}",
            ReasonKind.PARAMETER: f"parameter {self.object}{'' if self.is_new_item else ' changed'}",
            ReasonKind.INPUT_FILE: f"input file {self.object} changed",
            ReasonKind.UPSTREAM: f"the result of {self.object} changed",
            ReasonKind.PACKAGE: f"package {self.object} changed",
            ReasonKind.ENVIRONMENT: f"environment variable {self.object} changed",
            ReasonKind.NOT_KEPT: "its results are not kept (cache=False)",
            ReasonKind.RESULT_MISSING: "its result is missing from the cache",
            ReasonKind.PRUNED: "its result was removed from the cache to make room",
            ReasonKind.FOREIGN: "its result is signed with another key",
            ReasonKind.EXPIRED: "its result expired",
            ReasonKind.FAILED: "it failed last time",
            ReasonKind.FORCED: "forced",
        }[self.kind]
        if self.kind is ReasonKind.HELPER and self.detail:
            ends = {HAD_NONE: " was added", HAD_IT: " was removed"}
            verb = next((verb for end, verb in ends.items() if self.detail.endswith(end)), None)
            return f"{self.object}{verb}{place} ({self.detail})" if verb else f"{text} ({self.detail})"
        return f"{text}: {self.detail}" if self.detail else text


def together(counted: Mapping[Reason, int]) -> tuple[tuple[Reason, int], ...]:
    """Reasons with the number of items that each holds for, in the order of `ReasonKind`.

    The changes of one parameter, a value or an item each, become one reason.
    """
    groups: dict[tuple[object, ...], list[Reason]] = {}
    for reason in counted:
        alike = (reason.kind, reason.object, reason.file, reason.line, reason.via, reason.is_new_item)
        own = () if reason.kind is ReasonKind.PARAMETER else (reason.diff, reason.detail)
        groups.setdefault((*alike, *own), []).append(reason)
    order = list(ReasonKind)
    found = [(_joined(group), sum(counted[reason] for reason in group)) for group in groups.values()]
    return tuple(sorted(found, key=lambda entry: order.index(entry[0].kind)))


def _joined(group: list[Reason]) -> Reason:
    if len(group) == 1:
        return group[0]
    details = [reason.detail.removeprefix(f"{_NEW} ") for reason in group if reason.detail]
    shown = ", ".join(details[:_MOST_TOLD])
    if len(details) > _MOST_TOLD:
        shown += f" and {len(details) - _MOST_TOLD} more"
    return group[0]._replace(detail=f"{_NEW}s {shown}" if group[0].is_new_item else shown or None)


_NEW = "new item"
_MOST_TOLD = 3
