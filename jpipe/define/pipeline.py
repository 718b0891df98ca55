"""What a pipeline is, and the decorator that declares one."""

from __future__ import annotations

import functools
import inspect
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, overload

from jpipe.define.step import Step, recorder
from jpipe.define.users_line import users_line
from jpipe.errors import UsageError, WiringError
from jpipe.model.display import Displayed

if TYPE_CHECKING:
    from jpipe.define.graph import Graph
    from jpipe.model.plan import Plan

__all__ = ["Pipeline", "pipeline"]

P = ParamSpec("P")
R = TypeVar("R")
_NOT_GIVEN: Any = object()


class Pipeline(Displayed, Generic[P, R]):
    """A function that wires steps.

    Called directly it is the function. `run` computes what it returns, keeping and reusing the steps' results.

    Attributes
    ----------
    function
        The function itself.
    name : str
        Its name.

    Examples
    --------
    >>> from jpipe import step
    >>> @step
    ... def square(n: int) -> int:
    ...     return n * n
    >>> @pipeline
    ... def main(count: int = 3) -> list[int]:
    ...     return [square(n) for n in range(count)]
    >>> main, main(), main.run(count=4, n_jobs=1)
    (<pipeline main>, [0, 1, 4], [0, 1, 4, 9])
    """

    __wrapped__: Callable[P, R]

    def __init__(self, function: Callable[P, R]) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.name: str = getattr(function, "__name__", type(function).__name__)
        self._active = False

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        if recorder.get() is None:
            return self.function(*args, **kwargs)
        if self._active:
            raise WiringError(
                f"pipeline {self.name} calls itself",
                location=users_line(),
                hint="a pipeline has to end; loop in a step",
            )
        self._active = True
        try:
            return self.function(*args, **kwargs)
        finally:
            self._active = False

    def called_by_name(self, parameters: Mapping[str, Any]) -> R:
        """Call it with values by parameter name, also of those that take no name: of ``*rest`` a tuple."""
        bound = self.bound(parameters)
        return self(*bound.args, **bound.kwargs)

    def bound(self, parameters: Mapping[str, Any]) -> inspect.BoundArguments:
        """All its parameters, with their defaults where none are given here."""
        bound = inspect.BoundArguments(self.parameters, OrderedDict(parameters))
        bound.apply_defaults()
        return bound

    @overload
    def run(self, /, *args: P.args, **kwargs: P.kwargs) -> R: ...

    @overload
    def run(self, /, *args: Any, n_jobs: int | None, **kwargs: Any) -> R: ...

    def run(self, /, *args: Any, **kwargs: Any) -> R:
        """Bring everything up to date that the pipeline returns, and return it.

        Parameters
        ----------
        *args, **kwargs
            The pipeline's own parameters.
        n_jobs
            Number of workers as in joblib, where the pipeline has no parameter of that name.

        Raises
        ------
        StepError
            When a step failed; what finished is kept.

        Examples
        --------
        >>> from jpipe import step
        >>> square = step(lambda n: n * n)
        >>> @pipeline
        ... def main(count: int = 3) -> list[int]:
        ...     return [square(n) for n in range(count)]
        >>> main.run(4, n_jobs=1)
        [0, 1, 4, 9]
        """
        own = self.parameters.parameters.values()
        is_own = any(one.name == "n_jobs" or one.kind is one.VAR_KEYWORD for one in own)
        n_jobs = None if is_own else kwargs.pop("n_jobs", None)
        return self._front().run(self, self._parameters(args, kwargs), n_jobs=n_jobs).value  # type: ignore[no-any-return]

    def plan(self, /, *args: P.args, **kwargs: P.kwargs) -> Plan:
        """What `run` would do now, and why.

        Parameters
        ----------
        *args, **kwargs
            The pipeline's own parameters.

        Examples
        --------
        >>> from jpipe import step
        >>> square = step(lambda n: n * n)
        >>> main = pipeline(lambda: square(3))
        >>> main.plan().up_to_date
        False
        """
        return self._front().plan(self, self._parameters(args, kwargs))  # type: ignore[no-any-return]

    def graph(self, /, *args: P.args, **kwargs: P.kwargs) -> Graph:
        """The calls of the pipeline and what each needs.

        Parameters
        ----------
        *args, **kwargs
            The pipeline's own parameters.

        Examples
        --------
        >>> from jpipe import step
        >>> square = step(lambda n: n * n)
        >>> pipeline(lambda: square(square(3))).graph().digraph.number_of_nodes()
        2
        """
        return self._front().graph(self, self._parameters(args, kwargs))  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        return f"<pipeline {self.name}>"

    @functools.cached_property
    def parameters(self) -> inspect.Signature:
        """The pipeline function's signature."""
        return inspect.signature(self.function)

    @property
    def file(self) -> str:
        """The file that defines it."""
        return self.function.__code__.co_filename

    @property
    def line(self) -> int:
        """The line that defines it, from 1."""
        return self.function.__code__.co_firstlineno

    def _parameters(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        try:
            return dict(self.parameters.bind(*args, **kwargs).arguments)
        except TypeError as error:
            raise UsageError(f"{self.name}() {error}", hint=f"its signature is {self.name}{self.parameters}") from None

    @staticmethod
    def _front() -> Any:
        """The package front, whose names load what they need when they are asked for."""
        import jpipe

        return jpipe.api


@overload
def pipeline(function: Callable[P, R], /) -> Pipeline[P, R]: ...
@overload
def pipeline() -> Callable[[Callable[P, R]], Pipeline[P, R]]: ...
def pipeline(function: Any = _NOT_GIVEN, /) -> Any:
    """Mark a function that wires steps.

    Parameters
    ----------
    function
        Calls steps with parameters and with each other's results, and returns what is wanted.

    Returns
    -------
    Pipeline
        Calls like the function; has `run`, `plan` and `graph`.

    Raises
    ------
    UsageError
        When `function` is not a plain function.

    Examples
    --------
    >>> from jpipe import step
    >>> double = step(lambda number: 2 * number)
    >>> @pipeline
    ... def main(count: int = 3) -> list[int]:
    ...     return [double(number) for number in range(count)]
    >>> main(4)
    [0, 2, 4, 6]
    """
    if function is _NOT_GIVEN:
        return pipeline
    if not inspect.isfunction(function):
        is_step = isinstance(function, Step)
        hint = "a function is a step or a pipeline, not both" if is_step else "write it as @pipeline above `def`"
        raise UsageError(f"@pipeline takes a function, not {function!r}", hint=hint)
    return Pipeline(function)
