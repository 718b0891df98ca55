"""Lay a pipeline out: run its function once, and write down which steps it calls with what.

While a `Layout` is active, a step that is called returns an `Output` instead of running. The calls come out in an
order in which each needs only earlier ones, because an `Output` exists only once its call was written down.
"""

from __future__ import annotations

import copy
import typing
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, NoReturn, Self

from jpipe.define.array_snapshots import Snapshots, is_array
from jpipe.define.large_values import LARGE, LargeValues, asked_once
from jpipe.define.step import Step, recorder
from jpipe.define.users_line import users_line
from jpipe.errors import Location, WiringError, nearest

__all__ = ["Call", "Layout", "Output", "call_sites", "contains_output", "expected_items", "needs_of", "replace_outputs"]

_CONTAINERS = (list, tuple, dict)


@dataclass(slots=True, eq=False, repr=False)
class Call:
    """One use of a step in a pipeline.

    Attributes
    ----------
    number
        Position among the calls of the layout; every call that it needs has a lower one.
    step
        The step.
    arguments
        By parameter name; `Output` objects stand for results of other calls. For a mapped call, the parameters named
        in `over` hold what is mapped over: a list, or one `Output`.
    over
        Names of the parameters that take one element each; empty for a plain call.
    location
        The user's line.
    needs
        Numbers of the calls whose results it takes, ascending.
    is_mapped
        Whether it stands for one item for each element of a list.
    """

    number: int
    step: Step[..., Any]
    arguments: dict[str, Any]
    over: tuple[str, ...]
    location: Location
    needs: tuple[int, ...]
    wants_parts: bool = False
    is_mapped: bool = field(init=False)

    def __post_init__(self) -> None:
        self.is_mapped = bool(self.over)


class Output:
    """Stands for the result of a call while a pipeline is laid out.

    It can be passed to steps, put into lists, tuples and dicts, indexed, and unpacked where the step's annotation says
    how many parts there are. Nothing else: the value does not exist yet.

    Examples
    --------
    >>> from jpipe import pipeline, step
    >>> halves = step(name="halves")(lambda data: (data[::2], data[1::2]))
    >>> pipeline(lambda: print(repr(halves([1, 2, 3])[1]))).run(n_jobs=1)
    <output of halves(...)[1]>
    """

    __slots__ = ("call", "layout", "path")

    def __init__(self, layout: Layout, call: Call, path: tuple[Any, ...] = ()) -> None:
        self.layout = layout
        self.call = call
        self.path = path

    def __getitem__(self, key: Any) -> Output:
        if isinstance(key, (int, str, bytes, float, bool)) or key is None:
            self.call.wants_parts = True
            return Output(self.layout, self.call, (*self.path, key))
        if isinstance(key, Output):
            _refuse(self, "indexed with another result", "do it in a step")
        return _refuse(self, f"indexed with {key!r}", "index with a number or a key, or take the part in a step")

    def __iter__(self) -> Iterator[Output]:
        count = None if self.path or self.call.is_mapped else parts_of(self.call.step)
        if count is None:
            name = self.call.step.name
            _refuse(
                self,
                "iterated over",
                f"annotate what {name}() returns (-> tuple[A, B]) to unpack it, or use jpipe.map over its items",
            )
        return iter([self[index] for index in range(count)])

    def __repr__(self) -> str:
        return f"<output of {describe(self)}>"

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        _refuse(self, f"asked for .{name}", "move the expression into a step")

    def __call__(self, *args: Any, **kwargs: Any) -> NoReturn:
        _refuse(self, "called", "call it in a step")

    def __bool__(self) -> NoReturn:
        _refuse(self, "used as a condition", "decide in a step, or on a parameter of the pipeline")

    def __len__(self) -> NoReturn:
        _refuse(self, "asked for its length", "take the length in a step, or use jpipe.map over its items")

    def __str__(self) -> NoReturn:
        _refuse(self, "turned into text", "build the text in a step, or look at the result once it ran")

    def __format__(self, spec: str) -> NoReturn:
        _refuse(self, "put into a text", "build the text in a step")

    def __contains__(self, item: Any) -> NoReturn:
        _refuse(self, "searched with `in`", "search in a step")

    def __reduce__(self) -> NoReturn:
        _refuse(self, "pickled", "pass it to a step")

    __hash__ = object.__hash__


_CAPTURED = (Output, list, tuple, dict, set, bytearray)


def _is_captured(kind: type) -> bool:
    """Whether values of this type may hold results, or may be changed after they were passed to a step."""
    return issubclass(kind, _CAPTURED) or is_array(kind)


def _forbid(symbol: str) -> Callable[..., NoReturn]:
    def refused(self: Output, *others: Any) -> NoReturn:
        _refuse(self, f"used with `{symbol}`", "compute it in a step")

    return refused


_OPERATORS = {
    "add": "+", "sub": "-", "mul": "*", "matmul": "@", "truediv": "/", "floordiv": "//", "mod": "%", "divmod": "divmod",
    "pow": "**", "lshift": "<<", "rshift": ">>", "and": "&", "xor": "^", "or": "|",
}  # fmt: skip
for _name, _symbol in _OPERATORS.items():
    for _form in (_name, "r" + _name, "i" + _name):
        setattr(Output, f"__{_form}__", _forbid(_symbol))
for _name, _symbol in {
    "eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "neg": "-", "pos": "+", "invert": "~",
    "abs": "abs()", "int": "int()", "float": "float()", "complex": "complex()", "index": "an index", "round": "round()",
    "array": "numpy", "fspath": "a path", "enter": "with", "await": "await", "bytes": "bytes()", "setitem": "[...] =",
    "delitem": "del [...]",
}.items():  # fmt: skip
    setattr(Output, f"__{_name}__", _forbid(_symbol))


@dataclass(eq=False, repr=False)
class Layout:
    """The calls of a pipeline, as they are written down.

    Attributes
    ----------
    calls
        In the order of the program.
    """

    calls: list[Call] = field(default_factory=list)
    _snapshots: Snapshots = field(default_factory=Snapshots, repr=False)
    _large: LargeValues = field(default_factory=LargeValues, repr=False)

    def __enter__(self) -> Self:
        self._token = recorder.set(self)
        return self

    def __exit__(self, *exception: object) -> None:
        recorder.reset(self._token)
        self._large.close()

    def call(self, step: Step[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Output:
        """Write a plain call down.

        Raises
        ------
        WiringError
            When the arguments do not fit the step's signature.
        """
        location = users_line()
        return self._add(step, _bind(step, args, kwargs, location), (), location)

    def map(self, step: Step[..., Any], iterables: tuple[Any, ...], constants: dict[str, Any]) -> Output:
        """Write a mapped call down: `step` over the elements of `iterables`, the shortest wins.

        Raises
        ------
        WiringError
            When something is not iterable, or the arguments do not fit the step's signature.
        """
        location = users_line()
        if not iterables:
            raise WiringError(f"jpipe.map({step.name}) has nothing to map over", location=location)
        over = [_listed(step, iterable, location) for iterable in iterables]
        bound = _bind(step, tuple(_Element(index) for index in range(len(over))), constants, location)
        names = _element_names(step, bound, location)
        for name, index in names.items():
            bound[name] = over[index]
        return self._add(step, bound, tuple(names), location)

    def _add(
        self, step: Step[..., Any], arguments: dict[str, Any], over: tuple[str, ...], location: Location
    ) -> Output:
        needs: set[int] = set()
        for name, value in arguments.items():
            if _is_captured(type(value)):
                arguments[name] = self._captured(value, needs, location)
        call = Call(len(self.calls), step, arguments, over, location, tuple(sorted(needs)))
        for name in over:
            source = arguments[name]
            if type(source) is Output:
                source.call.wants_parts = True
        self.calls.append(call)
        return Output(self, call)

    def _captured(self, value: Any, needs: set[int], location: Location) -> Any:
        """A copy of what can be changed, so that later changes by the pipeline function do not count."""
        if type(value) in _CONTAINERS and len(value) >= LARGE:
            found = self._large.captured(value, lambda: self._copied(value, needs, location))
            needs.update(output.call.number for output in needs_of(found))
            return found
        return self._copied(value, needs, location)

    def _copied(self, value: Any, needs: set[int], location: Location) -> Any:
        kind = type(value)
        if kind is Output:
            if value.layout is not self:
                raise WiringError(f"{describe(value)} belongs to another run of a pipeline", location=location)
            needs.add(value.call.number)
            return value
        if issubclass(kind, dict):
            found: Any = {} if kind is dict else copy.copy(value)
            for key, item in value.items():
                found[key] = self._captured(item, needs, location)
            return found
        if kind in (list, tuple):
            if any(map(_is_captured, set(map(type, value)))):
                return kind(self._captured(item, needs, location) for item in value)
            return list(value) if kind is list else value
        if is_array(kind):
            return self._snapshots.of(value)
        return copy.copy(value) if issubclass(kind, (list, set, bytearray)) else value


class _Element(NamedTuple):
    """Stands for one element of the `position`-th iterable while arguments are bound."""

    position: int


def _bind(step: Step[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], location: Location) -> dict[str, Any]:
    try:
        return dict(step.signature.bind(*args, **kwargs).arguments)
    except TypeError as error:
        raise WiringError(f"{step.name}() {error}", location=location, hint=_near_parameter(step, kwargs)) from None


def _near_parameter(step: Step[..., Any], kwargs: dict[str, Any]) -> str | None:
    known = list(step.signature.parameters)
    for name in kwargs:
        if name not in known:
            near = nearest(name, known)
            return f"did you mean {near}?" if near else f"its parameters are {', '.join(known) or 'none'}"
    return f"its signature is {step.name}{step.signature}"


def _element_names(step: Step[..., Any], bound: dict[str, Any], location: Location) -> dict[str, int]:
    names = {name: value.position for name, value in bound.items() if type(value) is _Element}
    if any(type(value) is tuple and any(type(v) is _Element for v in value) for value in bound.values()):
        raise WiringError(
            f"jpipe.map({step.name}): {step.name}() takes these elements through its *args",
            location=location,
            hint="map a step with named parameters",
        )
    return names


def _listed(step: Step[..., Any], iterable: Any, location: Location) -> Any:
    if type(iterable) is Output:
        return iterable
    if not isinstance(iterable, Iterable):
        raise WiringError(
            f"jpipe.map({step.name}) over {type(iterable).__name__}, which is not iterable",
            location=location,
            hint="pass what is the same for all items by name: jpipe.map(f, items, table=table)",
        )
    # A range tells its elements, however many there are.
    return iterable if type(iterable) is range else list(iterable)


def call_sites(calls: Iterable[Call]) -> int:
    """How many calls a reader of the pipeline counts: one for each line that calls a step, in a loop too."""
    return len({(call.step.name, call.location) for call in calls})


def expected_items(call: Call) -> int:
    """How many items a call has, as far as the layout tells; 1 for a mapped call over a list that is computed."""
    known = []
    for name in call.over:
        source = call.arguments[name]
        if type(source) is not Output:
            known.append(len(source))
        elif source.call.is_mapped and not source.path:
            known.append(expected_items(source.call))
    return min(known, default=1)


def parts_of(step: Step[..., Any]) -> int | None:
    """How many parts the step's return annotation says the result has, or None."""
    annotation = _return_annotation(step)
    if typing.get_origin(annotation) is tuple:
        arguments = typing.get_args(annotation)
        return None if Ellipsis in arguments else 0 if arguments == ((),) else len(arguments)
    named = getattr(annotation, "_fields", None)
    if isinstance(named, tuple):
        return len(named)
    return None


def _return_annotation(step: Step[..., Any]) -> Any:
    function = step.function
    raw = getattr(function, "__annotations__", {}).get("return")
    try:
        for _ in range(2):  # a quoted annotation in a file whose annotations are all strings is one within one
            if isinstance(raw, str):
                raw = eval(raw, getattr(function, "__globals__", {}), {"tuple": tuple})
    except Exception:
        return None
    return raw


def describe(output: Output) -> str:
    """An output as the user would write it: ``digits(...)[0]``."""
    return f"{output.call.step.name}(...)" + "".join(f"[{key!r}]" for key in output.path)


def _refuse(output: Output, what: str, hint: str) -> NoReturn:
    raise WiringError(
        f"{describe(output)} is {what}, but it is not computed yet while the pipeline is laid out",
        location=users_line(),
        hint=hint,
    )


def contains_output(value: Any) -> bool:
    """Whether a captured argument holds an `Output` somewhere in its lists, tuples and dicts."""
    kind = type(value)
    return asked_once(value, _contains_output) if kind in _CONTAINERS else kind is Output


def _contains_output(value: Any) -> bool:
    parts = value.values() if type(value) is dict else value
    kinds = set(map(type, parts))
    return Output in kinds or (not kinds.isdisjoint(_CONTAINERS) and any(map(contains_output, parts)))


def replace_outputs(value: Any, replacement: Callable[[Output], Any]) -> Any:
    """`value` with each `Output` in its lists, tuples and dicts replaced; what holds none is returned as it is."""
    kind = type(value)
    if kind is Output:
        return replacement(value)
    if kind not in _CONTAINERS or not contains_output(value):
        return value
    if kind is dict:
        return {key: replace_outputs(item, replacement) for key, item in value.items()}
    return kind(replace_outputs(item, replacement) for item in value)


def needs_of(value: Any) -> Iterator[Output]:
    """The `Output` objects in a captured argument: in its lists, tuples and dicts."""
    if type(value) is Output:
        yield value
    elif contains_output(value):
        for item in value.values() if type(value) is dict else value:
            yield from needs_of(item)
