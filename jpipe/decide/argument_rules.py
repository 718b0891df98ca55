"""What a step says of how its arguments count: part of every key, because it decides which arguments are equal."""

from __future__ import annotations

from typing import Any

from blake3 import blake3

from jpipe.define.step import Step

__all__ = ["rules_of"]


def rules_of(step: Step[..., Any], fingerprinter: Any) -> bytes:
    """The digest of a step's `ignore=` and `hash=`; nothing where it has neither.

    Two steps of one function may differ in them, and what one leaves out the other counts.
    """
    declared = step.declared
    if not declared.ignore and not declared.hash:
        return b""
    said = [b"ignore", *(name.encode() for name in sorted(set(declared.ignore)))]
    for kind, hasher in sorted(declared.hash.items(), key=lambda entry: _named(entry[0])):
        said += [b"hash", _named(kind).encode(), fingerprinter.of_object(hasher)]
    return blake3(b"".join(len(part).to_bytes(4, "little") + part for part in said)).digest()


def _named(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
