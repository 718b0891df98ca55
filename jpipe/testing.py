"""For tests of pipelines: `assert_same`, which says what differs between two results."""

from __future__ import annotations

from typing import Any

from jpipe.compare.model import Tolerance
from jpipe.compare.values import differences

__all__ = ["assert_same"]

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
    found = differences(old, new, Tolerance(tolerance, absolute))
    if found:
        lines = [f"  {change}" + "".join(f"\n    {text}" for text in change.diff.splitlines()) for change in found]
        more = [f"  and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
        count = "1 difference" if len(found) == 1 else f"{len(found)} differences"
        raise AssertionError("\n".join([f"{count}:", *lines[:_SHOWN], *more]))
