"""What a step is, and the decorator that declares one.

Every worker and every user's file imports this module, so it stays on the standard library.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import types
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Protocol, Self, TypeVar, cast, overload

from jpipe.errors import UsageError
from jpipe.model.display import Displayed
from jpipe.model.step_options import StepOptions
from jpipe.system.call_listener import unheard_call

if TYPE_CHECKING:
    from typing import Unpack

    from jpipe.model.step_options import StepKeywords

__all__ = ["Step", "recorder", "step"]

P = ParamSpec("P")
Q = ParamSpec("Q")
S = TypeVar("S")
R_co = TypeVar("R_co", covariant=True)


class Recorder(Protocol):
    """Takes the calls of steps in place of the functions: a pipeline being laid out, or `jpipe.cached`."""

    def call(self, step: Step[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Take one call."""

    def map(self, step: Step[..., Any], iterables: tuple[Any, ...], constants: dict[str, Any]) -> Any:
        """Take a mapped call."""


recorder: ContextVar[Recorder | None] = ContextVar("jpipe_recorder", default=None)
"""Who takes calls of steps in this context; None: they are plain calls."""


class Step(Displayed, Generic[P, R_co]):
    """A function whose results are worth keeping.

    Called directly it is the function: no cache, no processes. Called while a pipeline is laid out it returns an
    `Output`, which stands for the result.

    Attributes
    ----------
    function
        The function itself.
    declared : StepOptions
        How it is remembered and run.
    name : str
        What it is called in messages.

    Examples
    --------
    >>> @step
    ... def double(number: int) -> int:
    ...     return 2 * number
    >>> double, double(4)
    (<step double>, 8)
    """

    __wrapped__: Callable[P, R_co]

    def __init__(self, function: Callable[P, R_co], options: StepOptions) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.declared = options
        self.name: str = options.name or getattr(function, "__name__", None) or type(function).__name__

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R_co:
        active = recorder.get()
        if active is None:
            return self.function(*args, **kwargs)
        return cast(R_co, unheard_call(active.call, self, args, kwargs))

    @overload
    def __get__(self, instance: None, owner: type | None = None) -> Self: ...
    @overload
    def __get__(self: Step[Concatenate[S, Q], R_co], instance: S, owner: type | None = None) -> Callable[Q, R_co]: ...
    @overload  # for type checkers that do not solve the one above
    def __get__(self, instance: object, owner: type | None = None) -> Callable[..., R_co]: ...
    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else types.MethodType(self, instance)

    def options(self, **changes: Unpack[StepKeywords]) -> Step[P, R_co]:
        """A copy of this step with other options.

        Parameters
        ----------
        **changes
            Options as `step` takes them; those that are not named stay as they are.

        Raises
        ------
        UsageError
            For an unknown option, or a value that it cannot take.

        Examples
        --------
        >>> double = step(lambda number: 2 * number)
        >>> double.options(name="twice", retries=2)
        <step twice>
        """
        return Step(self.function, self.declared.with_(**changes))

    def __repr__(self) -> str:
        return f"<step {self.name}>"

    def __reduce__(self) -> tuple[Any, ...]:
        module, qualname = self.address
        # A worker has another `__main__`.
        if module != "__main__" and _find(module, qualname) is self:
            return _find, (module, qualname)
        return Step, (self.function, self.declared)

    @property
    def address(self) -> tuple[str, str]:
        """Module and qualified name of the function."""
        function = self.function
        qualname = getattr(function, "__qualname__", None) or type(function).__qualname__
        return getattr(function, "__module__", None) or "", qualname

    @functools.cached_property
    def signature(self) -> inspect.Signature:
        """The function's signature; one that takes anything where there is none to be had."""
        try:
            return inspect.signature(self.function)
        except (ValueError, TypeError):
            anything = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD
            names = ("args", "kwargs")
            return inspect.Signature([inspect.Parameter(n, k) for n, k in zip(names, anything, strict=True)])

    def spread(self, arguments: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """Positional and keyword arguments for the function from its arguments by parameter name."""
        args: list[Any] = []
        kwargs: dict[str, Any] = {}
        for name, kind, _ in self._parameters:
            if name not in arguments:
                continue
            if kind is inspect.Parameter.VAR_POSITIONAL:
                args.extend(arguments[name])
            elif kind is inspect.Parameter.VAR_KEYWORD:
                kwargs.update(arguments[name])
            elif kind is inspect.Parameter.POSITIONAL_ONLY or (
                kind is inspect.Parameter.POSITIONAL_OR_KEYWORD and self._has_rest and not kwargs
            ):
                args.append(arguments[name])
            else:
                kwargs[name] = arguments[name]
        return args, kwargs

    @functools.cached_property
    def _parameters(self) -> tuple[tuple[str, Any, Any], ...]:
        return tuple((p.name, p.kind, p.default) for p in self.signature.parameters.values())

    @functools.cached_property
    def _has_rest(self) -> bool:
        """Whether it takes any number of positional arguments, as a decorator's ``wrapper(*args)`` does."""
        try:
            own = inspect.signature(self.function, follow_wrapped=False).parameters.values()
        except (ValueError, TypeError):
            own = self.signature.parameters.values()
        kinds = {parameter.kind for parameter in (*own, *self.signature.parameters.values())}
        return inspect.Parameter.VAR_POSITIONAL in kinds


def _find(module: str, qualname: str) -> Any:
    try:
        found: Any = importlib.import_module(module)
        for name in qualname.split("."):
            found = getattr(found, name)
    except (ImportError, AttributeError, ValueError):
        return None
    return found


@overload
def step(function: Callable[P, R_co], /) -> Step[P, R_co]: ...
@overload
def step(**options: Unpack[StepKeywords]) -> Callable[[Callable[P, R_co]], Step[P, R_co]]: ...
def step(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Mark a function as a step.

    Use it bare (``@step``), with options (``@step(retries=2)``), or on a function of a library
    (``step(f_regression)``).

    Parameters
    ----------
    function
        The function. A result that cannot be pickled is kept for its run only, with a warning.
    **options
        See `StepOptions`.

    Returns
    -------
    Step
        Calls like the function.

    Raises
    ------
    UsageError
        For an unknown option, or a value that it cannot take.

    Examples
    --------
    >>> @step(retries=2)
    ... def double(number: int) -> int:
    ...     return 2 * number
    >>> double(4)
    8
    """
    checked = StepOptions().with_(**options)

    def mark(target: Callable[..., Any]) -> Step[..., Any]:
        if isinstance(target, Step):
            return Step(target.function, target.declared.with_(**options))
        if isinstance(target, (staticmethod, classmethod)):
            raise UsageError("@step goes below @staticmethod and @classmethod", hint="swap the two decorators")
        if not callable(target):
            raise UsageError(f"step() takes a function, not {target!r}", hint="options have names: @step(retries=2)")
        if isinstance(target, Displayed):  # a pipeline
            raise UsageError(
                f"@step takes a function, not {target!r}", hint="a function is a step or a pipeline, not both"
            )
        marked = Step(target, checked)
        unknown = set(checked.ignore).difference(marked.signature.parameters) if checked.ignore else ()
        if unknown and not any(one.kind is one.VAR_KEYWORD for one in marked.signature.parameters.values()):
            known = f"its parameters are {', '.join(marked.signature.parameters) or 'none'}"
            raise UsageError(f"ignore={min(unknown)!r}: {marked.name}() has no such parameter", hint=known)
        return marked

    return mark if function is None else mark(function)
