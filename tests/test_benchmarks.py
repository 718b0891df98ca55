"""The benchmarks run, jpipe does in them exactly what is needed, and it is no slower than it says beside joblib."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import jpipe

ROOT = Path(__file__).parents[1]


def measured(folder: Path, *arguments: str) -> dict[str, dict[str, Any]]:
    """`python -m benchmarks --small`; what it measured, by workload."""
    installed = str(Path(jpipe.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-P", "-m", "benchmarks", "--small", "--quiet", "--results", str(folder), *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([installed, str(ROOT)])},
        capture_output=True,
        encoding="utf-8",
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (folder / "small.md").read_text("utf-8").startswith("# Measurements")
    return {one["workload"]: one for one in json.loads((folder / "small.json").read_text("utf-8"))}


def best(workload: dict[str, Any], contender: str, phase: str) -> float:
    """Least seconds over the rounds: what noise of a shared machine distorts least."""
    return float(min(workload["seconds"][contender][phase]))


@pytest.mark.timing
def test_jpipe_is_faster_than_joblib_in_the_small_workloads(tmp_path: Path) -> None:
    """Bounds are three times what is promised for the full sizes, where start-up weighs less."""
    chosen = ["--only", "items", "--only", "chain", "--only", "start", "--rounds", "3"]
    names = ["jpipe", "joblib", "python", "import jpipe", "import joblib"]
    found = measured(tmp_path, *chosen, *(word for name in names for word in ("--contender", name)))
    items = found["items"]
    for phase, bound in {"first": 0.75, "again": 0.36, "10 new": 0.75, "other edited": 0.5}.items():
        assert best(items, "jpipe", phase) < bound * best(items, "joblib", phase), phase
    start = found["start"]
    assert best(start, "import jpipe", "time") < 0.5 * best(start, "import joblib", "time")


def test_every_workload_runs_and_jpipe_does_what_is_needed(tmp_path: Path) -> None:
    """A wrong number of executions makes the command exit with 1."""
    found = measured(tmp_path, "--rounds", "1", "--contender", "jpipe", "--contender", "jpipe.map")
    assert {"items", "many", "chain", "arrays", "payload", "tiny", "branches", "idle"} <= found.keys()
    assert [workload["wrong"] for workload in found.values() if any(workload["wrong"].values())] == []
    assert all(workload["seconds"] for name, workload in found.items() if name != "start")
