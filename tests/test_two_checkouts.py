"""Two checkouts of a project share a cache: what one computed from its own files and place, the other never gets."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Project

FORMS = {
    "text": "os.path.abspath('data/a.txt')",
    "path": "P / 'data'",
    "object": "Holder(P)",
    "slots": "Slots(str(P)).value",
    "bytes": "os.fsencode(HERE) + b'/x'",
    "array": "numpy.array([HERE, 'x']).tolist()",
    "frame": "pandas.DataFrame({'p': [HERE + '/a', 'b']}).p.tolist()",
    "key": "{HERE: 1}",
    "address": "P.as_uri()",
    "backwards": "HERE[::-1]",
    "packed": "zlib.compress(HERE.encode())",
    "behind much": "'x' * 10000 + HERE",
    "parts": "os.getcwd().split(os.sep)",
    "last part": "os.path.basename(os.getcwd())",
    "last part of a path": "Path.cwd().name",
    "length": "len(os.getcwd())",
    "search path": "[path for path in sys.path if path == HERE]",
    "link": "os.path.realpath('link')",
    "message": "message()",
    "relative read": "open('data/a.txt').read()",
    "absolute read": "open(os.path.join(HERE, 'data/a.txt')).read()",
    "through a link": "open('link/a.txt').read()",
    "through the parent": "open(f'../{P.name}/data/a.txt').read()",
    "by descriptor": "by_descriptor()",
    "from another folder": "[os.chdir('data'), open('a.txt').read(), os.chdir('..')][1]",
    "names": "sorted(glob.glob('data/*'))",
    "relative names": "sorted(str(path.relative_to(P)) for path in P.rglob('*.txt'))",
    "whether it is there": "os.path.exists('data/only.txt')",
    "size": "os.path.getsize('data/b.txt')",
}
"""What steps give, by where it comes from."""


@pytest.mark.skipif(os.name == "nt", reason="links, descriptors of folders")
def test_each_checkout_gets_what_its_own_script_gives(project: Project) -> None:
    steps = "".join(f"@step\ndef step_{i}():\n    return {form}\n" for i, form in enumerate(FORMS.values()))
    calls = ", ".join(f"{name!r}: step_{i}()" for i, name in enumerate(FORMS))
    text = f"""
import glob, os, sys, zlib
from dataclasses import dataclass
from pathlib import Path
import jpipe, numpy, pandas
from jpipe import pipeline, step

HERE = os.path.dirname(os.path.abspath(__file__))
P = Path(HERE)

@dataclass
class Holder:
    path: Path

class Slots:
    __slots__ = ("value",)
    def __init__(self, value): self.value = value

def message():
    try: open(HERE + "/none")
    except OSError as error: return str(error)

def by_descriptor():
    folder = os.open("data", os.O_RDONLY)
    try:
        with open(os.open("a.txt", os.O_RDONLY, dir_fd=folder)) as file: return file.read()
    finally: os.close(folder)

{steps}
@step
def shared(): return open("data/same.txt").read()

@pipeline
def main(): return {{{calls}, "shared": shared()}}

if __name__ == "__main__":
    run = None if "plain" in sys.argv else jpipe.run(main)
    print(repr(main() if run is None else run.value))
    if run is not None: sys.stderr.write(str(sum(end.ran for end in run.steps)))
"""
    ran = []
    for who, content in ("ann", "a"), ("benjamin", "bbbbb"):
        folder = project.root / who
        (folder / "data").mkdir(parents=True)
        (folder / "link").symlink_to("data")
        (folder / "jpipe.toml").write_text("cache_dir = '../cache'\n")
        (folder / "pipeline.py").write_text(text)
        (folder / "data" / "a.txt").write_text(content)
        (folder / "data" / "b.txt").write_text(content)
        (folder / "data" / "same.txt").write_text("same")
    (project.root / "ann" / "data" / "only.txt").touch()
    for who in ("ann", "benjamin"):
        plain, run = (run_in(project.root / who, *words) for words in (["plain"], []))
        ran.append(int(run[1]))
        assert run[0] == plain[0], who
    assert ran[0] == len(FORMS) + 1 and ran[1] < ran[0], "what is the same for both is shared"


def run_in(folder: Path, *words: str) -> tuple[str, str]:
    done = subprocess.run(
        [sys.executable, "pipeline.py", *words], cwd=folder, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr
