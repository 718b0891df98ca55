"""W1: many tiny items, each result cached on its own, two workers."""

from __future__ import annotations

from benchmarks.harness import MODULE, PIPELINE, Contender, Phase, Workload

SMALL, FULL, MANY = 2_000, 10_000, 100_000

CONTENDERS = (
    Contender("jpipe", "items/pipeline.py", command=PIPELINE),
    Contender("joblib", "items/joblib_memory.py", ("joblib",)),
    Contender("diskcache + pool", "items/diskcache_pool.py", ("diskcache",)),
    Contender("exca", "items/exca_map.py", ("exca",), MODULE),
    Contender("checkpointer + pool", "items/checkpointer_pool.py", ("checkpointer",)),
    Contender("pipefunc", "items/pipefunc_disk.py", ("pipefunc",)),
    Contender("floor: SQLite, one process", "items/floor_sqlite.py"),
)


def workload(small: bool) -> Workload:
    """10,000 items: first run, nothing changed, ten items new, an unrelated function edited, the function edited."""
    n = SMALL if small else FULL
    whole = {"start": 0, "n": n}
    answer = _squares(0, n)
    return Workload(
        "items",
        f"W1: {n:,} items of `i * i`, each cached on its own, 2 workers",
        "joblib",
        CONTENDERS,
        (
            Phase("first", whole, answer=answer, runs=n + 1),
            Phase("again", whole, answer=answer, runs=0),
            Phase("10 new", {"start": 10, "n": n}, answer=_squares(10, n), runs=11),
            Phase("other edited", whole, ("return 0", "return 1"), answer, 0),
            Phase("edited", whole, ("i * i", "i * i + 1"), answer + n, n + 1),
        ),
    )


def many(small: bool) -> Workload:
    """The no-op run of ten times as many."""
    n = FULL if small else MANY
    whole = {"start": 0, "n": n}
    slow = {"pipefunc"}
    return Workload(
        "many",
        f"W1: {n:,} items, nothing changed",
        "joblib",
        tuple(one for one in CONTENDERS if one.name not in slow),
        (
            Phase("first", whole, answer=_squares(0, n), runs=n + 1),
            Phase("again", whole, answer=_squares(0, n), runs=0),
        ),
        rounds=1,
    )


def _squares(start: int, n: int) -> int:
    return sum(i * i for i in range(start, start + n))
