"""What the expressions in the tables beside this file are written in: modules, classes, functions."""

# ruff: noqa: F401 - the tables use them

from __future__ import annotations

import array
import collections
import contextlib
import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import functools
import io
import ipaddress
import itertools
import math as math_module
import operator
import os
import pathlib
import pickle
import random
import re
import socket
import sqlite3
import tempfile
import threading
import types
import typing
import uuid
import weakref
import zoneinfo

import attrs
import duckdb
import joblib
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as pds
import pydantic
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import jpipe


@dataclasses.dataclass
class Point:
    x: float
    y: float


@dataclasses.dataclass
class Vector:
    x: float
    y: float


@dataclasses.dataclass(frozen=True, slots=True)
class Slotted:
    x: object
    y: object


@dataclasses.dataclass(frozen=True)
class Circle:
    radius: float

    @functools.cached_property
    def area(self) -> float:
        return 3 * self.radius**2


@attrs.define
class Attributes:
    x: object
    y: object = attrs.field(factory=list)


@attrs.frozen(cache_hash=True, slots=False)
class Hashed:
    name: str


class Settings(pydantic.BaseModel):
    rate: float
    names: list[str] = []


class Row(typing.NamedTuple):
    a: object
    b: object


class Colour(enum.Enum):
    RED = 1
    GREEN = 2


class Level(enum.IntEnum):
    ONE = 1


class Access(enum.Flag):
    READ = 1
    WRITE = 2


class Names(list):
    pass


class Bag(set):
    pass


class Text(str):
    __slots__ = ()


class Metres(float):
    pass


class Grid(np.ndarray):
    pass


class Table(pd.DataFrame):
    _metadata = ["origin"]

    @property
    def _constructor(self):
        return Table


class Model:
    def __init__(self, rate=1.0):
        self.rate = rate

    def predict(self, x):
        return x * self.rate


class Plain:
    __slots__ = {"b", "a", "c"}  # noqa: RUF023 - a set: its order is not that of another process

    def __init__(self, a, b, c):
        self.a, self.b, self.c = a, b, c


class WithLock:
    def __init__(self):
        self.name = "x"
        self._lock = threading.Lock()


class Forgetful(WithLock):
    def __getstate__(self):
        return {"name": self.name}

    def __setstate__(self, state):
        self.__init__()


class Listed:
    """Pickles through a function and a list of items."""

    def __init__(self, items=()):
        self.items = list(items)

    def __reduce__(self):
        return Listed, (), None, iter(self.items)

    def append(self, item):
        self.items.append(item)


class Unpicklable:
    def __reduce__(self):
        raise TypeError("no")


class Same:
    def __eq__(self, other):
        return isinstance(other, Same)

    __hash__ = None


def double(x):
    return 2 * x


def triple(x):
    return 3 * x


@functools.lru_cache
def remembered(x):
    return x


@jpipe.step
def a_step(x):
    return x


def make_adder(n):
    def add(x):
        return x + n

    return add


def pickled(value):
    return pickle.loads(pickle.dumps(value))


def itself(*before):
    loop = [*before]
    loop.append(loop)
    return loop


def pair_of_loops():
    one, other = ["one"], ["other"]
    one.append(other)
    other.append(one)
    return one, other


def parents(depth=3):
    top = types.SimpleNamespace(name="top", parent=None, children=[])
    here = top
    for level in range(depth):
        child = types.SimpleNamespace(name=f"level {level}", parent=here, children=[])
        here.children.append(child)
        here = child
    return top


class Friend:
    """Known by identity, so that a set of them has another order in each process."""

    def __init__(self, name):
        self.name = name
        self.friends = set()


def friends(names, *pairs):
    by_name = {name: Friend(name) for name in names}
    for one, other in pairs:
        by_name[one].friends.add(by_name[other])
    return by_name[min(names)]


def nested(depth, bottom):
    for _ in range(depth):
        bottom = [bottom]
    return bottom


def braid(depth, bottom):
    for _ in range(depth):
        bottom = (bottom, [bottom])
    return bottom


def mapped(values):
    folder = tempfile.mkdtemp()
    path = os.path.join(folder, "a.npy")
    np.save(path, values)
    return np.load(path, mmap_mode="r")


def with_attribute(frame, name, value):
    frame.attrs[name] = value
    return frame


def padded(fill):
    """A structured array whose padding bytes are whatever they were."""
    kind = np.dtype([("a", "i1"), ("b", "f8")], align=True)
    memory = np.full(2 * kind.itemsize, fill, "u1").view(kind)
    memory["a"] = [1, 2]
    memory["b"] = [3, 4]
    return memory


def long_double(fill):
    memory = np.full(16, fill, "u1").view(np.longdouble)
    memory[0] = np.longdouble(1) / 3
    return memory


def covered(under):
    """A nullable integer array with something under the mask."""
    return pd.array(pd.arrays.IntegerArray(np.array([1, under]), np.array([False, True])))


def under_null(bits):
    """An Arrow array with something under a null."""
    return pa.Array.from_buffers(pa.int64(), 2, [pa.py_buffer(b"\1"), pa.py_buffer(np.array([1, bits]))])


def drawn(generator):
    generator.random()
    return generator


def error(*notes):
    failure = ValueError("bad", 3)
    for note in notes:
        failure.add_note(note)
    return failure


def used(value, *calls):
    for call in calls:
        call(value)
    return value


def csr(rows):
    return sp.csr_array(np.array(rows, dtype=float))


def open_file():
    return open(__file__)


def generator():
    yield 1


async def coroutine():
    pass


class Reduced:
    """An object that pickles by whatever it is given."""

    def __init__(self, reduced):
        self.reduced = reduced

    def __reduce__(self):
        return self.reduced


def set_twice(thing, state):
    """A sixth part of a `__reduce__`: sets the state."""
    thing.update(state)


def set_once(thing, state):
    thing.update({**state, "once": True})


def with_setter(setter):
    return Reduced((dict, (), {"a": 1}, None, None, setter))


def from_library(function):
    """A function of the standard library's that nobody finds by name: it holds another one."""
    return contextlib.contextmanager(function)


def one_by_one():
    yield 1


def two_by_two():
    yield 2


def by_joblib(function):
    """What joblib makes of a function where it remembers nothing."""
    return joblib.Memory(None).cache(function)


def zone_of_a_file():
    from importlib import resources

    with (resources.files("tzdata.zoneinfo") / "UTC").open("rb") as file:
        return zoneinfo.ZoneInfo.from_file(file)


def dictionaries(*pieces):
    return pa.chunked_array([pa.array(piece).dictionary_encode() for piece in pieces])


def universal(number):
    return pa.ExtensionArray.from_storage(pa.uuid(), pa.array([bytes(15) + bytes([number])], pa.binary(16)))
