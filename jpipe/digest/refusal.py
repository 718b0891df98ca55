"""What is said about a value that cannot be digested: where it sits, what it is, what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jpipe.errors import UndigestibleError

if TYPE_CHECKING:
    from jpipe.digest.canonical import Refused

__all__ = ["explain"]

# Characters of a very long path that are shown from each of its ends.
_END = 150

_LIBRARY = frozenset({list, tuple, dict, set, frozenset})


def explain(refused: Refused, describe: str) -> UndigestibleError:
    """The error for a refusal inside the value that is called so."""
    kind = type(refused.value)
    type_name = _full_name(kind)
    path = _shortened(describe + refused.path)
    return UndigestibleError(
        f"cannot digest {path}: <{type_name}> {refused.why}",
        path=path,
        type_name=type_name,
        hint=refused.hint or _remedy(refused, describe),
    )


def _shortened(path: str) -> str:
    return path if len(path) <= 2 * _END else f"{path[:_END]} … {path[-_END:]}"


def _remedy(refused: Refused, describe: str) -> str:
    """Name the innermost object on the way whose class the user can write a rule for."""
    holders = [type(value) for value in [*refused.way, refused.value]]
    named = [kind for kind in holders if kind not in _LIBRARY and kind.__module__ != "jpipe.digest.canonical"]
    holder = next((kind for kind in reversed(named[:-1]) if kind.__module__ != "builtins"), type(refused.value))
    name = holder.__name__
    return (
        f"say what counts of it: @step(hash={{{name}: lambda {name[:1].lower()}: ...}}), "
        f'or leave the argument out of the key: @step(ignore=["{_argument(describe)}"])'
    )


def _argument(describe: str) -> str:
    """The name of the argument that a description begins with."""
    head = describe.split(maxsplit=1)[0] if describe.split() else describe
    return head.split("[")[0].split(".")[0]


def _full_name(kind: type) -> str:
    if kind.__module__ in ("builtins", "__main__"):
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"
