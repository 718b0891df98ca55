"""W2: a chain of steps, each cached, none of which has anything to do in parallel."""

from __future__ import annotations

from benchmarks.harness import PIPELINE, Contender, Phase, Workload


def workload(small: bool) -> Workload:
    """x + 1, a thousand times: first run, nothing changed."""
    n = 100 if small else 1000
    given = {"n": n}
    return Workload(
        "chain",
        f"W2: a chain of {n:,} steps of `x + 1`",
        "joblib",
        (
            Contender("jpipe", "chain/pipeline.py", command=PIPELINE),
            Contender("joblib", "chain/joblib_memory.py", ("joblib",)),
            Contender("diskcache", "chain/diskcache_memoize.py", ("diskcache",)),
            Contender("exca", "chain/exca_map.py", ("exca",)),
            Contender("checkpointer", "chain/checkpointer_plain.py", ("checkpointer",)),
            Contender("floor: SQLite", "chain/floor_sqlite.py"),
        ),
        (Phase("first", given, answer=n, runs=n), Phase("again", given, answer=n, runs=0)),
    )
