"""The tables beside this file: Python expressions whose digests must be equal, must differ, or must be refused."""

from __future__ import annotations

from pathlib import Path

__all__ = ["DIFFERENT", "EQUAL", "REFUSED", "STABLE"]


def _lines(name: str) -> list[str]:
    text = (Path(__file__).parent / name).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if not line.startswith("#")]


def _pairs(name: str, sign: str) -> list[tuple[str, str]]:
    pairs = (line.split(f"  {sign}  ") for line in _lines(name) if line)
    return [(left, right) for left, right in pairs]


def _groups(name: str) -> list[list[str]]:
    groups: list[list[str]] = [[]]
    for line in _lines(name):
        if line:
            groups[-1].append(line)
        elif groups[-1]:
            groups.append([])
    return groups


EQUAL = _pairs("equal.txt", "==")
STABLE = [line for line in _lines("stable.txt") if line]
DIFFERENT = _groups("different.txt")
REFUSED = _pairs("refused.txt", "!!")
