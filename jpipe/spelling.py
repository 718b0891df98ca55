"""Did you mean: the known name that is nearest to one that is not known."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["did_you_mean", "nearest"]


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The name in `known` that `name` may be a misspelling of, None if there is none like it."""
    import difflib  # seldom needed, and every command would wait for it

    names = list(known)
    found = difflib.get_close_matches(name, names, 1) or [one for one in names if one.lower() == name.lower()]
    return found[0] if found else None


def did_you_mean(name: str, known: Iterable[str], otherwise: str | None) -> str | None:
    """The hint for a misspelt name; `otherwise` if no known name is like it."""
    near = nearest(name, known)
    return f"did you mean {near!r}?" if near else otherwise
