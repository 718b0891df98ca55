"""How long fingerprints take: 200 generated modules of 250 lines, 100 steps that reach most of them.

Run as ``python benchmarks/fingerprint.py``. Each figure comes from processes of their own: *cold* without a parse
cache, *warm* with one, *edited* after one module was changed. The import of the project itself is not counted.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MODULES, LINES, STEPS = 200, 250, 100
TARGETS = {"cold": 1500, "warm": 100}
"""Milliseconds."""

_FUNCTION = '''
def {name}(values, factor=RATE, *, offset={number}):
    """Scale and shift the values; a docstring of usual length that says so in one line."""
    total = 0.0
    rows = []
    for index, value in enumerate(values):
        if value is None or index % 7 == 3:
            continue
        scaled = value * factor + math.sqrt(abs(offset)) - TABLE["{key}"]
        rows.append({{"index": index, "value": scaled, "label": f"{{index:03d}}-{{scaled:.2f}}"}})
        total += scaled
    if total > LIMIT:
        rows = [row for row in rows if row["value"] < LIMIT]  # keep what fits
    return {call}
'''

_CHILD = """
import gc, json, sys, time
from pathlib import Path
gc.set_threshold(50_000, 20, 20)  # as the command does
sys.path.insert(0, sys.argv[1])
import pipeline
from jpipe.fingerprint import Fingerprinter
started = time.perf_counter()
fingerprinter = Fingerprinter(Path(sys.argv[1]), Path(sys.argv[2]))
digests = [fingerprinter.of(getattr(pipeline, f"step_{k}")).digest.hex() for k in range(int(sys.argv[3]))]
seconds = time.perf_counter() - started
fingerprinter.save()
print(json.dumps([seconds * 1e3, digests]))
"""


def module(number: int) -> str:
    """The text of one module, whose functions call each other and those of later modules."""
    later = [n for n in (number * 2 + 1, number * 2 + 2) if n < MODULES]
    text = ["import math", *(f"import mod_{n:03d}" for n in later), "", f"RATE = {number} / 8", "LIMIT = 10_000.0"]
    text += ["TABLE = {" + ", ".join(f'"k{k}": {k * number}' for k in range(20)) + "}", ""]
    source = "\n".join(text)
    function = 0
    while source.count("\n") < LINES - 15:
        call = f"f_{function + 1}(rows)"
        if function % 3 == 0:
            call = " + ".join(["len(rows)", *(f"mod_{n:03d}.f_{function}(values)" for n in later)])
        source += _FUNCTION.format(name=f"f_{function}", number=function, key=f"k{function % 20}", call=call)
        function += 1
    return source + _FUNCTION.format(name=f"f_{function}", number=function, key="k0", call="rows")


def write_project(folder: Path) -> None:
    """Write the project: its modules, and a pipeline file with the steps."""
    for number in range(MODULES):
        (folder / f"mod_{number:03d}.py").write_text(module(number))
    lines = [f"import mod_{n:03d}" for n in range(STEPS)]
    for k in range(STEPS):
        lines += ["", f"def step_{k}(values):", f"    return mod_{k:03d}.f_0(values), mod_{k:03d}.f_{k % 15}(values)"]
    (folder / "pipeline.py").write_text("\n".join(lines) + "\n")


def measure(folder: Path, cache: Path) -> tuple[float, list[str]]:
    """Milliseconds for all steps, and their digests, in a new process."""
    command = [sys.executable, "-c", _CHILD, str(folder), str(cache), str(STEPS)]
    result: tuple[float, list[str]] = json.loads(
        subprocess.run(command, check=True, capture_output=True, text=True).stdout
    )
    return result


def main() -> int:
    """Print the figures; 1 when a target is missed."""
    with tempfile.TemporaryDirectory() as name:
        folder, cache = Path(name, "project"), Path(name, "cache", "parsed")
        folder.mkdir()
        write_project(folder)
        lines = sum(len(p.read_text().splitlines()) for p in folder.glob("*.py"))
        time.sleep(1.1)  # past the second in which a .pyc would not be trusted
        measure(folder, cache)
        taken: dict[str, list[float]] = {"cold": [], "warm": [], "edited": []}
        for turn in range(5):
            cache.unlink()
            cold, digests = measure(folder, cache)
            warm, again = measure(folder, cache)
            assert again == digests
            edited = folder / "mod_050.py"
            edited.write_text(edited.read_text().replace(f"total = {turn}.0", f"total = {turn + 1}.0"))
            change, different = measure(folder, cache)
            assert different != digests
            for key, value in (("cold", cold), ("warm", warm), ("edited", change)):
                taken[key].append(value)
    best = {key: min(values) for key, values in taken.items()}
    print(f"{MODULES} modules, {lines} lines, {STEPS} steps")
    for key, values in taken.items():
        print(f"{key:7}{best[key]:8.0f} ms  (median {statistics.median(values):.0f})")
    return int(any(best[key] > limit for key, limit in TARGETS.items()))


if __name__ == "__main__":
    sys.exit(main())
