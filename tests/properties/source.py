"""Random pipelines as source text, and random edits of them."""

from __future__ import annotations

import random
from collections.abc import Callable

from tests.properties.kinds import HEAD, KINDS

__all__ = ["Source"]

_SHAPES = ("map", "chain", "zip", "list", "plain", "model", "parts", "table", "nested", "drawn", "dict")
_HEAD = """\
import os
import random

import numpy as np
from jpipe import map, pipeline, step
from helpers import *
from models import Model
"""
_FIXED = """\
@step
def numbers(n):
    return list(range(n + int(open('n.txt').read())))

@step
def total(xs):
    return sum(xs)

@step
def fit(xs, rate=RATE):
    return Model(len(xs) * rate)

@step
def predict(model, x):
    return model.predict(x)

@step
def halves(xs) -> tuple[list, list]:
    return xs[: len(xs) // 2], xs[len(xs) // 2 :]

@step
def table(xs):
    return np.outer(np.array(xs, dtype=float), np.arange(3)) * SCALES['a']

@step
def flat(rows):
    rows += 1
    return rows.sum(axis=0).tolist()

@step
def folder():
    return sorted(os.listdir('data'))

@pipeline
def inner(xs, k):
    return total(map(s1, xs, y=k))

"""


class Source:
    """A random pipeline as source text, which can be edited.

    Every step applies a helper with a constant; the calls take parameters, earlier results, parts and lists of them,
    and files; one may raise.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        draw = self._random
        self.constants = [draw.randint(1, 9) for _ in range(3)]
        self.helpers = [draw.choice("+-*") for _ in range(3)]
        self.uses = [(draw.randrange(3), draw.randrange(3)) for _ in range(4)]
        self.shapes = [draw.choice(_SHAPES) for _ in range(5)]
        self.file, self.length, self.scale, self.listed = (draw.randint(0, 4) for _ in range(4))
        self.rate, self.method = draw.randint(1, 3), draw.choice("+-*")
        self.kinds = {name: draw.randint(0, 4) for name in draw.sample(sorted(KINDS), 4)}
        self.bad: int | None = None
        self.moved = False
        self.comment = 0

    def edit(self) -> None:
        """Change one thing, and a comment everywhere."""
        draw = self._random
        edits: tuple[Callable[[], None], ...] = (
            lambda: self.constants.__setitem__(draw.randrange(3), draw.randint(1, 9)),
            lambda: self.helpers.__setitem__(draw.randrange(3), draw.choice("+-*")),
            lambda: self.uses.__setitem__(draw.randrange(4), (draw.randrange(3), draw.randrange(3))),
            lambda: self.shapes.__setitem__(draw.randrange(5), draw.choice(_SHAPES)),
            lambda: setattr(self, draw.choice(("file", "length", "scale", "listed")), draw.randint(0, 4)),
            lambda: setattr(self, "rate", draw.randint(1, 3)),
            lambda: setattr(self, "method", draw.choice("+-*")),
            lambda: setattr(self, "bad", draw.choice((None, 0, 1, 3))),
            lambda: setattr(self, "moved", not self.moved),
            lambda: None,
            *[lambda: self.kinds.__setitem__(draw.choice(sorted(self.kinds)), draw.randint(0, 4))] * len(self.kinds),
        )
        draw.choice(edits)()
        self.comment += 1

    def files(self) -> dict[str, str]:
        """The project's files."""
        helpers = "".join(f"def helper{i}(a, b):\n    return a {op} b\n\n" for i, op in enumerate(self.helpers))
        constants = "".join(f"C{i} = {value}\n" for i, value in enumerate(self.constants))
        constants += f"RATE = {self.rate}\nSCALES = {{'a': {self.scale}, 'b': [1, 2]}}\n\n"
        calls = "".join(f"    {_call(i, shape)}\n" for i, shape in enumerate(self.shapes))
        kinds = [(KINDS[name], v) for name, v in self.kinds.items()]
        bodies = [line for kind, v in kinds for line in kind.call.format(v=v).splitlines()]
        # A body may not use a global before it says so.
        bodies.sort(key=lambda line: not line.startswith("global "))
        calls += "".join(f"    {line}\n" for line in bodies)
        pieces = "".join(kind.code.format(v=v) + "\n" for kind, v in kinds)
        more = {name.format(v=v): text.format(v=v) for kind, v in kinds for name, text in kind.files.items()}
        main = f"@pipeline\ndef main():\n    xs = numbers({self.length})\n    out = []\n{calls}    return out\n"
        lists = {f"data/{i}.txt": "" for i in range(self.listed)}
        model = "class Model:\n    def __init__(self, weight):\n        self.weight = weight\n\n"
        model += f"    def predict(self, x):\n        return self.weight {self.method} x\n"
        away = {"pipeline.py": _HEAD + HEAD + constants + self._steps() + _FIXED + pieces + main, "helpers.py": helpers}
        if self.moved:
            away["helpers.py"] = "from deeper import *\n"
            away["deeper.py"] = "# moved here\n" + helpers
        model += "\nclass Box(dict):\n    pass\n"
        return {**away, "models.py": model, "n.txt": str(self.file), "data/.keep": "", **lists, **more}

    @property
    def leaves_files(self) -> bool:
        """Whether steps write files, which hold what the last version wrote."""
        return not {"handed on", "handed on as text"}.isdisjoint(self.kinds)

    def _steps(self) -> str:
        check = "" if self.bad is None else f"    if x == {self.bad}: raise ValueError(x)\n"
        heads = [f"@step\ndef s{i}(x, y=1):\n    # {self.comment}\n" for i in range(4)]
        heads[0] += check
        bodies = [f"    return helper{helper}(x, y) + C{constant}\n\n" for helper, constant in self.uses]
        return "".join(head + body for head, body in zip(heads, bodies, strict=True))


def _call(i: int, shape: str) -> str:
    step = f"s{i % 4}"
    return {
        "map": f"out.append(map({step}, xs, y={i}))",
        "chain": f"out.append(total(map({step}, map(s0, xs))))",
        "zip": f"out.append(map({step}, xs, [1, 2, 3]))",
        "list": f"out.append(total([{step}({i}, k) for k in range(3)]))",
        "plain": f"out.append({step}(total(xs), {i}))",
        "model": f"out.append([predict(fit(xs), k) for k in range({i})])",
        "parts": f"front, back = halves(xs); out.append(({step}(total(front)), total(back)))",
        "table": "out.append(flat(table(xs)))",
        "nested": f"out.append(inner(xs, {i}))",
        "drawn": f"out.append({{'files': folder(), 'sum': total([{step}(1), total(xs)])}})",
        "dict": f"out.append(total([{{'k': {step}(1)}}['k'], s0(2, y={i})]))",
    }[shape]
