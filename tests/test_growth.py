"""The charts of how time and memory grow: the command works, and its exponents are right."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import jpipe
from benchmarks.growth import exponents

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="measured with wait4")


def test_a_chart_is_measured_and_drawn(tmp_path: Path) -> None:
    root, installed = Path(__file__).parents[1], Path(jpipe.__file__).parents[1]
    chosen = ["--only", "steps", "--largest", "10", "--contender", "jpipe", "--quiet"]
    done = subprocess.run(
        [sys.executable, "-P", "-m", "benchmarks.growth", str(tmp_path), *chosen],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(installed), str(root)])},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "| last edited | jpipe | 10 |" in done.stdout
    if importlib.util.find_spec("matplotlib") is not None:
        assert (tmp_path / "steps.svg").read_text("utf-8").startswith("<?xml")
    taken = json.loads((tmp_path / "steps.json").read_text("utf-8"))
    assert {phase: [one["size"] for one in by["jpipe"]] for phase, by in taken.items()} == {
        "first": [10],
        "again": [10],
        "last edited": [10],
    }
    # Less than this takes no Python, and none of these programs takes more.
    assert all(5e6 < one["memory"] < 5e8 and one["processor"] > 0 for by in taken.values() for one in by["jpipe"])


def test_exponents_are_those_of_the_larger_sizes_and_show_a_bend() -> None:
    sizes = [10, 100, 1_000, 10_000]
    slope, bends = exponents(sizes, [1.0, 1.0, 10.0, 100.0])
    assert slope == pytest.approx(1.0)
    assert bends == pytest.approx([0.0, 1.0, 1.0])
    assert exponents(sizes, [n**1.5 for n in sizes])[0] == pytest.approx(1.5)
