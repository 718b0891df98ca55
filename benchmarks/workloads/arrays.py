"""W3: large arrays from step to step, everything kept on disk."""

from __future__ import annotations

from benchmarks.harness import MODULE, PIPELINE, Contender, Phase, Workload


def workload(small: bool) -> Workload:
    """400 MB, scaled to 400 MB, cut into 8 blocks of 100 MB by 2 workers, summed."""
    n = 1_600_000 if small else 50_000_000
    given = {"n": n}
    total = float(sum(n // 4 * 499.5 * 2 * (b + 1) for b in range(8)))
    return Workload(
        "arrays",
        f"W3: {n * 8 / 1e6:.0f} MB loaded, scaled, cut into 8 blocks by 2 workers, summed; all kept on disk",
        "joblib",
        (
            Contender("jpipe", "arrays/pipeline.py", command=PIPELINE),
            Contender("joblib", "arrays/joblib_memory.py", ("joblib",)),
            Contender("joblib, mmap_mode", "arrays/joblib_mapped.py", ("joblib",)),
            Contender("exca, memmap", "arrays/exca_mapped.py", ("exca",), MODULE),
            Contender("checkpointer + pool", "arrays/checkpointer_pool.py", ("checkpointer",)),
            Contender("floor: .npy files", "arrays/floor_npy.py"),
        ),
        (
            Phase("first", given, answer=total, runs=11),
            Phase("again", given, answer=total, runs=0),
            Phase("last step edited", given, ("return 0 + sum", "return 1 + sum"), total + 1, 1),
        ),
        measure_memory=True,
        pause=0.0 if small else 8.0,
    )
