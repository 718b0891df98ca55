"""For tests of pipelines: what differs between two results, what is out of date, and a cache for each test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jpipe.define.pipeline import Pipeline

__all__ = ["assert_same", "assert_up_to_date"]

# pytest imports this package at every start, for its plugin: what only the assertions need is imported in them.

_SHOWN = 20


def assert_same(old: Any, new: Any, *, tolerance: float = 0.0, absolute: float = 0.0) -> None:
    """Fail with what differs between two values, as ``jpipe diff`` tells it.

    Parameters
    ----------
    old, new
        Any values: numbers, arrays, tables, containers, figures, instances. NaN is the same as NaN.
    tolerance, absolute
        How far apart numbers may be: as a share of the larger of both, and as a difference.

    Raises
    ------
    AssertionError
        When they differ.

    Examples
    --------
    >>> assert_same({"loss": 0.5}, {"loss": 0.5000001}, tolerance=1e-6)
    >>> assert_same({"loss": 0.5}, {"loss": 0.6})
    Traceback (most recent call last):
        ...
    AssertionError: 1 difference:
      ['loss']: 0.5 → 0.6 (+0.1, +20 %)
    """
    __tracebackhide__ = True  # pytest shows the line of the test
    from jpipe.compare.model import Tolerance
    from jpipe.compare.values import differences

    found = differences(old, new, Tolerance(tolerance, absolute))
    if found:
        lines = [f"  {change}" + "".join(f"\n    {text}" for text in change.diff.splitlines()) for change in found]
        more = [f"  and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
        count = "1 difference" if len(found) == 1 else f"{len(found)} differences"
        raise AssertionError("\n".join([f"{count}:", *lines[:_SHOWN], *more]))


def assert_up_to_date(
    pipeline: Pipeline[..., Any] | str | Path,
    parameters: Mapping[str, Any] | None = None,
    *,
    targets: Sequence[str] = (),
    cache_dir: str | Path | None = None,
) -> None:
    """Fail with what would run, and why, where a pipeline's results are not those of its code and inputs.

    Nothing runs, and no result is written.

    Parameters
    ----------
    pipeline
        A `@pipeline` function, or its file: ``"study.py"``, ``"study.py:main"``.
    parameters
        Its parameters, by name.
    targets
        Only these steps and what they need, in the words of the command line. Default: everything.
    cache_dir
        The cache. Default: what the settings say, else ``cache`` in the project of the pipeline's file.

    Raises
    ------
    AssertionError
        When something would run that is kept: steps with ``cache=False`` may.

    Examples
    --------
    >>> import jpipe
    >>> square = jpipe.step(name="square")(lambda n: n * n)
    >>> main = jpipe.pipeline(lambda n=3: square(n))
    >>> main.run(n_jobs=1)
    9
    >>> assert_up_to_date(main)
    >>> assert_up_to_date(main, {"n": 4})
    Traceback (most recent call last):
    AssertionError: ...1 will run...
        parameter n changed: 3 → 4...
    """
    __tracebackhide__ = True
    from jpipe import api
    from jpipe.define.loader import load
    from jpipe.render.plan_text import why_lines
    from jpipe.render.printed_commands import Commands

    if isinstance(pipeline, (str, Path)):
        file, _, name = str(pipeline).rpartition(".py:")
        pipeline = load(f"{file}.py" if file else str(pipeline), name if file else None)
    plan = api.plan(pipeline, parameters, targets=targets, cache_dir=cache_dir)
    if not plan.is_settled:
        lines = ("".join(text for text, _ in line) for line in why_lines(plan, 1, Commands()))
        raise AssertionError("\n".join(lines))
