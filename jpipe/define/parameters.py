"""Values of a pipeline's parameters from text or files, converted by its annotations."""

from __future__ import annotations

import enum
import inspect
import types
import typing
from collections.abc import Mapping
from typing import Any

from jpipe.define.pipeline import Pipeline
from jpipe.errors import UsageError, did_you_mean

__all__ = ["check", "convert", "given", "parse"]

_NOTHING = inspect.Parameter.empty
_PLAIN = (int, float, str, bool)


def parse(pipeline: Pipeline[..., Any], texts: Mapping[str, str]) -> dict[str, Any]:
    """The values of parameters given as text.

    Parameters
    ----------
    pipeline
        Whose annotations (or else defaults) say what the text means.
    texts
        By parameter name, as written on the command line: ``{"ks": "8,16", "fast": "yes"}``.

    Returns
    -------
    dict
        By parameter name. What equals the default, or an element of it, is the default's own object: a ``1`` that
        meets ``float`` does not become another value than the ``1`` of the default.

    Raises
    ------
    UsageError
        For a parameter that the pipeline does not have, and for text that its annotation refuses.
    """
    from jpipe.define.parameter_text import meanings  # its parsers are not imported where nothing is to be parsed

    return {name: _converted(pipeline, name, text, list(meanings(text))) for name, text in _known(pipeline, texts)}


def convert(pipeline: Pipeline[..., Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of parameters given as values of a file, such as TOML; as `parse` otherwise."""
    return {name: _converted(pipeline, name, value, [value]) for name, value in _known(pipeline, values)}


def given(pipeline: Pipeline[..., Any], values: Mapping[str, Any], texts: Mapping[str, str]) -> dict[str, Any]:
    """The parameters that values and texts give together; a text is stronger."""
    return convert(pipeline, {n: v for n, v in values.items() if n not in texts}) | parse(pipeline, texts)


def check(pipeline: Pipeline[..., Any], parameters: Mapping[str, Any]) -> None:
    """Refuse parameters that the pipeline function would not take.

    Raises
    ------
    UsageError
        Naming the parameter that is unknown or missing.
    """
    for name, parameter in pipeline.parameters.parameters.items():
        open_ended = parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        if name not in dict(_known(pipeline, parameters)) and parameter.default is _NOTHING and not open_ended:
            raise UsageError(
                f"pipeline {pipeline.name} needs the parameter {name!r}",
                hint=f"give it: --set {name}=..., or a default",
            )
    list(_known(pipeline, parameters))


def _known(pipeline: Pipeline[..., Any], given: Mapping[str, Any]) -> list[tuple[str, Any]]:
    known = pipeline.parameters.parameters
    for name in given:
        if name not in known:
            raise UsageError(
                f"pipeline {pipeline.name} has no parameter {name!r}",
                hint=did_you_mean(name, known, f"its parameters are {', '.join(known) or 'none'}"),
            )
    return list(given.items())


def _converted(pipeline: Pipeline[..., Any], name: str, given: Any, candidates: list[Any]) -> Any:
    parameter = pipeline.parameters.parameters[name]
    default = parameter.default
    annotation = _hints(pipeline).get(name, _NOTHING)
    if annotation is _NOTHING:
        annotation = _kind_of(default)
    if parameter.kind is parameter.VAR_POSITIONAL:
        annotation = tuple[annotation, ...]  # type: ignore[valid-type]
    elif parameter.kind is parameter.VAR_KEYWORD:
        annotation = dict[str, annotation]  # type: ignore[valid-type]
    if annotation is str and isinstance(given, str):
        return given
    if _is_of(candidates[0], annotation):
        return _like_default(candidates[0], default, annotation)
    from jpipe.define.parameter_types import complaint, converter, is_exact, spelled

    if is_exact(annotation) and len(candidates) > 1:
        candidates = [
            *candidates[1:],
            candidates[0],
        ]  # its digits as they are written, before what a float keeps of them
    convert, refusals = converter(annotation), []
    for candidate in candidates:
        try:
            return _like_default(convert(candidate), default, annotation)
        except ValueError as error:
            refusals.append(complaint(error))
    raise UsageError(
        f"{name}={given if isinstance(given, str) else repr(given)}: expected {spelled(annotation)}",
        hint=f"pipeline {pipeline.name}: {refusals[0]}",
    )


def _hints(pipeline: Pipeline[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(pipeline.function, include_extras=True)
    except Exception:  # names that are not there, or annotations that raise
        return {n: a for n, a in pipeline.function.__annotations__.items() if not isinstance(a, str)}


def _kind_of(default: Any) -> Any:
    """What a default says of the values that its parameter takes."""
    if isinstance(default, (int, float)) and not isinstance(default, (bool, enum.Enum)):
        return int | float if isinstance(default, int) else float
    if isinstance(default, (list, tuple)) and not hasattr(default, "_fields"):
        element = _kind_of(default[0]) if default else Any
        return list[element] if isinstance(default, list) else tuple[element, ...]  # type: ignore[valid-type]
    return Any if default is None or default is _NOTHING else type(default)


def _is_of(value: Any, annotation: Any) -> bool:
    """Whether a plain value is of the wanted kind already: then nothing waits for a converter to be imported."""
    if annotation in _PLAIN:
        return type(value) is annotation
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return any(_is_of(value, argument) for argument in arguments)
    return origin is list and type(value) is list and all(_is_of(element, arguments[0]) for element in value)


def _like_default(value: Any, default: Any, annotation: Any) -> Any:
    """`value` with the default's own objects where they are equal, so that a call with it is the call that it was."""
    plain = (list, tuple)
    if type(value) in plain and type(default) in plain:
        taken = [next((own for own in default if _is_equal(element, own)), element) for element in value]
        origin = typing.get_origin(annotation) or annotation
        kind = type(value) if origin in plain else type(default)
        is_default = kind is type(default) and len(taken) == len(default) and all(map(_is, taken, default))
        return default if is_default else kind(taken)
    return default if _is_equal(value, default) else value


def _is(one: Any, other: Any) -> bool:
    return one is other


def _is_equal(one: Any, other: Any) -> bool:
    numbers = isinstance(one, (int, float)) and isinstance(other, (int, float))
    if isinstance(one, bool) is not isinstance(other, bool) or not (numbers or type(one) is type(other)):
        return False
    try:
        return (one == other) is True
    except Exception:  # an object of the user's may compare as it likes
        return False
