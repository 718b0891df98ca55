"""What ran is what counts: edits of code that did not run change nothing, edits that change what runs do."""

from __future__ import annotations

import decimal
import importlib
import os
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from jpipe.fingerprint import Executed, Fingerprinter

FILES = {
    "study": """
        import functools, math, operator
        import tools
        from abc import ABC, abstractmethod
        from dataclasses import dataclass, field
        from enum import Enum
        from shapes import *
        from tools import clean, Reader as Source


        def step():
            return [
                total([1, 2, 3]), area(Square(2)), parse("7"), choose(3), tools.scale(2), clean(" x "), Mode.FAST.value,
                render(5), Point(1).norm(), sorted(names()), guarded(4), Account().balance, twice(add_one)(1),
                Stack().size(), Probe().found, str(Money(3)), Source().read(), apply("double", 4), [*count(3)],
                nested(2), Lazy().value, Child().greet(), Child.make().tag, LIMIT, TABLE["a"](2), sizes(), late(2),
                hasattr(Plain(), "extra"), Plain() == Plain(), bool(Plain()), len(Bag()), managed(), dispatch(1.5),
                Point(1).describe(), is_small(2), RULES.get("b", "none"), kinds(), ordered(), PICK(1, 2), hook(3),
            ]


        LIMIT = 10
        RULES = {"a": 1}


        def total(values, start=0):
            return sum(values, start)


        def area(shape):
            return shape.area() * factor()


        def factor():
            return 2


        def parse(text):
            if text.isdigit():
                return number(text)
            return broken(text)


        def number(text):
            return int(text)


        def broken(text):
            return missing_part(text) + "!"


        def missing_part(text):
            return text[::-1] or fallback()


        def fallback():
            return "nothing"


        def choose(n):
            return small(n) if n < LIMIT else large(n)


        def small(n):
            return n + 1


        def large(n, *, by=2):
            '''Large ones.'''
            return n * by


        def traced(function):
            @functools.wraps(function)
            def inner(*args):
                return function(*args)
            return inner


        @traced
        def render(n):
            return f"<{n}>"


        @traced
        def unrendered(n):
            return n


        @dataclass
        class Point:
            x: int
            y: int = 3
            tags: list = field(default_factory=list)

            def norm(self):
                return math.hypot(self.x, self.y)

            def distance(self, other):
                return abs(self.x - other.x)

            def describe(self):
                return repr(self)


        class Mode(Enum):
            FAST = 1
            SLOW = 2

            def label(self):
                return self.name.lower()


        REGISTRY = {}


        def register(function):
            REGISTRY[function.__name__] = function
            return function


        @register
        def double(x):
            return x * 2


        @register
        def triple(x):
            return x * 3


        def apply(name, x):
            return REGISTRY[name](x)


        def names():
            return list(REGISTRY)


        def guarded(x):
            try:
                return checked(x)
            except ValueError:
                return recover(x)


        def checked(x):
            return x


        def recover(x):
            return -x


        class Account:
            @property
            def balance(self):
                return 7

            @property
            def debt(self):
                return self.balance - 1


        def twice(function):
            return lambda x: function(function(x))


        def add_one(x):
            return x + 1


        def add_two(x):
            return x + 2


        class Stack(list):
            def size(self):
                return len(self)


        class Probe:
            found = "no"

            def unused(self):
                return 1


        class Money:
            def __init__(self, amount):
                self.amount = amount

            def __repr__(self):
                return f"{self.amount} EUR"

            def __add__(self, other):
                return Money(self.amount + other.amount)


        def count(n):
            for i in range(n):
                yield i


        def nested(x):
            def inner(y):
                return y + 1
            return inner(x)


        class Lazy:
            @functools.cached_property
            def value(self):
                return compute()


        def compute():
            return 5


        class Parent(ABC):
            tag = "parent"

            def greet(self):
                return self.hello()

            @abstractmethod
            def hello(self): ...

            def goodbye(self):
                return "bye"

            @classmethod
            def make(cls):
                return cls()


        class Child(Parent):
            def hello(self):
                return "hi"


        TABLE = {"a": lambda x: x + 1, "b": triple}


        def sizes():
            return [len(x) for x in ((1,), (2, 3))]


        def late(x):
            from later import shifted
            return shifted(x)


        class Plain:
            def method(self):
                return 1


        class Bag:
            def __init__(self):
                self.items = [1]

            def __len__(self):
                return len(self.items)

            def __contains__(self, item):
                return item in self.items


        class Managed:
            def __enter__(self):
                return 1

            def __exit__(self, *error):
                return error[0] is not None and self.swallow()

            def swallow(self):
                return False


        def managed():
            with Managed() as value:
                return value


        @functools.singledispatch
        def dispatch(x):
            return "other"


        @dispatch.register
        def _(x: int):
            return "int"


        def is_small(x):
            return x < 5 or is_tiny(x)


        def is_tiny(x):
            return x < 1


        class Kind: ...


        class First(Kind): ...


        def kinds():
            return [cls.__name__ for cls in Kind.__subclasses__()]


        class Sized:
            def __init__(self, n):
                self.n = n

            def __lt__(self, other):
                return self.n < other.n

            def __gt__(self, other):
                return self.n > other.n


        def ordered():
            return [s.n for s in sorted([Sized(2), Sized(1)])]


        PICK = operator.add


        def hook(x):
            return globals().get("on_hook", abs)(x)
    """,
    "shapes": """
        class Shape:
            def area(self):
                return 0

            def edges(self):
                return 4


        class Square(Shape):
            def __init__(self, side):
                self.side = side

            def area(self):
                return self.side ** 2

            def diagonal(self):
                return self.side * root(2)


        def root(x):
            return x ** 0.5
    """,
    "tools": """
        FACTOR = 3


        def scale(x):
            return x * FACTOR


        def shrink(x):
            return x / FACTOR


        def clean(text):
            return text.strip()


        class Reader:
            def read(self):
                return "data"

            def close(self):
                return shrink(1)
    """,
    "later": """
        def shifted(x):
            return x + 1
    """,
}


class Edit(NamedTuple):
    """One edit: in which file, what, and what it becomes."""

    file: str
    old: str
    new: str


UNEXECUTED = [
    Edit("study", 'missing_part(text) + "!"', 'missing_part(text) + fallback() + "?"'),
    Edit("study", "text[::-1] or fallback()", "text.upper()"),
    Edit("study", 'return "nothing"', 'return "none"'),
    Edit("study", "return n * by", "return small(n) * by"),
    Edit("study", "def unrendered(n):\n    return n", "def unrendered(n):\n    return total([n])"),
    Edit("study", "abs(self.x - other.x)", "abs(self.x - other.x) + compute()"),
    Edit("study", "self.name.lower()", "self.name.upper()"),
    Edit("study", "return x * 3", "return x + x + x"),
    Edit("study", "return -x", "return broken(x)"),
    Edit("study", "self.balance - 1", "self.balance - 2"),
    Edit("study", "return x + 2", "return 2 + x"),
    Edit("study", "self.amount + other.amount", "other.amount + self.amount"),
    Edit("study", 'return "bye"', 'return "good bye"'),
    Edit("study", "item in self.items", "item in set(self.items)"),
    Edit("study", "return False", "return True"),
    Edit("study", 'return "int"', 'return "whole"'),
    Edit("study", "return x < 1", "return x < 2"),
    Edit("study", "return self.n > other.n", "return other.n < self.n"),
    Edit("shapes", "return 4", "return 3"),
    Edit("shapes", "return 0", "return 1"),
    Edit("shapes", "self.side * root(2)", "root(2) * self.side"),
    Edit("shapes", "x ** 0.5", "pow(x, 0.5)"),
    Edit("tools", "x / FACTOR", "x // FACTOR"),
    Edit("tools", "return shrink(1)", "return None"),
    Edit("study", "    def unused(self):\n        return 1", "    def unused(self):\n        return [fallback()]"),
]
"""Bodies that `step` does not run."""

EXECUTED = [
    Edit("study", "sum(values, start)", "sum(values, start) + 1"),
    Edit("study", "return 2\n\n\ndef parse", "return 3\n\n\ndef parse"),
    Edit("study", "start=0", "start=1"),
    Edit("study", "LIMIT = 10", "LIMIT = 2"),
    Edit("study", "return int(text)", "return float(text)"),
    Edit("study", "y: int = 3", "y: int = 4"),
    Edit("study", "FAST = 1", "FAST = 3"),
    Edit("study", "return function(*args)", "return [function(*args)]"),
    Edit("study", "return x * 2", "return x * 5"),
    Edit("study", "return 7", "return 8"),
    Edit("study", "return x + 1\n\n\ndef add_two", "return x + 9\n\n\ndef add_two"),
    Edit("study", "return y + 1", "return y + 2"),
    Edit("study", "return 5\n", "return 6\n"),
    Edit("study", '"hi"', '"hello"'),
    Edit("study", "yield i", "yield -i"),
    Edit("study", "lambda x: x + 1", "lambda x: x - 1"),
    Edit("study", 'return "other"', 'return "any"'),
    Edit("study", "self.n < other.n", "self.n > other.n"),
    Edit("tools", "FACTOR = 3", "FACTOR = 4"),
    Edit("tools", "text.strip()", "text.strip() + text"),
    Edit("tools", '"data"', '"more"'),
    Edit("later", "x + 1", "x + 2"),
    Edit("shapes", "self.side ** 2", "self.side ** 3"),
    Edit("study", "PICK = operator.add", "PICK = operator.sub"),
]
"""Bodies and values that it does use."""

ADDED = [
    Edit("study", "class Child(Parent):", "class Child(Parent):\n    def greet(self):\n        return 'own'\n"),
    Edit("study", "class Child(Parent):", "class Child(Parent):\n    tag = 'child'\n"),
    Edit("study", "class Child(Parent):", "class Child(Parent):\n    def __init__(self):\n        self.tag = 'set'\n"),
    Edit("study", "class Child(Parent):", "class Child(Parent):\n    make = classmethod(lambda cls: Parent)\n"),
    Edit("study", "class Stack(list):", "class Stack(list):\n    def __len__(self):\n        return 99\n"),
    Edit("study", "class Stack(list):", "class Stack(list):\n    def __init__(self):\n        self.append(1)\n"),
    Edit("study", "class Plain:", "class Plain:\n    extra = 1\n"),
    Edit("study", "class Plain:", "class Plain:\n    def __getattr__(self, name):\n        return 1\n"),
    Edit("study", "class Plain:", "class Plain:\n    def __eq__(self, other):\n        return True\n"),
    Edit("study", "class Plain:", "class Plain:\n    def __bool__(self):\n        return False\n"),
    Edit("study", "class Plain:", "class Plain:\n    def __len__(self):\n        return 0\n"),
    Edit(
        "study",
        "class Plain:",
        "class Plain(Shape):\n    def __eq__(self, other):\n        return NotImplemented\n\n"
        "    def __bool__(self):\n        return Square(0).area() != 0\n",
    ),
    Edit("study", "class Money:", "class Money:\n    def __str__(self):\n        return 'money'\n"),
    Edit(
        "study",
        "class Money:",
        "class Money:\n    def __format__(self, spec):\n        return 'money'\n\n"
        "    def __str__(self):\n        return f'{self}'\n",
    ),
    Edit(
        "study",
        "class Probe:",
        "class Found(type):\n    pass\n\n\nclass Probe:\n    def __getattribute__(self, name):\n        return name\n",
    ),
    Edit("study", 'found = "no"', 'found = property(lambda self: "yes")'),
    Edit(
        "study",
        "class Account:",
        "class Account:\n    def __new__(cls):\n        return Other()\n\n"
        "\nclass Other:\n    balance = 0\n\n\nclass Gone:",
    ),
    Edit("study", "class First(Kind): ...", "class First(Kind): ...\n\n\nclass Second(Kind): ..."),
    Edit("study", "@register\ndef triple", "@register\ndef quadruple(x):\n    return x * 4\n\n\n@register\ndef triple"),
    Edit("study", "@register\ndef triple", "def triple"),
    Edit("study", 'RULES = {"a": 1}', 'RULES = {"a": 1}\nRULES["b"] = 2'),
    Edit("study", "def total(", "def sum(values, start):\n    return 'own'\n\n\ndef total("),
    Edit("study", "def total(", "len = lambda x: 0\n\n\ndef total("),
    Edit("study", "def total(", "sorted = list\n\n\ndef total("),
    Edit(
        "study",
        "def total(",
        "def area(shape):\n    return 'early'\n\n\ndef repr(text):\n    return 'own'\n\n\ndef total(",
    ),
    Edit("study", "PICK = operator.add", "PICK = operator.add\n\n\ndef factor():\n    return 'later'"),
    Edit("study", "PICK = operator.add", "PICK = operator.add\n\n\nsmall = large"),
    Edit("study", "PICK = operator.add", "PICK = operator.add\n\n\nSquare.area = Shape.area"),
    Edit("study", "PICK = operator.add", "PICK = operator.add\n\n\ntools.FACTOR = 30"),
    Edit(
        "study",
        "PICK = operator.add",
        "PICK = operator.add\n\n\nfor name in ['compute']:\n    globals()[name] = fallback",
    ),
    Edit("study", "PICK = operator.add", "PICK = operator.add\n\n\nsetattr(Money, '__repr__', lambda self: 'set')"),
    Edit("study", "PICK = operator.add", "PICK = operator.add\n\n\ndef on_hook(x):\n    return 'hooked'"),
    Edit(
        "study",
        "PICK = operator.add",
        "PICK = operator.add\n\n\n@dispatch.register\ndef _(x: float):\n    return 'float'",
    ),
    Edit(
        "study",
        "PICK = operator.add",
        "PICK = operator.add\n\n\nclass Child(Parent):\n    def hello(self):\n        return 'second'",
    ),
    Edit("study", "PICK = operator.add", "PICK = operator.add\n\n\nMode = Enum('Mode', {'FAST': 'again'})"),
    Edit("study", "PICK = operator.add", "PICK = operator.add\nTABLE['a'] = triple"),
    Edit("study", "PICK = operator.add", "from functools import reduce as PICK\n\n\ndef PICK(a, b):\n    return b"),
    Edit("study", "@traced\ndef render", "@traced\n@traced\ndef render"),
    Edit("study", "@traced\ndef render", "@lambda function: str\ndef render"),
    Edit("study", "def small(n):", "def small(n, more=[1]):\n    n += len(more)"),
    Edit("study", "def checked(x):", "@register\ndef checked(x):"),
    Edit("study", "def checked(x):\n    return x", "def checked(x):\n    raise ValueError"),
    Edit("study", "def add_one(x):", "@functools.partial\ndef add_one(x):"),
    Edit(
        "study", "def count(n):", "@list\n@lambda f: [f]\ndef counted(n): ...\n\n\ndef count(n, range=lambda n: 'abc'):"
    ),
    Edit("study", "from shapes import *", "from shapes import *\nfrom tools import scale as area_"),
    Edit("study", "from tools import clean, Reader as Source", "from tools import scale as clean, Reader as Source"),
    Edit(
        "study",
        "from tools import clean, Reader as Source",
        "from tools import clean\nfrom shapes import Square as Source",
    ),
    Edit("study", "import tools\n", "import tools\nimport later as math\n"),
    Edit("study", "return shape.area() * factor()", "factor = len\n    return factor([shape])"),
    Edit("study", "return compute()", "compute = fallback\n        return compute()"),
    Edit(
        "shapes",
        "class Square(Shape):",
        "class Unit:\n    def area(self):\n        return 1\n\n"
        "\nclass Square(Unit, Shape):\n    area = Unit.area\n\n"
        "\nclass Square(Square):\n    def area(self):\n        return -1\n\n\nclass Old(Shape):",
    ),
    Edit(
        "shapes",
        "def root(x):",
        "def area(shape):\n    return 'shapes'\n\n\ndef total(x):\n    return 0\n\n\ndef root(x):",
    ),
    Edit(
        "shapes",
        "def root(x):",
        "class Point:\n    norm = describe = lambda *a: 0\n\n    def __init__(self, x): ...\n\n\ndef root(x):",
    ),
    Edit("tools", "def scale(x):", "@lambda f: lambda x: 0\ndef scale(x):"),
    Edit("tools", "class Reader:", "class Reader:\n    def __init__(self):\n        self.read = lambda: 'instance'\n"),
    Edit(
        "tools",
        "class Reader:",
        "class Meta(type):\n    def __call__(cls):\n        return super().__call__()\n\n"
        "\nclass Reader(metaclass=Meta):",
    ),
    Edit(
        "tools",
        "class Reader:",
        "class Closing:\n    def __getattribute__(self, name):\n        return str\n\n\nclass Reader(Closing):",
    ),
    Edit("tools", "class Reader:", "class Reader:\n    __slots__ = ('x',)\n"),
    Edit("later", "def shifted", "x = abs\n\n\ndef shifted"),
    Edit("later", "def shifted(x):", "def shifted(x, by=lambda x: x + 100):\n    x = by(x)"),
    Edit("study", "class Managed:", "class Managed:\n    def __init__(self):\n        self.n = 0\n"),
    Edit("study", "class Bag:", "class Bag:\n    def __bool__(self):\n        return False\n"),
    Edit("study", "class Sized:", "class Sized:\n    def __eq__(self, other):\n        return True\n"),
    Edit("study", "class Lazy:", "class Lazy:\n    def __init__(self):\n        self.__dict__['value'] = 'given'\n"),
    Edit("study", "class Kind: ...", "class Kind:\n    def __init_subclass__(cls):\n        cls.__name__ = 'renamed'"),
    Edit(
        "study", "    tags: list = field(default_factory=list)", "    tags: list = field(default_factory=lambda: [1])"
    ),
    Edit("study", "@dataclass\nclass Point", "@dataclass(repr=False)\nclass Point"),
    Edit(
        "study",
        "class Mode(Enum):",
        "class Mode(Enum):\n    def __init__(self, value):\n        self._value_ = value * 7\n",
    ),
]
"""Edits that add, shadow or rebind: what runs, or what it gives, may be different."""


class Run(NamedTuple):
    """What a step gave, and the fingerprint of its code."""

    value: str
    digest: bytes
    pruned: Any
    executed: Executed


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Any]:
    """Writes the modules, imports them as a new process would, and runs `study.step`."""
    number = 0

    def imported_and_run(files: Mapping[str, str]) -> Run:
        nonlocal number
        number += 1
        folder = tmp_path / str(number) / "study-folder"
        folder.mkdir(parents=True)
        for name, text in files.items():
            (folder / f"{name}.py").write_text(text)
        for name in files:
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        sys.path.insert(0, str(folder))
        earlier: set[tuple[str, str]] = set()
        items: set[tuple[str, str]] = set()
        try:
            with _profiled(str(folder), earlier):
                step = importlib.import_module("study").step
            fingerprint = Fingerprinter(folder).of(step)
            digest = fingerprint.digest
            with _profiled(str(folder), items):
                value = _value(step)
            return Run(value, digest, fingerprint.pruned, Executed(frozenset(items), frozenset(earlier)))
        finally:
            sys.path.remove(str(folder))

    before = sys.dont_write_bytecode
    sys.dont_write_bytecode = True
    yield imported_and_run
    sys.dont_write_bytecode = before
    for name in FILES:
        sys.modules.pop(name, None)


def _value(step: Any) -> str:
    try:
        return repr(step())
    except Exception as error:
        return repr(error)


class _profiled:
    """Notes which code below a folder runs; what the tracer of a worker does on newer Pythons."""

    def __init__(self, folder: str, found: set[tuple[str, str]]) -> None:
        self.folder, self.found = folder + os.sep, found

    def __enter__(self) -> None:
        sys.setprofile(self._called)

    def __exit__(self, *error: object) -> None:
        sys.setprofile(None)

    def _called(self, frame: Any, event: str, argument: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(self.folder):
            self.found.add((code.co_filename.removeprefix(self.folder).replace(os.sep, "/"), code.co_qualname))


SOURCES = {name: textwrap.dedent(text).lstrip("\n") for name, text in FILES.items()}


def edited(edit: Edit) -> dict[str, str]:
    """The files after an edit, whose place must be there exactly once."""
    text = SOURCES[edit.file]
    assert text.count(edit.old) == 1, f"{edit.old!r} stands {text.count(edit.old)} times in {edit.file}"
    return {**SOURCES, edit.file: text.replace(edit.old, edit.new)}


def test_an_edit_of_a_body_that_did_not_run_changes_nothing(run: Any) -> None:
    before = run(SOURCES)
    pruned = before.pruned(before.executed)
    assert pruned is not None
    for edit in UNEXECUTED:
        after = run(edited(edit))
        assert after.digest != before.digest, edit
        assert after.value == before.value, edit
        assert after.pruned(before.executed) == pruned, edit


def test_every_edit_that_changes_what_runs_is_seen(run: Any) -> None:
    before = run(SOURCES)
    pruned = before.pruned(before.executed)
    silent, unchanged = [], []
    for edit in EXECUTED + ADDED:
        after = run(edited(edit))
        if after.value == before.value:
            unchanged.append(edit)
        elif after.pruned(before.executed) == pruned:
            silent.append(edit)
    assert not silent
    assert len(EXECUTED + ADDED) - len(unchanged) >= 70, unchanged


LATER = "def work(x):\n    return x * 2\n\n\ndef idle(x):\n    return x\n"
AT_IMPORT = {
    "a table that is built": (
        "def build():\n    return {1: 2}\n\n\nTABLE = build()\n\n\ndef step():\n    return TABLE[1]\n",
        ("study", "{1: 2}", "{1: 1 + 1}"),
        ("study", "{1: 2}", "{1: 3}"),
    ),
    "a decorator": (
        (
            "def kept(function):\n    marks = [1]\n\n    def inner(x):\n        return function(x) + len(marks)\n\n"
            "    return inner\n\n\n@kept\ndef work(x):\n    return x\n\n\ndef step():\n    return work(1)\n"
        ),
        ("study", "marks = [1]", "marks = [2 - 1]"),
        ("study", "marks = [1]", "marks = [1, 1]"),
    ),
    "what a cached function keeps": (
        (
            "import functools\n\n\n@functools.lru_cache\ndef slow(x):\n    return deep(x)\n\n\n"
            "def deep(x):\n    return x * 2\n\n\ndef idle(x):\n    return 0\n\n\nslow(1)\n\n\n"
            "def step():\n    return slow(1)\n"
        ),
        ("study", "return 0", "return 1"),
        ("study", "x * 2", "x * 5"),
    ),
    "a cached property": (
        (
            "import functools\n\n\nclass Held:\n    @functools.cached_property\n    def value(self):\n"
            "        return deep(1)\n\n    def idle(self):\n        return 0\n\n\n"
            "def deep(x):\n    return x * 2\n\n\nHELD = Held()\nHELD.value\n\n\n"
            "def step():\n    return HELD.value\n"
        ),
        ("study", "return 0", "return 1"),
        ("study", "x * 2", "x * 5"),
    ),
    "a value that cannot be looked into": (
        (
            "def deep(x):\n    return x * 2\n\n\ndef idle(x):\n    return 0\n\n\ndef made():\n    first = deep(1)\n"
            "    return (n for n in [first])\n\n\nVALUES = made()\n\n\ndef step():\n    return list(VALUES)\n"
        ),
        ("study", "return 0", "return 1"),
        ("study", "x * 2", "x * 5"),
    ),
    "a setting": (
        (
            "import decimal\n\n\ndef digits():\n    return 5\n\n\ndef idle():\n    return 0\n\n\ndef setup():\n"
            "    decimal.getcontext().prec = digits()\n\n\nsetup()\n\n\ndef step():\n"
            "    return str(decimal.Decimal(1) / 3)\n"
        ),
        ("study", "return 0", "return 1"),
        ("study", "return 5", "return 7"),
    ),
    "a class that is changed": (
        (
            "def widened(cls):\n    cls.size = lambda self: deep(2)\n    return cls\n\n\n"
            "def deep(x):\n    return x\n\n\n"
            "@widened\nclass Box:\n    def idle(self):\n        return 0\n\n\ndef step():\n    return Box().size()\n"
        ),
        ("study", "return 0", "return 1"),
        ("study", "deep(2)", "deep(3)"),
    ),
    "an import in the step": (
        "def step():\n    from later import work\n\n    return work(1)\n",
        ("later", "return x\n", "return -x\n"),
        ("later", "x * 2", "x * 5"),
    ),
    "an import in the step of what registers": (
        "def step():\n    import later\n\n    return [f(1) for f in later.TABLE]\n",
        ("later", "return x\n", "return -x\n"),
        ("later", "x * 2", "x * 5"),
    ),
    "an import under a computed name": (
        "import importlib\n\n\ndef step(name='later'):\n    return importlib.import_module(name).work(1)\n",
        ("later", "return x\n", "return -x\n"),
        ("later", "x * 2", "x * 5"),
    ),
    "an entry of another module under a computed name": (
        "import importlib\n\n\ndef step(name='later'):\n    return importlib.import_module(name).work(1)\n",
        ("tools", "return n\n", "return -n\n"),
        ("later", "return x\n", "return x\n\n\ndef work(x):\n    return 'again'\n"),
    ),
    "a method behind an import in the step": (
        "def step():\n    from tools import Reader\n\n    return Reader().read(1)\n",
        ("tools", "return n\n", "return -n\n"),
        ("tools", "class Reader:\n", "class Reader:\n    def __getattribute__(self, name):\n        return str\n\n"),
    ),
}
"""By what a step finds of what ran while modules were imported: an edit that makes no difference, and one that does."""
_TOOLS = "class Reader:\n    def read(self, n):\n        return n + 1\n\n    def idle(self, n):\n        return n\n"


@pytest.mark.parametrize("form", AT_IMPORT)
def test_what_ran_at_import_counts_by_what_it_left(run: Any, form: str) -> None:
    text, harmless, harmful = AT_IMPORT[form]
    register = "\n\nTABLE = []\n\n\ndef add(f):\n    TABLE.append(f)\n    return f\n\n\nadd(work)\n"
    files = {"tools": _TOOLS, "later": LATER + (register if "registers" in form else ""), "study": text}

    def after(edit: tuple[str, str, str]) -> Any:
        assert files[edit[0]].count(edit[1]) == 1
        return run({**files, edit[0]: files[edit[0]].replace(edit[1], edit[2])})

    with decimal.localcontext():
        before = run(files)
        pruned = before.pruned(before.executed)
        assert pruned is not None
        same = after(harmless)
        assert same.value == before.value
        assert same.pruned(before.executed) == pruned
        other = after(harmful)
        assert other.value != before.value
        assert other.pruned(before.executed) != pruned


def test_what_reads_source_text_when_it_runs_prunes_nothing(run: Any) -> None:
    files = {
        **SOURCES,
        "study": SOURCES["study"].replace(
            "    return [\n", "    import inspect\n    inspect.getsource(large)\n    return [\n", 1
        ),
    }
    found = run(files)
    assert found.pruned(found.executed) is None
