"""What grows in each chart, and who is measured at each size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.harness import PIPELINE, Contender, Phase

__all__ = ["CURVES", "Curve", "Point"]

IN_IT = 1_000
"""So many items run in a cache that holds others."""


@dataclass(frozen=True, slots=True)
class Point:
    """One size of a chart: who is measured, and in which phases; those without a name in the chart only prepare."""

    size: int
    contenders: tuple[Contender, ...]
    phases: tuple[Phase, ...]


@dataclass(frozen=True, slots=True)
class Curve:
    """One chart.

    Parameters
    ----------
    name
        As ``--only`` takes it.
    title
        What grows.
    phases
        The phases that are shown.
    sizes
        From the smallest to the largest.
    point
        What is measured at a size.
    up_to
        The largest size of a contender whose time would be out of proportion beyond.
    """

    name: str
    title: str
    phases: tuple[str, ...]
    sizes: tuple[int, ...]
    point: Callable[[int], Point]
    up_to: dict[str, int]

    def chosen(self, largest: int | None) -> Sequence[int]:
        """The sizes up to `largest`."""
        return [size for size in self.sizes if largest is None or size <= largest]


JOBLIB = Contender("joblib", "growth/joblib_items.py", ("joblib",))
DISKCACHE = Contender("diskcache + pool", "items/diskcache_pool.py", ("diskcache",), fixed={"start": 0})


def _growing(program: str, *others: Contender) -> Callable[[int], Point]:
    """First run, nothing changed, one more: of a program that takes `n`."""

    def point(n: int) -> Point:
        phases = (
            Phase("first", {"n": n}, answer=_squares(n), runs=n),
            Phase("again", {"n": n}, answer=_squares(n), runs=0),
            Phase("one more", {"n": n + 1}, answer=_squares(n + 1), runs=1),
        )
        return Point(n, (Contender("jpipe", program, command=PIPELINE), *others), phases)

    return point


def _steps(n: int) -> Point:
    """A chain of steps, each a function of its own."""
    return Point(
        n,
        (
            Contender(
                "jpipe", text=_chain("from jpipe import pipeline, step", "@step", "@pipeline", n), command=PIPELINE
            ),
            Contender(
                "joblib",
                text=_chain('from joblib import Memory\nmemory = Memory("results", verbose=0)', "@memory.cache", "", n)
                + "\nprint(f'{{\"answer\": {main()}}}')\n",
                needs=("joblib",),
            ),
        ),
        (
            Phase("first", answer=n, runs=n),
            Phase("again", answer=n, runs=0),
            Phase("last edited", edit=(f"x + {1}  # {n - 1}\n", f"x + {2}  # {n - 1}\n"), answer=n + 1, runs=1),
        ),
    )


def _chain(head: str, step: str, pipeline: str, n: int) -> str:
    steps = [f"\n{step}\ndef step_{k}(x):\n    return x + 1  # {k}\n" for k in range(n)]
    calls = [f"    x = step_{k}(x)\n" for k in range(n)]
    return f"{head}\n{''.join(steps)}\n{pipeline}\ndef main():\n    x = 0\n{''.join(calls)}    return x\n"


def _workers(jobs: int) -> Point:
    """The same items with more workers: on fewer cores than that, what more workers cost."""
    n = 2 * IN_IT
    command = tuple(str(jobs) if word == "2" else word for word in PIPELINE)
    phases = (Phase("first", {"n": n}, answer=_squares(n), runs=n),)
    joblib = Contender("joblib", JOBLIB.program, JOBLIB.needs, fixed={"jobs": jobs})
    return Point(jobs, (Contender("jpipe", "growth/items.py", command=command), joblib), phases)


def _cache(records: int) -> Point:
    """A thousand edited items, in a cache that holds others of the same step."""
    fill = Phase("fill", {"n": records}, answer=_squares(records), runs=records)
    edited = Phase("edited", {"n": IN_IT}, ("i * i", "i * i + 1"), answer=_squares(IN_IT) + IN_IT, runs=IN_IT)
    return Point(records, (Contender("jpipe", "growth/items.py", command=PIPELINE), JOBLIB), (fill, edited))


def _arrays(n: int) -> Point:
    """Two arrays, one made of the other, and their sum."""
    phases = (Phase("first", {"n": n}, runs=3), Phase("again", {"n": n}, runs=0))
    joblib = Contender("joblib, mmap_mode", "growth/joblib_arrays.py", ("joblib",))
    return Point(n, (Contender("jpipe", "growth/arrays.py", command=PIPELINE), joblib), phases)


def _squares(n: int) -> int:
    return sum(i * i for i in range(n))


def _decades(first: int, last: int) -> tuple[int, ...]:
    return tuple(10**power for power in range(first, last + 1))


_GROWING = ("first", "again", "one more")
CURVES = (
    Curve("items", "items of a mapped call", _GROWING, _decades(3, 6), _growing("growth/items.py", JOBLIB, DISKCACHE),
          {"joblib": 10**5}),
    Curve("calls", "plain calls of a step", _GROWING, _decades(1, 4), _growing("growth/calls.py", JOBLIB, DISKCACHE),
          {}),
    Curve("steps", "steps of a chain", ("first", "again", "last edited"), (10, 30, 100, 300, 1000), _steps, {}),
    Curve("workers", f"workers for {2 * IN_IT:,} items", ("first",), (1, 2, 4, 8, 16), _workers, {}),
    Curve("cache", f"records in the cache of a run of {IN_IT:,} items", ("edited",), _decades(3, 6), _cache,
          {"joblib": 10**5}),
    Curve("arrays", "numbers in an array", ("first", "again"), (10**5, 10**6, 10**7, 3 * 10**7), _arrays, {}),
)  # fmt: skip
"""The charts, in the order in which they are made."""
