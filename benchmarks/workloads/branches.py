"""W6: two branches that could run side by side."""

from __future__ import annotations

from benchmarks.harness import PIPELINE, Contender, Phase, Workload


def workload(small: bool) -> Workload:
    """Two branches of four steps of 0.5 s of Python each; ideal on two cores: 2.0 s and the start."""
    seconds = 0.1 if small else 0.5
    return Workload(
        "branches",
        f"W6: two branches of four steps of {seconds} s; ideal {4 * seconds:.1f} s",
        "joblib, written by hand",
        (
            Contender("jpipe", "branches/pipeline.py", command=PIPELINE),
            Contender("joblib, written by hand", "branches/joblib_by_hand.py", ("joblib",)),
            Contender("joblib.Memory", "branches/joblib_memory.py", ("joblib",)),
            Contender("floor: ProcessPool by hand, no cache", "branches/floor_pool.py"),
            Contender("floor: nothing but the start of a joblib pool", "branches/floor_start.py", ("joblib",)),
        ),
        (Phase("first", {"seconds": seconds}, answer=10, runs=10),),
    )
