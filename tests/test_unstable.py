"""Objects that would count as new each time: addresses that they remember, and what differs in every copy."""

from __future__ import annotations

import itertools
import pickle
import random
import textwrap
from typing import Any

import pytest

from jpipe.digest import digest
from jpipe.digest.unstable import unstable_part
from tests.conftest import Project

ADDRESSES = {
    "of an attribute": "self.words = ['a']; self._words_id = id(self.words)",
    "of None": "self.words = None; self._words_id = id(self.words)",
    "of a truth value": "self.flag = True; self.flag_id = id(self.flag)",
    "of an empty tuple": "self.rest = (); self.rest_key = id(self.rest)",
    "of itself": "self.owner = id(self)",
    "of its class": "self._kind = id(type(self))",
    "of the class of an attribute": "self.words = ['a']; self._kind = id(list)",
    "of a part of a list": "self.words = [['a'], ['b']]; self._seen = id(self.words[1])",
    "of a part of a dict": "self.words = {'a': ['b']}; self._ref = id(self.words['a'])",
    "of two": "self.a, self.b = [1], [2]; self.a_id, self.b_id = id(self.a), id(self.b)",
    "before what it is of": "words = ['a']; self._id = id(words); self.words = words",
}
KINDS = {
    "plain": "class Kept:\n    def __init__(self):\n        {body}\n",
    "slots": "class Kept:\n    __slots__ = ('words', '_words_id', 'flag', 'flag_id', 'rest', 'rest_key', 'owner',"
    " '_kind', '_seen', '_ref', 'a', 'b', 'a_id', 'b_id', '_id')\n    def __init__(self):\n        {body}\n",
    "own state": "class Kept:\n    def __init__(self):\n        {body}\n    def __getstate__(self):\n"
    "        return dict(self.__dict__)\n",
    "a dict": "class Kept(dict):\n    def __init__(self):\n        {body}\n",
}


def made(source: str) -> Any:
    names: dict[str, Any] = {"__name__": "tests.test_unstable", "random": random, "numbers": itertools.count()}
    exec(source, names)
    kind = names["Kept"]
    globals()["Kept"] = kind
    return kind


@pytest.mark.parametrize("kind", KINDS)
def test_an_address_counts_by_what_lies_there(kind: str) -> None:
    for name, body in ADDRESSES.items():
        make = made(KINDS[kind].format(body=body))
        one, other = make(), make()
        assert digest(one).content == digest(other).content, name
        assert unstable_part(one) is None, name


def test_another_object_at_the_address_is_another_value() -> None:
    make = made(KINDS["plain"].format(body="self.a, self.b = [1], [1]; self._id = id(self.a)"))
    one, other, plain = make(), make(), make()
    other._id = id(other.b)
    plain._id = 5
    assert len({digest(value).content for value in (one, other, plain)}) == 3


NAMED = {
    "a key": ("self.words = [1]; self.table = {id(self.words): 2}", "result.table, a key"),
    "in a set": ("self.words = [1]; self.seen = {id(self.words)}", "result.seen"),
    "in a list": ("self.words = [1]; self.order = [id(self.words)]", "result.order[0]"),
    "deeper": ("self.words = [[1]]; self.way = {'a': (id(self.words[0]),)}", "result.way['a'][0]"),
    "of what is beside": ("self.a = {'x': []}; self.b = {'id': id(self.a['x'])}", "result.b['id']"),
    "another number each time": ("self.ok = 1; self.count = Counting()", "result.count.at"),
    "a drawn number": ("self.parts = [0, Drawing()]", "result.parts[1].at"),
}


def test_what_differs_each_time_is_named() -> None:
    head = (
        "class Counting:\n    def __getstate__(self):\n        return {'at': next(numbers)}\n"
        "class Drawing:\n    def __getstate__(self):\n        return {'at': random.random()}\n"
    )
    for name, (body, where) in NAMED.items():
        source = head + KINDS["plain"].format(body=body)
        make = made(source)
        for helper in ("Counting", "Drawing"):
            globals()[helper] = make.__init__.__globals__[helper]
        value = make()
        assert pickle.loads(pickle.dumps(value)) is not value
        assert unstable_part(value) == where, name
        assert unstable_part(value, hashers={make: lambda _: 1}) is None, "what the user says counts"


def test_an_equal_model_that_remembers_an_address_cuts_off(project: Project) -> None:
    project.write(
        {
            "pipeline.py": """
                from jpipe import pipeline, step
                from models import Model, Table

                @step
                def fit(docs):
                    return Model(docs)

                @step
                def tabled(docs):
                    return Table(docs)

                @step
                def use(model):
                    return model.docs

                @pipeline
                def main():
                    return use(fit(["a"])), use(tabled(["a"]))
            """,
            "models.py": textwrap.dedent("""
                class Model:
                    def __init__(self, docs):
                        self.docs, self.stop = docs, None
                        self._stop_id, self._docs_id = id(self.stop), id(docs)

                class Table:
                    def __init__(self, docs):
                        self.docs, self.at = docs, {id(docs): 1}
            """),
        }
    )
    told = project.run("-j1", json=False)
    assert told.stderr.count("another one in each process") == 1 and "result.at, a key" in told.stderr
    project.edit("pipeline.py", "return Model(docs)", "return Model(list(docs))")
    for jobs in ("-j1", "-j2"):
        assert project.run(jobs, "use", "--force", "fit").ran.get("use", 0) == 0, "its model is equal"
        assert project.run(jobs, "use").ran == {}
