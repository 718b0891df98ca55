"""Values that hold code: an edit of that code gives them another digest, and undoing it gives the old one back."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import functools

class Model:
    def __init__(self, rate):
        self.rate = rate

    def predict(self, x):
        return x * self.rate

def helper(x):
    return x + 1

def use(x):
    return helper(x)

def unrelated(x):
    return x - 1

shortcut = lambda x: use(x)
made = functools.partial(use, 3)
"""

ASK = """
import sys
from pathlib import Path
from jpipe.digest import complete, digest
from jpipe.fingerprint import Fingerprinter
import code_of_mine as mine

class Here:
    def method(self):
        return mine.use(1)

fingerprint = Fingerprinter(Path.cwd())
for value in {values}:
    told = digest(value, fingerprint=fingerprint)
    print(complete(told.content, told.code, fingerprint.of_reference).hex())
"""

MODEL = ["[mine.Model(2)]", "mine.Model", "mine.Model(2).predict", "{'a': (mine.Model.predict,)}"]
WITHOUT_SOURCE = ["eval('lambda: mine.use')"]  # may change with anything in the modules that it names
HELPER = [
    *["mine.use", "mine.made", "mine.shortcut", "[lambda: mine.use]", "Here()", "Here().method", "mine"],
    *WITHOUT_SOURCE,
]
VALUES = [*MODEL, *HELPER, "mine.unrelated", "[1, len]"]


def ask(folder: Path) -> dict[str, str]:
    program = folder / "ask.py"
    program.write_text(ASK.format(values=f"[{', '.join(VALUES)}]"), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-B", program],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent.parent), str(folder)])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(zip(VALUES, done.stdout.split(), strict=True))


@pytest.mark.parametrize(
    ("old", "new", "touched"),
    [
        ("x * self.rate", "x * self.rate + 10", [*MODEL, "mine"]),
        ("x + 1", "x + 1001", HELPER),
        ("x - 1", "x - 1001", ["mine.unrelated", "mine"]),
        ("return x + 1", "return x + 1  # one more", []),
    ],
    ids=["method", "helper", "unrelated", "comment"],
)
def test_an_edit_touches_the_values_that_hold_the_code(tmp_path: Path, old: str, new: str, touched: list[str]) -> None:
    file = tmp_path / "code_of_mine.py"
    file.write_text(CODE, encoding="utf-8")
    before = ask(tmp_path)
    file.write_text(CODE.replace(old, new), encoding="utf-8")
    after = ask(tmp_path)
    changed = {value for value in VALUES if before[value] != after[value]}
    assert set(touched) <= changed <= {*touched, *WITHOUT_SOURCE}
    file.write_text(CODE, encoding="utf-8")
    assert ask(tmp_path) == before
