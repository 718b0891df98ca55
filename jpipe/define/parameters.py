"""Turn the text of ``--set name=value`` into parameters of a pipeline, by its annotations."""

from __future__ import annotations

import ast
import enum
import inspect
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jpipe.define.pipeline import Pipeline
from jpipe.errors import UsageError, did_you_mean

__all__ = ["parse"]

_TRUE = {"true", "yes", "on", "1"}
_FALSE = {"false", "no", "off", "0"}


def parse(pipeline: Pipeline[..., Any], texts: Mapping[str, str]) -> dict[str, Any]:
    """The values of parameters given as text.

    Parameters
    ----------
    pipeline
        Whose annotations (or else defaults) say what the text means.
    texts
        By parameter name, as written on the command line: ``{"ks": "8,16", "fast": "yes"}``.

    Raises
    ------
    UsageError
        For a parameter that the pipeline does not have, and for text that its annotation refuses.
    """
    known = pipeline.parameters.parameters
    hints = _hints(pipeline)
    values = {}
    for name, text in texts.items():
        if name not in known:
            raise UsageError(
                f"pipeline {pipeline.name} has no parameter {name!r}",
                hint=did_you_mean(name, known, f"its parameters are {', '.join(known) or 'none'}"),
            )
        annotation = hints.get(name, inspect.Parameter.empty)
        try:
            values[name] = _value(text, annotation, known[name].default)
        except (ValueError, TypeError, SyntaxError, KeyError) as error:
            raise UsageError(
                f"{name}={text!r} is not a {_spelled(annotation)}", hint=f"pipeline {pipeline.name}: {error}"
            ) from None
    return values


def check(pipeline: Pipeline[..., Any], parameters: Mapping[str, Any]) -> None:
    """Refuse parameters that the pipeline function would not take.

    Raises
    ------
    UsageError
        Naming the parameter that is unknown or missing.
    """
    known = pipeline.parameters.parameters
    for name in parameters:
        if name not in known:
            raise UsageError(
                f"pipeline {pipeline.name} has no parameter {name!r}",
                hint=did_you_mean(name, known, f"its parameters are {', '.join(known) or 'none'}"),
            )
    for name, parameter in known.items():
        open_ended = parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        if name not in parameters and parameter.default is inspect.Parameter.empty and not open_ended:
            raise UsageError(
                f"pipeline {pipeline.name} needs the parameter {name!r}",
                hint=f"give it: --set {name}=..., or a default",
            )


def _hints(pipeline: Pipeline[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(pipeline.function)
    except Exception:
        return {n: a for n, a in pipeline.function.__annotations__.items() if not isinstance(a, str)}


def _value(text: str, annotation: Any, default: Any) -> Any:
    if annotation is inspect.Parameter.empty or annotation is Any:
        return _guess(text, default)
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _value(text, arguments[0], default)
    if origin in (typing.Union, types.UnionType):
        return _first_that_fits(text, arguments)
    if origin is typing.Literal:
        return _literal(text, arguments)
    if origin in (list, set, frozenset, Sequence, typing.Sequence) or annotation in (list, set, frozenset):
        kind = (
            origin
            if isinstance(origin, type) and origin in (list, set, frozenset)
            else annotation
            if annotation in (list, set, frozenset)
            else list
        )
        return kind(_value(part, arguments[0] if arguments else Any, None) for part in _split(text))
    if origin is tuple or annotation is tuple:
        return _tuple(text, arguments)
    if origin is dict or annotation is dict:
        value = ast.literal_eval(text)
        if not isinstance(value, dict):
            raise ValueError(f"{text!r} is not a dict")
        return value
    return _scalar(text, annotation)


def _scalar(text: str, kind: Any) -> Any:
    if kind is bool:
        if text.lower() in _TRUE | _FALSE:
            return text.lower() in _TRUE
        raise ValueError("write true or false")
    if kind is None or kind is type(None):
        if text.lower() in ("none", "null", ""):
            return None
        raise ValueError("write none")
    if kind in (str, int, float, complex, Path):
        return kind(text)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return kind[text] if text in kind.__members__ else kind(_guess(text, None))
    if isinstance(kind, type) and callable(getattr(kind, "__fspath__", None)):
        return kind(text)
    return ast.literal_eval(text)


def _tuple(text: str, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    parts = _split(text)
    if not arguments:
        return tuple(_guess(part, None) for part in parts)
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return tuple(_value(part, arguments[0], None) for part in parts)
    if len(parts) != len(arguments):
        raise ValueError(f"it takes {len(arguments)} values, not {len(parts)}")
    return tuple(_value(part, kind, None) for part, kind in zip(parts, arguments, strict=True))


def _split(text: str) -> list[str]:
    text = text.strip()
    if text[:1] + text[-1:] in ("[]", "()", "{}"):
        text = text[1:-1]
    return [part.strip().strip("'\"") for part in text.split(",") if part.strip()]


def _first_that_fits(text: str, kinds: tuple[Any, ...]) -> Any:
    # None first, text last: everything is text, and "none" would be too.
    ordered = sorted(kinds, key=lambda kind: (kind is str, kind is not type(None)))
    for kind in ordered:
        try:
            return _value(text, kind, None)
        except (ValueError, TypeError, SyntaxError, KeyError):
            continue
    raise ValueError(f"{text!r} is none of {', '.join(map(_spelled, kinds))}")


def _literal(text: str, choices: tuple[Any, ...]) -> Any:
    for choice in choices:
        if str(choice) == text:
            return choice
    raise ValueError(f"choose from {', '.join(map(str, choices))}")


def _guess(text: str, default: Any) -> Any:
    if isinstance(default, bool):
        return _scalar(text, bool)
    if isinstance(default, (int, float, str)) and not isinstance(default, bool):
        try:
            return type(default)(text)
        except ValueError:
            if isinstance(default, int):
                return float(text)
            raise
    if isinstance(default, (tuple, list)):
        element = type(default[0]) if default else Any
        return type(default)(_value(part, element, None) for part in _split(text))
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _spelled(annotation: Any) -> str:
    if annotation is inspect.Parameter.empty:
        return "value for this parameter"
    return (
        annotation.__name__
        if isinstance(annotation, type) and not typing.get_args(annotation)
        else str(annotation).replace("typing.", "")
    )
