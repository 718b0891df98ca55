"""Code objects: which source they come from, and their digest where there is no source."""

from __future__ import annotations

import marshal
import sys
import types
from pathlib import Path
from typing import Any

from jpipe.fingerprint.hashing import combine

_PYC_HEADER = 16
"""Bytes."""


def codes_of(text: bytes | str, path: str) -> dict[tuple[int, str], list[types.CodeType]]:
    """All code objects in a source, by first line and name; empty when it does not compile."""
    found: dict[tuple[int, str], list[types.CodeType]] = {}
    try:
        stack = [compile(text, path, "exec", dont_inherit=True)]
    except (SyntaxError, ValueError):
        return found
    while stack:
        code = stack.pop()
        found.setdefault((code.co_firstlineno, code.co_name), []).append(code)
        stack.extend(c for c in code.co_consts if isinstance(c, types.CodeType))
    return found


def bytecode_fits(compiled: str, text: bytes | str, path: str) -> bool:
    """Does a `.pyc` hold what compiling the source gives? It is a file that the interpreter itself trusts and runs."""
    try:
        code = marshal.loads(Path(compiled).read_bytes()[_PYC_HEADER:])
        return isinstance(code, types.CodeType) and same_code(code, compile(text, path, "exec", dont_inherit=True))
    except (OSError, ValueError, EOFError, TypeError, SyntaxError):
        return False


def same_code(one: types.CodeType, other: types.CodeType) -> bool:
    """True when two code objects do the same under the same names."""
    if (one.co_code, one.co_names, one.co_varnames) != (other.co_code, other.co_names, other.co_varnames):
        return False
    return len(one.co_consts) == len(other.co_consts) and all(map(_same_constant, one.co_consts, other.co_consts))


def _same_constant(one: Any, other: Any) -> bool:
    if isinstance(one, types.CodeType):
        return isinstance(other, types.CodeType) and same_code(one, other)
    return type(one) is type(other) and (repr(one) == repr(other) or one == other)


def code_digest(code: types.CodeType) -> bytes:
    """Digest of a code object without its position; differs between Python minors."""
    version = "{}.{}".format(*sys.version_info[:2])
    return combine(version, code.co_code, *map(_constant, code.co_consts), *code.co_names, *code.co_varnames)


def _constant(value: Any) -> str:
    if isinstance(value, types.CodeType):
        return code_digest(value).hex()
    if isinstance(value, frozenset):
        return "frozenset" + ",".join(sorted(map(_constant, value)))
    if isinstance(value, tuple):
        return "tuple(" + ",".join(map(_constant, value)) + ")"
    return type(value).__name__ + repr(value)


def names_in(code: types.CodeType) -> set[str]:
    """The names a code object and those inside it look up."""
    found: set[str] = set()
    stack = [code]
    while stack:
        current = stack.pop()
        found.update(current.co_names)
        stack.extend(c for c in current.co_consts if isinstance(c, types.CodeType))
    return found
