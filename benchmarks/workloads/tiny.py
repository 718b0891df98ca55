"""W5: very many tiny calls with a progress bar; nothing is cached."""

from __future__ import annotations

from benchmarks.harness import Contender, Phase, Workload


def workload(small: bool) -> Workload:
    """100,000 squares."""
    n = 20_000 if small else 100_000
    return Workload(
        "tiny",
        f"W5: {n:,} calls of `i * i` with a progress bar into a pipe, 2 processes, no cache",
        "joblib + tqdm",
        (
            Contender("jpipe.map", "tiny/jpipe_map.py"),
            Contender("jpipe.map, in joblib.parallel_config", "tiny/jpipe_map_configured.py"),
            Contender("jpipe.parallel.p_map", "tiny/jpipe_p_map.py"),
            Contender("joblib + tqdm", "tiny/joblib_with_bar.py", ("joblib",)),
            Contender("tqdm process_map, chunks of 1,000", "tiny/process_map.py"),
            Contender("floor: imap, chunks of 1,000", "tiny/floor_imap.py"),
        ),
        (Phase("time", {"n": n}, answer=sum(i * i for i in range(n))),),
    )
