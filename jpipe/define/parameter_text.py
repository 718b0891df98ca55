"""What the text of ``--set name=text`` may mean: Python literals, JSON, TOML, or lists without brackets."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["elements", "meanings"]

_WORDS = {"none": None, "null": None, "true": True, "false": False}
_OPENING = {"[": "]", "(": ")", "{": "}"}


def meanings(text: str) -> Iterator[Any]:
    """The values that a text may stand for, the likeliest first; a converter takes the first that fits.

    Parameters
    ----------
    text
        As it was typed: ``8,16``, ``[8, 16]``, ``"x,y",z``, ``{"lr": 0.3}``, ``{lr = 0.3}``, ``2026-01-31``.

    Examples
    --------
    >>> list(meanings("1,x"))
    [[1, 'x'], ['1', 'x'], '1,x', ['1,x']]
    """
    if not text or not _is_balanced(text):  # a variable of the shell that was not set, an argument that it cut in two
        yield text
        return
    found = [_read(text, _atom), _read(text, _unquoted), text]
    found += [[value] for value in found if not isinstance(value, (list, tuple, dict, set))]
    for position, value in enumerate(found):
        if not any(type(value) is type(other) and value == other for other in found[:position]):
            yield value


def elements(text: str) -> list[str]:
    """The texts between the commas of a list, with or without brackets around it.

    Examples
    --------
    >>> elements("0.1,1,10"), elements("[1, 2], [3]")
    (['0.1', '1', '10'], ['[1, 2]', '[3]'])
    """
    text = text.strip()
    return _split(text[1:-1] if _is_enclosed(text) else text)


def _read(text: str, atom: Callable[[str], Any]) -> Any:
    text = text.strip()
    table = _table(text)
    if table is not None:
        return table
    is_enclosed = _is_enclosed(text)
    parts = elements(text)
    if not is_enclosed and len(parts) < 2 and not text.endswith(","):
        return atom(text)
    whole = atom(text) if is_enclosed else text
    return [_read(part, atom) for part in parts] if isinstance(whole, str) else whole


def _atom(text: str) -> Any:
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text


def _table(text: str) -> dict[str, Any] | None:
    """A dict written in Python, JSON or TOML."""
    if text[:1] != "{":
        return None
    readers: tuple[Callable[[str], Any], ...] = ast.literal_eval, json.loads, _from_toml
    for read in readers:
        try:
            value = read(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
        if isinstance(value, dict):
            return value
    return None


def _from_toml(text: str) -> Any:
    import tomllib  # few write their parameters so, and every run would wait for it

    return tomllib.loads(f"value = {text}")["value"]


def _is_enclosed(text: str) -> bool:
    """Whether the bracket that a text begins with is closed by its last character."""
    if not text or text[0] not in _OPENING or text[-1] != _OPENING[text[0]]:
        return False
    return all(depth > 0 for depth, _ in list(_depths(text))[:-1])


def _is_balanced(text: str) -> bool:
    """Whether every bracket is closed, and none that was not opened."""
    depths = [depth for depth, _ in _depths(text)]
    return not depths or (depths[-1] == 0 and min(depths) >= 0)


def _depths(text: str) -> Iterator[tuple[int, str]]:
    """How deep in brackets (counted after it) and in which quote each character stands."""
    depth, quote, escaped, before = 0, "", False, ""
    for character in text:
        if quote:
            if character == quote and not escaped:
                quote = ""
            escaped = character == "\\" and not escaped
        elif character in "'\"" and (not before or before in ",:=[({"):  # the one of it's opens nothing
            quote = character
        elif character in _OPENING:
            depth += 1
        elif character in _OPENING.values():
            depth -= 1
        before = before if character.isspace() else character
        yield depth, quote


def _split(text: str) -> list[str]:
    """The parts between commas that stand in no bracket and no quotes."""
    parts, start = [], 0
    for position, (depth, quote) in enumerate(_depths(text)):
        if text[position] == "," and depth == 0 and not quote:
            parts.append(text[start:position])
            start = position + 1
    return [part.strip() for part in [*parts, text[start:]] if part.strip()]
