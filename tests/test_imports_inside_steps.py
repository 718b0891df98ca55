"""What a step imports inside its body counts as if it were imported at the top of the file."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from jpipe.fingerprint.source.source_file import SourceFile

if TYPE_CHECKING:
    from conftest import Project

DEEP = "def work(x):\n    return x * 2\n"
CALL = "def f(x):\n    return {}(x)\n"
NAMED = {
    "from the package itself": {"__init__": "from . import deep\n" + CALL.format("deep.work")},
    "under another name": {"__init__": "from .deep import work as w\nf = w\n"},
    "by a star": {"__init__": "from .deep import *\n" + CALL.format("work")},
    "either or": {
        "__init__": "try:\n    from .nothing import work\nexcept ImportError:\n    from .deep import work\n"
        + CALL.format("work")
    },
    "in a partial": {"__init__": "import functools\nfrom . import deep\nf = functools.partial(deep.work)\n"},
    "in a table": {"__init__": "from .deep import work\nT = {'a': work}\n" + CALL.format("T['a']")},
    "in a class": {"__init__": "from .deep import work\nclass C:\n    h = staticmethod(work)\n" + CALL.format("C.h")},
    "in a base": {
        "__init__": "from .mid import B\nclass C(B):\n    pass\n" + CALL.format("C().go"),
        "mid": "from . import deep\nclass B:\n    def go(self, x):\n        return deep.work(x)\n",
    },
    "in another such step": {"__init__": "def f(x):\n    from .deep import work\n    return work(x)\n"},
}
"""Modules whose text names all that they use: of these no other function counts."""
GOES = "class C(B):\n    def go(self, x):\n        return work(x)\n"
REGISTRY = "T = {}\ndef reg(g):\n    T[g.__name__] = g\n    return g\n"
ADDS = "from .mid import reg\nfrom .deep import work\n@reg\ndef g(x):\n    return work(x)\n"
HIDDEN = {
    "an entry in another module's table": {
        "__init__": "from .mid import T\nfrom . import more\n" + CALL.format("T['a']"),
        "mid": "T = {}\n",
        "more": "from .mid import T\nfrom .deep import work\nT['a'] = work\n",
    },
    "a decorator that registers": {
        "__init__": "from .mid import T\nfrom . import more\n" + CALL.format("T['g']"),
        "mid": REGISTRY,
        "more": ADDS,
    },
    "a decorator in the same file": {
        "__init__": REGISTRY + "from .deep import work\n@reg\ndef g(x):\n    return work(x)\n" + CALL.format("T['g']")
    },
    "__init_subclass__": {
        "__init__": "from .mid import B\nfrom . import more\n" + CALL.format("B.known['C']().go"),
        "mid": "class B:\n    known = {}\n    def __init_subclass__(cls):\n        B.known[cls.__name__] = cls\n",
        "more": "from .mid import B\nfrom .deep import work\n" + GOES,
    },
    "__subclasses__": {
        "__init__": "from .mid import B\nfrom . import more\n" + CALL.format("B.__subclasses__()[0]().go"),
        "mid": "class B:\n    pass\n",
        "more": "from .mid import B\nfrom .deep import work\n" + GOES,
    },
    "a metaclass": {
        "__init__": "from .mid import M\nclass C(metaclass=M):\n    pass\n" + CALL.format("C.go"),
        "mid": "from .deep import work\nclass M(type):\n    def go(cls, x):\n        return work(x)\n",
    },
    "another module's attribute": {
        "__init__": "from . import mid, deep\nmid.work = deep.work\n" + CALL.format("mid.call"),
        "mid": "work = None\ndef call(x):\n    return work(x)\n",
    },
    "setattr": {
        "__init__": "from . import mid, deep\nsetattr(mid, 'work', deep.work)\n" + CALL.format("mid.call"),
        "mid": "work = None\ndef call(x):\n    return work(x)\n",
    },
    "a module's __getattr__": {
        "__init__": "def __getattr__(n):\n    if n == 'f':\n        from .deep import work\n        return work\n"
        "    raise AttributeError(n)\n"
    },
    "a loop": {
        "__init__": "from . import deep\nT = {}\nfor n in ('work',):\n    T[n] = getattr(deep, n)\n"
        + CALL.format("T['work']")
    },
    "globals": {"__init__": "from . import deep\nglobals().update(f=deep.work)\n"},
    "sys.modules": {
        "__init__": "import sys\nfrom . import deep\n" + CALL.format("sys.modules[__name__ + '.deep'].work"),
    },
    "singledispatch": {
        "__init__": "from .mid import sd\nfrom . import more\n" + CALL.format("sd"),
        "mid": "import functools\n@functools.singledispatch\ndef sd(x):\n    return None\n",
        "more": "from .mid import sd\nfrom .deep import work\n@sd.register\ndef _(x: int):\n    return work(x)\n",
    },
    "a right-hand side": {
        "__init__": "from .mid import T\nfrom . import more\n" + CALL.format("T['g']"),
        "mid": REGISTRY,
        "more": "from .mid import reg\nfrom .deep import work\n_ = [reg(g) for g in [lambda x: work(x)]]\n",
    },
    "a function at import": {
        "__init__": "from .deep import work\nH = None\ndef setup():\n    global H\n    H = work\nsetup()\n"
        + CALL.format("H")
    },
}
HIDDEN["a right-hand side"]["mid"] = REGISTRY.replace("g.__name__", "'g'")
STYLES = {"module": "import {p}\n    return {p}.f(x)", "name": "from {p} import f\n    return f(x)"}


@pytest.mark.parametrize("style", STYLES)
def test_an_edit_behind_an_import_inside_a_step_is_seen(project: Project, style: str) -> None:
    forms = list({**NAMED, **HIDDEN}.items())
    text = "from jpipe import pipeline, step\n"
    for number, (_, files) in enumerate(forms):
        body = STYLES[style].format(p=f"p{number}")
        text += f"@step\ndef s{number}(x):\n    {body}\n"
        project.write({f"p{number}/{name}.py": content for name, content in {**files, "deep": DEEP}.items()})
    calls = ", ".join(f"s{number}(3)" for number in range(len(forms)))
    project.write(text + f"@pipeline\ndef main():\n    return [{calls}]\n")

    def ran_after(old: str, new: str) -> set[str]:
        for number in range(len(forms)):
            project.edit(f"p{number}/deep.py", old, new)
        ran = project.run("-v").ran
        return {form for number, (form, _) in enumerate(forms) if f"s{number}" in ran}

    assert project.run().counts == (len(forms), 0)
    assert {form for form, _ in forms} - ran_after("* 2", "* 50") == set()
    assert ran_after("):\n", "):\n    '''Says so.'''  # or so\n") == set()
    assert ran_after("* 50\n", "* 50\n\ndef other():\n    return 5\n") & set(NAMED) == set()


def test_time_grows_with_the_size_of_a_module_and_no_faster() -> None:
    def seconds(size: int) -> float:
        lines = [f"def f{i}(x):\n    return [y + {i} for y in range(x)]\n" for i in range(size)]
        lines += ["TABLE = {\n", *(f"    {i}: lambda x: x + {i},\n" for i in range(size)), "}\n"]
        text = "".join(lines)
        start = time.process_time()
        parsed = SourceFile(lambda: text)
        for i in range(size):
            assert len(parsed.lambdas(2 * size + 2 + i)) == 1
            assert parsed.function(1 + 2 * i, f"f{i}") is not None
        return time.process_time() - start

    seconds(50)
    small = min(seconds(250) for _ in range(3))
    assert seconds(2000) < 8 * small * 3


COMPUTED = {
    "import_module": "importlib.import_module('plug_' + x).f()",
    "taken by its name": "0 + import_module('plug_' + x).f()",
    "relative": "importlib.import_module('.' + x, 'plugs').f()",
    "called": "__import__('plug_' + x).f()",
    "called with parts": "__import__('plugs', fromlist=[x]).__dict__[x].f()",
    "in a helper": "helper('plug_' + x).f()",
    "in another module": "loading.load('plug_' + x).f()",
    "kept in a dict": "loading.kept('plug_' + x).f()",
    "kept by a cache": "loading.cached('plug_' + x).f()",
    "in a thread": "ThreadPoolExecutor(1).submit(importlib.import_module, 'plug_' + x).result().f()",
    "in a loop": "[importlib.import_module(name).f() for name in ('plug_' + x, 'math') if name != 'math'][0]",
    "if there is one": "(importlib.import_module('plug_' + x) if importlib.util.find_spec('plug_' + x) else None).f()",
}
COMPUTED_HEAD = """
import importlib, importlib.util
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
import loading
from jpipe import pipeline, step

def helper(name):
    found = importlib.import_module(name)
    return found

def other():
    return 1

"""
LOADING = """
import functools, importlib

def load(name):
    return importlib.import_module(name)

_known = {}

def kept(name):
    if name not in _known:
        _known[name] = importlib.import_module(name)
    return _known[name]

@functools.lru_cache
def cached(name):
    return load(name)
"""
OPTIONAL = """
@step
def optional():
    try:
        return importlib.import_module("plug_" + "later").f()
    except ImportError:
        return 0
"""


@pytest.mark.parametrize("jobs", [["-j1"], ["-j2"], ["-j2", "--backend", "threading"]], ids=" ".join)
def test_what_is_imported_under_a_computed_name_counts_and_nothing_else(project: Project, jobs: list[str]) -> None:
    steps = "".join(f"@step\ndef s{i}(x):\n    return {text}\n\n" for i, text in enumerate(COMPUTED.values()))
    calls = ", ".join(f"s{i}('one'), s{i}('two')" for i in range(len(COMPUTED)))
    main = f"@pipeline\ndef main():\n    return [{calls}, optional()]\n"
    plugs = {
        "plug_one.py": "from deeper import VALUE\n\ndef f():\n    return VALUE\n",
        "deeper.py": "VALUE = 1\n",
        "plug_two.py": "def f():\n    import lazier\n    return lazier.VALUE\n",
        "lazier.py": "VALUE = 2\n",
        "plugs/__init__.py": "",
        "plugs/one.py": "from deeper import VALUE\n\ndef f():\n    return VALUE\n",
        "plugs/two.py": "def f():\n    return 2\n",
    }
    project.write({"pipeline.py": "", "loading.py": LOADING, **plugs})
    (project.root / "pipeline.py").write_text(COMPUTED_HEAD + OPTIONAL + "\n" + steps + main)
    count = len(COMPUTED)
    # What a thread of a step's own looks at counts for all items that run in this process at the same time.
    is_exact = "threading" not in jobs

    def again(expected: set[str]) -> dict[str, int]:
        ran = project.run(*jobs).ran
        assert ran.keys() == expected if is_exact else ran.keys() >= expected
        return ran

    assert project.run(*jobs).counts == (2 * count + 1, 0)
    (project.root / "scratch.py").write_text("X = 1\n")
    project.edit("pipeline.py", "def other():\n    return 1", "def other():\n    return 2")
    project.edit("deeper.py", "VALUE = 1", "# a comment\nVALUE = 1")
    again(set())
    project.edit("deeper.py", "VALUE = 1", "VALUE = 10")
    ran = again({f"s{i}" for i in range(count)})  # those that import plug_one
    kept = {f"s{i}" for i, name in enumerate(COMPUTED) if name.startswith("kept")}
    twice = {name for name, items in ran.items() if items > 1}
    assert twice <= kept or not is_exact, "of what a process keeps, all items may have it"
    project.edit("lazier.py", "VALUE = 2", "VALUE = 20")
    again({f"s{i}" for i, text in enumerate(COMPUTED.values()) if "plugs" not in text})  # those that import plug_two
    shown = project.command("show", "s0").stdout
    assert "10" in shown and "20" in shown
    (project.root / "plug_later.py").write_text("def f():\n    return 3\n")
    again({"optional"})
    again(set())
