"""Code to fingerprint: everything of the user's own that a function can reach, as a digest and a list of its parts."""

from __future__ import annotations

from jpipe.fingerprint.changes import Change, ChangeKind, difference
from jpipe.fingerprint.fingerprinter import GONE, Fingerprinter
from jpipe.fingerprint.parts import BUILTIN, UNDEFINED, BlindSpot, Executed, Fingerprint, Part, PartKind, Unseen

__all__ = [
    "BUILTIN",
    "GONE",
    "UNDEFINED",
    "BlindSpot",
    "Change",
    "ChangeKind",
    "Executed",
    "Fingerprint",
    "Fingerprinter",
    "Part",
    "PartKind",
    "Unseen",
    "difference",
]
