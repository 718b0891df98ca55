"""The command: ``python -m benchmarks [--small] [--only WORKLOAD] [--contender NAME] [--rounds N]``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import report
from benchmarks.harness import Measured, Tell, Workload, measure
from benchmarks.workloads import arrays, branches, chain, items, payload, start, tiny

RESULTS = Path(__file__).parent / "results"
WORKLOADS = (
    items.workload,
    items.many,
    chain.workload,
    arrays.workload,
    payload.workload,
    tiny.workload,
    branches.workload,
    start.workload,
    start.idle,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write the results, print the tables; 1 if jpipe did something wrong."""
    options = _parser().parse_args(arguments)
    tell = Tell(options.quiet)
    results = [measure(one, options.rounds, tell, options.contender) for one in _chosen(options.only, options.small)]
    report.write(results, options.results, "small" if options.small else "full")
    print(report.markdown(results))
    return 1 if any(_jpipe_is_wrong(one) for one in results) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure jpipe beside other tools.")
    parser.add_argument("--small", action="store_true", help="small sizes: a minute or two for everything")
    parser.add_argument("--only", action="append", default=[], metavar="WORKLOAD", help="may be repeated")
    parser.add_argument("--contender", action="append", default=[], metavar="NAME", help="may be repeated")
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FOLDER")
    parser.add_argument("--quiet", action="store_true", help="no line for each contender")
    return parser


def _chosen(names: Sequence[str], small: bool) -> list[Workload]:
    every = [make(small) for make in WORKLOADS]
    unknown = set(names) - {one.name for one in every}
    if unknown:
        sys.exit(f"no workload {', '.join(sorted(unknown))}; there are {', '.join(one.name for one in every)}")
    return [one for one in every if not names or one.name in names]


def _jpipe_is_wrong(result: Measured) -> bool:
    return any(wrong for name, wrong in result.wrong.items() if "jpipe" in name)


if __name__ == "__main__":
    sys.exit(main())
