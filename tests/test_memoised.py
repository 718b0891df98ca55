"""What a process reads once and remembers is an input of every item that takes it, and of no other."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Project

HEAD = """
import functools, json, late, linecache
from contextvars import ContextVar
from pathlib import Path
try:
    import jinja2
except ImportError:
    jinja2 = None
from jpipe import pipeline, step

T = None
KEPT = {}
WORDS = {"a": 1}

@functools.lru_cache
def cached():
    return open("t").read()

def lazy():
    global T
    if T is None:
        T = open("t").read()
    return T

def in_a_dict():
    if "t" not in KEPT:
        KEPT["t"] = open("t").read()
    return KEPT["t"]

def in_a_default(kept={}):
    if "t" not in kept:
        kept["t"] = open("t").read()
    return kept["t"]

def memo(function):
    kept = {}
    def wrapper():
        if 0 not in kept:
            kept[0] = function()
        return kept[0]
    return wrapper

@memo
def in_a_closure():
    return open("t").read()

def on_the_function():
    if not hasattr(on_the_function, "kept"):
        on_the_function.kept = open("t").read()
    return on_the_function.kept

class Table:
    kept = None

    @functools.cached_property
    def text(self):
        return open("t").read()

    def read(self):
        if self.kept is None:
            self.kept = open("t").read()
        return self.kept

    @classmethod
    def of_class(cls):
        if cls.kept is None:
            cls.kept = open("t").read()
        return cls.kept

TABLE, OTHER = Table(), Table()
PAGES = jinja2 and jinja2.Environment(loader=jinja2.FileSystemLoader("."), auto_reload=False)

class Data:
    def __init__(self, path):
        self.text = open(path).read()

CONTEXT = ContextVar("CONTEXT", default=None)

def in_a_context():
    if CONTEXT.get() is None:
        CONTEXT.set(open("t").read())
    return CONTEXT.get()

class Single:
    kept = None

    def __new__(cls):
        if cls.kept is None:
            cls.kept = super().__new__(cls)
            cls.kept.text = open("t").read()
        return cls.kept

read_text = functools.cache(Path.read_text)

class Missing(dict):
    def __missing__(self, name):
        self[name] = open(name).read()
        return self[name]

MISSING = Missing()

def lines():
    text = open("t").read()
    while True:
        yield text

LINES = lines()

def plain(path):
    found = {}
    for word in open(path):
        found[word] = WORDS.get("a")
    return found
"""
WAYS = {
    "by_cache": "cached()",
    "by_global": "lazy()",
    "by_dict": "in_a_dict()",
    "by_default": "in_a_default()",
    "by_closure": "in_a_closure()",
    "by_attribute": "on_the_function()",
    "by_property": "TABLE.text",
    "by_method": "OTHER.read()",
    "by_class": "Table.of_class()",
    "by_template": "PAGES.get_template('t').render()",
    "by_import": "imported()",
    "by_module": "late.T",
    "by_context": "in_a_context()",
    "by_single": "Single().text",
    "by_missing": "MISSING['t']",
    "by_generator": "next(LINES)",
    "by_package": "read_text(Path('t'))",
    "by_linecache": "linecache.getline('t', 1)",
}
if find_spec("jinja2") is None:
    del WAYS["by_template"]


@pytest.mark.parametrize("jobs", ["-j1", "-j2"])
def test_what_was_read_once_is_an_input_of_all_items(project: Project, jobs: str) -> None:
    imported = "\ndef imported():\n    import tab\n    return tab.T\n"
    steps = "".join(f"@step\ndef {name}(i):\n    return i, {text}\n\n" for name, text in WAYS.items())
    quiet = "@step\ndef anew(i):\n    return plain(f'{i}.txt'), Data(f'{i}.txt').text\n\n"
    calls = "".join(f"    [{name}(i) for i in range(3)]\n" for name in (*WAYS, "anew"))
    late = "def __getattr__(name):\n    if name != 'T': raise AttributeError(name)\n"
    late += "    globals()['T'] = open('t').read()\n    return T\n"
    project.write({"tab.py": "T = open('t').read()\n", "late.py": late})
    text = f"{HEAD}{imported}\n{steps}{quiet}@pipeline\ndef main():\n{calls}    return 1\n"
    (project.root / "pipeline.py").write_text(text)
    (project.root / "t").write_text("before")
    for i in range(3):
        (project.root / f"{i}.txt").write_text("x")
    assert project.run(jobs).ran == dict.fromkeys((*WAYS, "anew"), 3)
    (project.root / "t").write_text("afterwards")
    (project.root / "0.txt").write_text("another")
    assert project.run(jobs).ran == {**dict.fromkeys(WAYS, 3), "anew": 1}
