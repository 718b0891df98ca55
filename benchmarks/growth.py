"""How time and memory grow: ``python -m benchmarks.growth FOLDER [--only CURVE] [--largest N] [--rounds N]``.

Each size is measured in an empty folder, each phase in a new process. A chart shows the seconds and the memory of the
largest process; what is printed beside it is the fitted exponent: 1 where twice as much takes twice as long, 0 where
it takes no longer. It is fitted to the larger half of the sizes, where the start weighs least, and then between each
size and the next, so that a bend is seen.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.curves import CURVES, Curve
from benchmarks.growth_picture import draw
from benchmarks.harness import (
    LIMIT,
    Contender,
    Folder,
    Phase,
    Tell,
    command_of,
    edit_program,
    environment_of,
    install_program,
    problem_of,
)

USAGE = Path(__file__).with_name("usage.py")


@dataclass(frozen=True, slots=True)
class Taken:
    """What one phase took at one size: the least of all rounds.

    Parameters
    ----------
    seconds, processor
        From start to end, and of all its processes together on a processor.
    memory
        The most resident memory of its largest process, bytes.
    """

    size: int
    seconds: float
    processor: float
    memory: int


Lines = dict[str, dict[str, list[Taken]]]
"""By phase and contender, one for each size."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, draw, print the exponents; 1 if jpipe did something wrong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the charts and the figures go")
    parser.add_argument("--only", action="append", choices=[curve.name for curve in CURVES], help="may be repeated")
    parser.add_argument("--largest", type=int, metavar="N", help="no size above this")
    parser.add_argument("--rounds", type=int, default=1, metavar="N")
    parser.add_argument("--contender", action="append", metavar="NAME", help="may be repeated")
    parser.add_argument("--quiet", action="store_true", help="no line for each size")
    options = parser.parse_args(arguments)
    tell, wrong = Tell(options.quiet), []
    options.folder.mkdir(parents=True, exist_ok=True)
    for curve in CURVES:
        if not options.only or curve.name in options.only:
            lines, problems = measure(curve, options.largest, options.rounds, options.contender or (), tell)
            wrong += problems
            _keep(curve, lines, options.folder)
            print("\n".join(_table(curve, lines)), flush=True)
    for problem in wrong:
        print(problem, file=sys.stderr)
    return 1 if any(problem.startswith("jpipe") for problem in wrong) else 0


def measure(curve: Curve, largest: int | None, rounds: int, only: Sequence[str], tell: Tell) -> tuple[Lines, list[str]]:
    """Run a chart's phases at its sizes; who gives a wrong answer or fails is left out from there on, and told of."""
    lines: Lines = {phase: {} for phase in curve.phases}
    problems: list[str] = []
    failed: set[str] = set()
    for point in map(curve.point, curve.chosen(largest)):
        for contender in point.contenders:
            name = contender.name
            is_chosen = not only or name in only
            if (
                not is_chosen
                or name in failed
                or not contender.installed()
                or point.size > curve.up_to.get(name, point.size)
            ):
                continue
            tries = [_trial(contender, point.phases, point.size) for _ in range(rounds)]
            if said := [problem for _, problem in tries if problem]:
                failed.add(name)
                problems.append(f"{name}: {curve.name}, {point.size:,}: {said[0]}")
                continue
            for phase in curve.phases:
                least = min((taken[phase] for taken, _ in tries), key=lambda taken: taken.seconds)
                lines[phase].setdefault(name, []).append(least)
                tell(
                    f"{curve.name} {point.size:,}: {name}: {phase}: {least.seconds:.2f} s, {least.memory / 1e6:.0f} MB"
                )
    return lines, problems


def _trial(contender: Contender, phases: Sequence[Phase], size: int) -> tuple[dict[str, Taken], str]:
    """What each phase took in one folder, and what was wrong."""
    found: dict[str, Taken] = {}
    with Folder() as folder:
        program = install_program(contender, folder)
        for phase in phases:
            edit_program(program, phase)
            found[phase.name], done = _finished(command_of(contender, program, phase), folder, size)
            if problem := problem_of(contender, phase, done):
                return found, problem
    return found, ""


def _finished(command: list[str], folder: Path, size: int) -> tuple[Taken, subprocess.CompletedProcess[str]]:
    """Run a process; what it and those that it waited for took, as the system counts it."""
    note = folder / "taken.json"
    process = subprocess.Popen(
        [sys.executable, "-S", str(USAGE), str(note), *command],
        cwd=folder,
        env=environment_of(folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return Taken(size, LIMIT, 0.0, 0), subprocess.CompletedProcess(command, 1, "", f"gave up after {LIMIT:.0f} s")
    taken = Taken(size, **json.loads(note.read_text("ascii")))
    return taken, subprocess.CompletedProcess(command, process.returncode, out, err)


def exponents(sizes: Sequence[int], values: Sequence[float]) -> tuple[float, list[float]]:
    """The slope of `values` over `sizes` on logarithmic scales: for the larger half, and from each to the next."""
    points = [(math.log(size), math.log(value)) for size, value in zip(sizes, values, strict=True)]
    upper = points[-max(2, len(points) // 2 + 1) :]
    middle = sum(x for x, _ in upper) / len(upper), sum(y for _, y in upper) / len(upper)
    spread = sum((x - middle[0]) ** 2 for x, _ in upper)
    slope = sum((x - middle[0]) * (y - middle[1]) for x, y in upper) / spread if spread else math.nan
    return slope, [(b[1] - a[1]) / (b[0] - a[0]) for a, b in itertools.pairwise(points)]


def _table(curve: Curve, lines: Mapping[str, Mapping[str, Sequence[Taken]]]) -> list[str]:
    said = [f"\n## {curve.name}: {curve.title}\n"]
    said += [
        "| phase | who | largest size | seconds | processor | memory | exponents of these | processor, size by size |"
    ]
    said += ["|---|---|---|---|---|---|---|---|"]
    for phase, contenders in lines.items():
        for name, taken in contenders.items():
            sizes, last = [one.size for one in taken], taken[-1]
            seconds, processor, memory = (
                exponents(sizes, [max(getattr(one, what), 1e-6) for one in taken])
                for what in ("seconds", "processor", "memory")
            )
            bends = " ".join(map(_shown, processor[1]))
            slopes = " ".join(_shown(slope) for slope, _ in (seconds, processor, memory))
            said.append(
                f"| {phase} | {name} | {last.size:,} | {last.seconds:.2f} | {last.processor:.2f} | "
                f"{last.memory / 1e6:.0f} MB | {slopes} | {bends} |"
            )
    return said


def _shown(slope: float) -> str:
    return "–" if math.isnan(slope) else f"{slope:.2f}"


def _keep(curve: Curve, lines: Lines, folder: Path) -> None:
    plain = {phase: {name: [asdict(one) for one in taken] for name, taken in by.items()} for phase, by in lines.items()}
    (folder / f"{curve.name}.json").write_text(json.dumps(plain, indent=1), "utf-8")
    (folder / f"{curve.name}.md").write_text("\n".join(_table(curve, lines)) + "\n", "utf-8")
    draw(curve, lines, folder / f"{curve.name}.svg")


if __name__ == "__main__":
    sys.exit(main())
