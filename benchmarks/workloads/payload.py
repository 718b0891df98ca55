"""W4: one large argument of many short calls; nothing is cached."""

from __future__ import annotations

from benchmarks.harness import Contender, Phase, Workload


def workload(small: bool) -> Workload:
    """1,000 calls that look at one row of a 200 MB table."""
    rows = 25 if small else 500
    return Workload(
        "payload",
        f"W4: {rows * 0.4:.0f} MB given to each of 1,000 short calls, 2 workers, no cache",
        "joblib",
        (
            Contender("jpipe.map", "payload/jpipe_map.py"),
            Contender("joblib", "payload/joblib_parallel.py", ("joblib",)),
            Contender("joblib + tqdm", "payload/joblib_with_bar.py", ("joblib",)),
            Contender("ProcessPool, chunks of 250", "payload/pool_chunks.py"),
            Contender("one process", "payload/serial.py"),
            Contender("floor: fork", "payload/floor_fork.py"),
        ),
        (Phase("time", {"rows": rows}, answer=50_000_000.0),),
    )
