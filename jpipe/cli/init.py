"""``jpipe init``: a first pipeline file."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import click

from jpipe.errors import ExitCode, UsageError
from jpipe.render.styled_text import Line, dim, good, line, name
from jpipe.render.terminal import Paper

__all__ = ["EXAMPLE", "command"]

EXAMPLE = '''\
"""A first pipeline: a grid of measurements, and a table of them.

jpipe run            runs it
jpipe run            again: nothing to do
jpipe plan --why     after an edit: what would run, and why
"""

from jpipe import pipeline, step


@step
def numbers(count: int) -> list[int]:
    return list(range(count))


@step
def power_sum(values: list[int], power: int) -> float:
    return float(sum(value**power for value in values))


@step
def table(powers: list[int], sums: list[float]) -> dict[int, float]:
    return dict(zip(powers, sums))


@pipeline
def main(count: int = 1000, powers: tuple[int, ...] = (1, 2, 3)):
    values = numbers(count)
    return table(list(powers), [power_sum(values, power) for power in powers])
'''
_IGNORED = "/cache/"


@click.command("init")
@click.argument("folder", default=".", type=click.Path(path_type=Path, file_okay=False))
def command(folder: Path) -> int:
    """Write a first pipeline.py, and the line for the cache into .gitignore.

    Nothing that exists is overwritten.
    """
    file = folder / "pipeline.py"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with file.open("x", encoding="utf-8") as stream:
            stream.write(EXAMPLE)
        ignored = _ignore(folder / ".gitignore")
    except FileExistsError:
        raise UsageError(f"{file} exists already", hint="choose another folder: jpipe init FOLDER") from None
    except OSError as error:
        raise UsageError(f"cannot write into {folder}: {error.strerror}") from None
    wrote = [line(good("✓ "), "wrote ", name(str(file)))]
    if ignored:
        wrote.append(line(good("✓ "), f"{_IGNORED} added to ", name(str(folder / ".gitignore"))))
    run = "jpipe run" if folder == Path(".") else shlex.join(["jpipe", "run", str(file)])
    Paper(sys.stderr).write(*wrote, line(f"  next: {run}"), *_completion())
    return ExitCode.OK


def _completion() -> list[Line]:
    """How to have the user's shell complete commands, steps and parameters."""
    from jpipe.cli.completion import install_line

    found = install_line(os.path.basename(os.environ.get("SHELL", "")))
    return [line(dim(f"  for completion by Tab, add to {found[0]}:   {found[1]}"))] if found is not None else []


def _ignore(file: Path) -> bool:
    """Add the cache folder to a .gitignore; False when it is there already."""
    text = file.read_text("utf-8") if file.exists() else ""
    if any(known.strip().strip("/") == "cache" for known in text.splitlines()):
        return False
    start = "" if not text or text.endswith("\n") else "\n"
    with file.open("a", encoding="utf-8") as stream:
        stream.write(f"{start}{_IGNORED}\n")
    return True
