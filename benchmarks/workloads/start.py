"""W7: what it costs to import things, to ask for help, and to find that nothing is to be done."""

from __future__ import annotations

from benchmarks.harness import PIPELINE, Contender, Phase, Workload


def workload(small: bool) -> Workload:
    """Starting up."""
    return Workload(
        "start",
        "W7: starting up",
        "python",
        (
            Contender("python", command=("-c", "pass")),
            Contender("import jpipe", command=("-c", "import jpipe")),
            Contender("jpipe --help", command=("-m", "jpipe", "--help")),
            Contender("import joblib", needs=("joblib",), command=("-c", "import joblib")),
            Contender("import joblib, tqdm, numpy", needs=("joblib",), command=("-c", "import joblib, tqdm, numpy")),
            Contender("import diskcache", needs=("diskcache",), command=("-c", "import diskcache")),
            Contender("import pipefunc", needs=("pipefunc",), command=("-c", "import pipefunc")),
        ),
        (Phase("time"),),
        rounds=3 if small else 9,
    )


def idle(small: bool) -> Workload:
    """A pipeline file that imports scikit-learn, pandas and matplotlib, when nothing changed."""
    heavy = ("sklearn", "pandas", "matplotlib")
    return Workload(
        "idle",
        "W7: nothing to do, in a file that imports scikit-learn, pandas and matplotlib",
        "python",
        (
            Contender("python", command=("-c", "pass")),
            Contender("jpipe", "idle/pipeline.py", heavy, PIPELINE),
            Contender("joblib", "idle/joblib_memory.py", ("joblib", *heavy)),
            Contender("the imports alone", "idle/imports_only.py", heavy),
        ),
        (Phase("first", runs=1), Phase("again", runs=0)),
        rounds=3 if small else 9,
    )
