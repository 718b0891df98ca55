"""What an annotation takes: a converter for the values that were given, and how it is spelt where one is refused."""

from __future__ import annotations

import collections.abc
import dataclasses
import datetime
import decimal
import enum
import fractions
import os
import sys
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from jpipe.errors import UsageError, did_you_mean
from jpipe.model.step_options import parse_duration

__all__ = ["complaint", "converter", "spelled"]

_MOST_MEMBERS = 8
_MEMBERS_OF_UNIONS = {
    "int",
    "float",
    "str",
    "bool",
    "bytes",
    "complex",
    "none",
    "date",
    "datetime",
    "time",
    "timedelta",
}


def converter(annotation: Any) -> Callable[[Any], Any]:
    """What makes a value of an annotation's type from one that was given, raising ValueError where it does not fit.

    Raises
    ------
    UsageError
        When no value of that type can be given as text.
    """
    if annotation in (Any, object):
        return lambda value: value
    import pydantic  # only commands that are given parameters wait for it

    prepared = _prepared(annotation)
    try:
        try:
            adapter = pydantic.TypeAdapter(prepared, config={"arbitrary_types_allowed": True})
        except pydantic.PydanticUserError:  # a type that has its own configuration
            adapter = pydantic.TypeAdapter(prepared)
    except pydantic.PydanticUserError as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"a parameter of type {spelled(annotation)} cannot be given here", hint=reason) from None
    return adapter.validate_python


def complaint(error: ValueError) -> str:
    """The first complaint of a converter, with the place that it is about."""
    errors = getattr(error, "errors", None)
    if errors is None:
        return str(error)
    first = errors(include_url=False)[0]
    place = "".join(f"[{key!r}]" for key in first["loc"] if isinstance(key, int) or _is_key(key))
    return f"{place} {first['msg'].removeprefix('Value error, ')}".strip()


def _is_key(part: str) -> bool:
    """Whether a part of an error's place is the key of a dict, and not the name of a member of a union."""
    return part.isidentifier() and part not in _MEMBERS_OF_UNIONS


def spelled(annotation: Any) -> str:
    """An annotation as it is written, with the members of an enum and the fields of a dataclass."""
    if annotation in (None, type(None), Ellipsis):
        return "..." if annotation is Ellipsis else "None"
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return spelled(arguments[0])
    if origin in (typing.Union, types.UnionType):
        return " | ".join(map(spelled, arguments))
    if origin is not None and origin not in (typing.Literal, collections.abc.Callable):
        name = getattr(annotation, "__name__", "") or getattr(origin, "__name__", str(origin))
        return f"{name}[{', '.join(map(spelled, arguments))}]"
    if not isinstance(annotation, type):
        return str(annotation).replace("typing.", "")
    if issubclass(annotation, enum.Enum):
        names = list(annotation.__members__)
        more = ", …" if len(names) > _MOST_MEMBERS else ""
        return f"{annotation.__name__} ({', '.join(names[:_MOST_MEMBERS])}{more})"
    fields = _fields_of(annotation)
    if fields is None:
        return annotation.__name__
    return f"{annotation.__name__} {{{', '.join(f'{name}: {_short(kind)}' for name, kind in fields.kinds.items())}}}"


def _short(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) else spelled(annotation)


def _prepared(annotation: Any) -> Any:
    """The annotation with everything in it taken from text that pydantic would refuse, guess or pass over."""
    annotation = _resolved(annotation)
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Literal, collections.abc.Callable):
        return annotation
    if origin is collections.abc.Iterable:  # of which a converter would make an iterator, which can be read only once
        return _prepared(list[arguments])  # type: ignore[valid-type]
    if annotation is os.PathLike or origin is os.PathLike:
        return Path
    numpy = sys.modules.get("numpy")
    if numpy is not None and _is_array(annotation, numpy):
        kind = typing.get_args(arguments[1]) if arguments else ()
        return _after(numpy.ndarray, lambda value: _as_array(value, kind, numpy))
    if arguments:
        prepared = tuple(_prepared(argument) for argument in arguments)
        if origin is typing.Annotated:
            return typing.Annotated[(prepared[0], *arguments[1:])]
        return annotation if prepared == arguments else _rebuilt(annotation, prepared)
    if not (isinstance(annotation, type) or typing.is_typeddict(annotation)):
        return annotation
    fields = _fields_of(annotation)
    if fields is not None:
        from pydantic import PlainValidator

        return typing.Annotated[Any, PlainValidator(lambda value: _from_fields(value, annotation, fields))]
    if numpy is not None and issubclass(annotation, (numpy.generic, numpy.dtype)):
        return _after(annotation, lambda value: _as_scalar(value, annotation))
    prepare = _preparation(annotation)
    return annotation if prepare is None else _after(annotation, prepare)


def _resolved(annotation: Any) -> Any:
    """What a ``type`` statement names, as `numpy.typing.NDArray` does from Python 3.12 on."""
    alias = getattr(typing, "TypeAliasType", ())
    origin = typing.get_origin(annotation)
    if isinstance(annotation, alias):
        return _resolved(annotation.__value__)
    return _resolved(origin.__value__[typing.get_args(annotation)]) if isinstance(origin, alias) else annotation


def _after(annotation: Any, prepare: Callable[[Any], Any]) -> Any:
    from pydantic import BeforeValidator

    return typing.Annotated[annotation, BeforeValidator(prepare)]


def _preparation(kind: Any) -> Callable[[Any], Any] | None:
    """What is done to a value before pydantic sees whether it is of this class, or None."""
    if issubclass(kind, enum.Enum):
        members: Mapping[str, Any] = kind.__members__
        return lambda value: members.get(value.removeprefix(f"{kind.__name__}."), value) if _is_text(value) else value
    if callable(getattr(kind, "__fspath__", None)) and not issubclass(kind, Path):
        return lambda value: kind(value) if _is_text(value) else value
    if kind in (int, float, complex):
        return _no_truth
    if kind in _EXACT:
        return lambda value: repr(value) if isinstance(value, float) else _no_truth(value)
    if kind in (datetime.date, datetime.datetime, datetime.time):
        return lambda value: _from_iso(kind, value)
    if kind is datetime.timedelta:
        return lambda value: _from_units(value) if _is_text(value) else value
    if issubclass(kind, (datetime.date, datetime.timedelta)):  # those of pandas
        return lambda value: kind(value) if _is_text(value) else value
    return None


_EXACT = (decimal.Decimal, fractions.Fraction)


def is_exact(annotation: Any) -> bool:
    """Whether an annotation asks for numbers that keep every digit."""
    return annotation in _EXACT or any(map(is_exact, typing.get_args(annotation)))


def _from_units(text: str) -> Any:
    """A time span as `expires` of a step takes it, such as ``90m`` or ``3h``; other forms are left as they are."""
    try:
        return datetime.timedelta(seconds=parse_duration(text))
    except UsageError:
        return text


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _no_truth(value: Any) -> Any:
    """True and false, which converters take for 1 and 0, are not numbers."""
    if isinstance(value, bool):
        raise ValueError("true and false are not numbers")
    return value


def _from_iso(kind: Any, value: Any) -> Any:
    """A date as ISO writes it; a number, which converters take for seconds since 1970, is no date."""
    if isinstance(value, (int, float)):
        raise ValueError("a number is not a date or time")
    if not isinstance(value, str):
        return value
    try:
        return kind.fromisoformat(value)
    except ValueError:
        if value.replace(".", "", 1).isdigit():
            raise ValueError("a number is not a date or time") from None
        return value


def _is_array(annotation: Any, numpy: Any) -> bool:
    """Whether an annotation means arrays: ``ndarray``, or ``NDArray[float64]``."""
    origin = typing.get_origin(annotation) or annotation
    return isinstance(origin, type) and issubclass(origin, numpy.ndarray)


def _as_array(value: Any, kind: tuple[Any, ...], numpy: Any) -> Any:
    """An array of numbers from lists of them."""
    if not isinstance(value, (list, tuple)):
        return value
    array = numpy.asarray(value)  # lists of unequal lengths are a ValueError
    if array.dtype.kind not in "biufc":
        raise ValueError("Input should be a list of numbers")
    wanted = kind[0] if kind and isinstance(kind[0], type) else None
    return array if wanted is None else array.astype(wanted)


def _as_scalar(value: Any, kind: Any) -> Any:
    """A scalar of numpy's from a number or text, none that is another number than was given."""
    if isinstance(value, (kind, list, tuple, dict)):
        return value
    try:
        made = kind(value)
    except (OverflowError, TypeError) as error:
        raise ValueError(str(error)) from None
    if isinstance(value, (int, float)) and made != value and value == value and abs(made - value) > 1e-3 * abs(value):
        raise ValueError(f"{kind.__name__} cannot hold it")
    return made


class _Fields(NamedTuple):
    """The fields that a class is made of: what each is to be, and which must be given."""

    kinds: dict[str, Any]
    required: frozenset[str]


def _fields_of(kind: Any) -> _Fields | None:
    """The fields of a dataclass, an attrs class, a NamedTuple or a TypedDict; None for anything else."""
    if not isinstance(kind, type) or hasattr(kind, "__pydantic_validator__"):
        return None
    if typing.is_typeddict(kind):
        return _fields_of_table(kind)
    names: list[str]
    if dataclasses.is_dataclass(kind):
        fields = [one for one in dataclasses.fields(kind) if one.init]
        missing = dataclasses.MISSING
        names = [one.name for one in fields]
        required = frozenset(o.name for o in fields if o.default is missing and o.default_factory is missing)
    elif issubclass(kind, tuple) and hasattr(kind, "_fields"):
        names = list(kind._fields)
        required = frozenset(names).difference(getattr(kind, "_field_defaults", ()))
    elif hasattr(kind, "__attrs_attrs__"):
        taken = [one for one in kind.__attrs_attrs__ if one.init]
        names = [one.alias for one in taken]
        nothing = sys.modules["attr"].NOTHING
        required = frozenset(one.alias for one in taken if one.default is nothing)
    else:
        return None
    hints = _hints_of(kind)
    return _Fields({name: hints.get(name, Any) for name in names}, frozenset(required))


def _fields_of_table(kind: Any) -> _Fields:
    """The keys of a TypedDict. Which are required it knows itself, unless its annotations were texts."""
    kinds, required = {}, set()
    for name, hint in _hints_of(kind).items():
        wrapper = typing.get_origin(hint)
        is_marked = wrapper in (typing.Required, typing.NotRequired)
        kinds[name] = typing.get_args(hint)[0] if is_marked else hint
        if wrapper is typing.Required or (not is_marked and name in kind.__required_keys__):
            required.add(name)
    return _Fields(kinds, frozenset(required))


def _hints_of(kind: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(kind, include_extras=True)
    except Exception:  # names that are not there, or annotations that raise
        return {}


def _from_fields(value: Any, kind: Any, fields: _Fields) -> Any:
    """An instance of `kind` from a table of its fields, or from a list of them where it is a tuple."""
    is_table = typing.is_typeddict(kind)
    if not is_table and isinstance(value, kind):
        return value
    if not is_table and issubclass(kind, tuple) and isinstance(value, (list, tuple)):
        if len(value) > len(fields.kinds):
            raise ValueError(f"{kind.__name__} has {len(fields.kinds)} fields, not {len(value)}")
        value = dict(zip(fields.kinds, value, strict=False))
    if not isinstance(value, Mapping):
        raise ValueError(f"write its fields: {{{', '.join(f'{name} = …' for name in fields.kinds)}}}")
    unknown = [name for name in value if name not in fields.kinds]
    if unknown:
        known = f"its fields are {', '.join(fields.kinds)}"
        raise ValueError(
            f"{kind.__name__} has no field {unknown[0]!r}; {did_you_mean(str(unknown[0]), fields.kinds, known)}"
        )
    missing = [name for name in fields.kinds if name in fields.required and name not in value]
    if missing:
        raise ValueError(f"the field {missing[0]!r} is missing")
    made = {}
    for name, given in value.items():
        try:
            made[name] = converter(fields.kinds[name])(given)
        except ValueError as error:
            raise ValueError(f"{name}: {complaint(error)}") from None
    try:
        return made if is_table else kind(**made)
    except TypeError as error:
        raise ValueError(str(error)) from None


def _rebuilt(annotation: Any, arguments: tuple[Any, ...]) -> Any:
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType):
        return typing.Union[arguments]  # noqa: UP007 - as many as there are
    generic: Any = origin
    return generic[arguments if len(arguments) > 1 else arguments[0]]
