"""Values, as Python expressions, whose digests must be equal, must differ, or must be refused."""

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
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
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
    pass


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
    __slots__ = {"b", "a", "c"}  # noqa: PLC0208 - a set, on purpose: its order is not that of another process

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
    return open(__file__)  # noqa: SIM115, PTH123


def generator():
    yield 1


async def coroutine():
    pass


# In one process the left expression, in another with another PYTHONHASHSEED the right one.
EQUAL = [
    ('{"b", "a", "c"}', '{"c", "a", "b"}'),
    ('frozenset({("x", 1), ("y", 2)})', 'frozenset({("y", 2), ("x", 1)})'),
    ('{"k": {3, 1, 2}, "l": [frozenset("abc")]}', '{"k": {2, 1, 3}, "l": [frozenset("cba")]}'),
    ('{frozenset({"a", "b"}): {"x"}, "s": {frozenset("pq"), frozenset("rs")}}',) * 2,
    ('{str(i) for i in range(1000)}', '{str(i) for i in reversed(range(1000))}'),
    ("(lambda x: [x, x])([1, 2])", "[[1, 2], [1, 2]]"),
    ("(lambda x: [x, x])(np.arange(3))", "[np.arange(3), np.arange(3)]"),
    ("(lambda x: [x, x])(Point(1, [2]))", "[Point(1, [2]), Point(1, [2])]"),
    ("(lambda x: [x] * 5)(list(range(3000)))", "[list(range(3000)) for _ in range(5)]"),
    ("(lambda x: {'a': x, 'b': x})(dt.date(2024, 1, 1))", "{'a': dt.date(2024, 1, 1), 'b': dt.date(2024, 1, 1)}"),
    ('("ab" + "c", "abc")', '("abc", "a" + "bc")'),
    ('["".join(["key", "1"]), "key1"]', '["key1", "key1"]'),
    ("braid(8, (1,))", "pickled(braid(8, (1,)))"),
    ("braid(40, 1)", "braid(40, 1)"),
    ("np.arange(12.0).reshape(3, 4)", "np.asfortranarray(np.arange(12.0).reshape(3, 4))"),
    ("np.arange(24.0)[::2]", "np.arange(0.0, 24.0, 2.0)"),
    ("np.arange(10)[::-1]", "np.array([9, 8, 7, 6, 5, 4, 3, 2, 1, 0])"),
    ("np.arange(24).reshape(2, 3, 4).transpose(2, 0, 1)", "np.arange(24).reshape(2, 3, 4).transpose(2, 0, 1).copy()"),
    ("np.arange(8).reshape(1, 8)[:, :4]", "np.arange(4).reshape(1, 4)"),
    ("np.arange(4_000_000.0).reshape(2000, 2000).T", "np.ascontiguousarray(np.arange(4_000_000.0).reshape(2000, 2000).T)"),
    ("np.arange(2_000_000)[::2]", "np.arange(0, 2_000_000, 2)"),
    ("mapped(np.arange(5.0))", "np.arange(5.0)"),
    ("mapped(np.arange(500_000.0))[10:]", "np.arange(10.0, 500_000.0)"),
    ('np.arange(4, dtype=">i4").astype("<i4")', 'np.arange(4, dtype="<i4")'),
    ("np.broadcast_to(np.float64(1), (3,))", "np.ones(3)"),
    ("used(np.arange(3), lambda a: a.setflags(write=False))", "np.arange(3)"),
    ("padded(0)", "padded(255)"),
    ("long_double(0)", "long_double(255)"),
    ("np.array(['a', ['b', {1, 2}]], dtype=object)", "np.array(['a', ['b', {2, 1}]], dtype=object)"),
    ("np.array(['a', None], dtype=np.dtypes.StringDType(na_object=None))",) * 2,
    (
        'pd.DataFrame({"a": [1, 2], "b": [3, 4]})',
        'pd.concat([pd.DataFrame({"a": [1, 2]}), pd.DataFrame({"b": [3, 4]})], axis=1)',
    ),
    (
        'pd.DataFrame({"a": [1, 2, 3]})[lambda d: d.a > 1].reset_index(drop=True)',
        'pd.DataFrame({"a": [2, 3]})',
    ),
    ('pd.DataFrame(np.arange(6.0).reshape(3, 2), columns=["a", "b"])', 'pd.DataFrame({"a": [0.0, 2, 4], "b": [1.0, 3, 5]})'),
    ('pd.DataFrame({"a": ["x", "y"]})', 'pd.concat([pd.DataFrame({"a": [s]}) for s in "xy"], ignore_index=True)'),
    ('pd.Series(["x", "y"], dtype="category")', 'pickled(pd.Series(["x", "y"], dtype="category"))'),
    ("covered(5)", "covered(77)"),
    ("pd.Series(['a', 'b', 'c'])[1:].reset_index(drop=True)", "pd.Series(['b', 'c'])"),
    ("used(pd.Series([1, 2]), lambda s: s.is_unique, lambda s: s.index.is_monotonic_increasing)", "pd.Series([1, 2])"),
    ("used(pd.Index(['a', 'b']), lambda i: i.get_loc('b'))", "pd.Index(['a', 'b'])"),
    ("pa.chunked_array([['a'], ['b', None]])", "pa.chunked_array([['a', 'b', None]])"),
    ("pa.array([0, 1, 2, 3])[1:]", "pa.array([1, 2, 3])"),
    ("pa.array([[1], [2, 3]])[1:]", "pa.array([[2, 3]])"),
    ("pa.array([True, False, True])[1:]", "pa.array([False, True])"),
    ("pa.concat_tables([pa.table({'a': [1]}), pa.table({'a': [2]})])", "pa.table({'a': [1, 2]})"),
    ("under_null(5)", "under_null(6)"),
    ("pl.concat([pl.DataFrame({'a': ['x']}), pl.DataFrame({'a': [None]})])", "pl.DataFrame({'a': ['x', None]})"),
    ("pl.Series([3, 1, 2]).sort()", "pl.Series([1, 2, 3])"),
    ("pl.Series(['b', 'a', 'b'], dtype=pl.Categorical)[1:]", "pl.Series(['a', 'b'], dtype=pl.Categorical)"),
    ("used(csr([[0, 1], [2, 0]]), lambda a: a.has_sorted_indices)", "csr([[0, 1], [2, 0]])"),
    ("Point(1, 2)", "Point(1, 2)"),
    ("Attributes(1, {'a', 'b'})", "Attributes(1, {'b', 'a'})"),
    ("used(Hashed('x'), hash)", "Hashed('x')"),
    ("Settings(rate=1, names=['x'])", "Settings(rate=1.0, names=['x'])"),
    ("Slotted({'p', 'q'}, 2)", "Slotted({'q', 'p'}, 2)"),
    ("Plain(1, 2, 3)", "Plain(1, 2, 3)"),
    ("Bag(['p', 'q', 'r'])", "Bag(['r', 'q', 'p'])"),
    ("used(Circle(2), lambda c: c.area)", "Circle(2)"),
    ("Forgetful()", "Forgetful()"),
    ("Listed([1, {'a', 'b'}])", "Listed([1, {'b', 'a'}])"),
    ("used(remembered, lambda f: f(1))", "remembered"),
    ("a_step", "a_step.function"),
    ("functools.partial(operator.mul, 2)", "functools.partial(operator.mul, 2)"),
    ("make_adder(2)", "make_adder(2)"),
    ("random.random", "random.random"),
    ("np.random.normal", "used(np.random.normal, lambda f: f())"),
    ("np.random.default_rng(3)", "np.random.default_rng(3)"),
    ("np.random.RandomState(3)", "np.random.RandomState(3)"),
    ("random.Random(3)", "random.Random(3)"),
    ("LogisticRegression(C=2)", "clone(LogisticRegression(C=2))"),
    (
        "make_pipeline(StandardScaler(), RandomForestClassifier(random_state=0))",
        "clone(make_pipeline(StandardScaler(), RandomForestClassifier(random_state=0)))",
    ),
    (
        "RandomForestClassifier(3, random_state=0).fit([[0], [1], [2], [3]], [0, 1, 0, 1])",
        "RandomForestClassifier(3, random_state=0).fit([[0], [1], [2], [3]], [0, 1, 0, 1])",
    ),
    ("itself(1)", "itself(1)"),
    ("[itself(1), itself(1)]", "(lambda x: [x, x])(itself(1))"),
    ("list(pair_of_loops())", "[pair_of_loops()[0], pair_of_loops()[1]]"),
    ("parents()", "parents()"),
    ("friends('abc', 'ab', 'ac', 'ba', 'cb')", "friends('cba', 'cb', 'ba', 'ac', 'ab')"),
    ("nested(5000, 1)", "nested(5000, 1)"),
]

# Must survive a pickle round trip, in another process.
STABLE = [
    *["None", "...", "NotImplemented", "2**100", "-(2**63)", "float('nan')", "float('inf')", "1e-320", "2 + 3j", "'\\ud800'"],
    *["b'\\0'", "bytearray(b'ab')", "array.array('d', [1, 2])", "range(3)", "slice(1, None)", "frozenset()", "set()"],
    *["decimal.Decimal('1.10')", "fractions.Fraction(1, 3)", "dt.timedelta(1)", "dt.time(1, fold=1)", "dt.date(2024, 1, 1)"],
    *["dt.datetime(2024, 1, 1, tzinfo=zoneinfo.ZoneInfo('Europe/Berlin'))", "dt.timezone(dt.timedelta(hours=1), 'x')"],
    *["pathlib.Path('a/b')", "pathlib.PureWindowsPath('a')", "uuid.UUID(int=3)", "ipaddress.ip_network('10.0.0.0/8')"],
    *["re.compile('a+', re.I)", "collections.deque([1, {2}], 5)", "collections.defaultdict(list, a=[1])"],
    *["collections.Counter('abca')", "collections.ChainMap({'a': 1}, {'b': 2})", "types.SimpleNamespace(a=1, b={'p', 'q'})"],
    *["collections.OrderedDict(a=1)", "types.GenericAlias(list, (int,))", "int | None", "typing.Optional[int]"],
    *["typing.Callable[[int], str]", "list[int]", "Row(1, {'a', 'b'})", "Colour.RED", "Level.ONE", "Access.READ | Access.WRITE"],
    *["error()", "error('note')", "OSError(2, 'gone', 'file')", "len", "str.upper", "'a'.upper", "[1].append", "dict.fromkeys"],
    *["operator.itemgetter(1, 2)", "operator.attrgetter('a.b')", "functools.partial(double, x=3)", "double", "Model", "Model(2).predict"],
    *["Model(3)", "Names([1, 2])", "Text('x')", "Metres(2)", "math_module", "itertools.count(3)", "io.BytesIO(b'x')"],
    *["np.float32(1)", "np.longdouble(1)", "np.datetime64('2024-01-01', 'ns')", "np.str_('x')", "np.void(b'ab')", "np.int64"],
    *["np.array(1)", "np.zeros((0, 3))", "np.array('ab')", "np.array([b'a', b'bc'])", "np.array([True])", "np.zeros(3, 'c16')"],
    *["np.rec.array([(1, 2.0)], dtype=[('a', 'i4'), ('b', 'f8')])", "np.ma.masked_array([1, 2], [0, 1], fill_value=7)"],
    *["np.ma.masked", "np.matrix([[1]])", "np.arange(3).view(Grid)", "np.dtype([('a', 'i4', (2,))])", "np.add", "np.mean"],
    *["np.array([dt.date(2024, 1, 1), None])", "np.random.SeedSequence(5)", "np.random.PCG64(3)", "np.poly1d([1, 2])", "np.s_[1:2, ...]"],
    *["pd.Timestamp('2024-01-01', tz='Europe/Berlin')", "pd.NaT", "pd.NA", "pd.Timedelta('1D')", "pd.Period('2024-01')"],
    *["pd.Interval(0, 1)", "pd.offsets.MonthEnd(2)", "pd.CategoricalDtype(['a'])", "pd.DatetimeTZDtype('ns', 'UTC')"],
    *["pd.MultiIndex.from_product([[1, 2], ['a']], names=['p', 'q'])", "pd.interval_range(0, 3)", "pd.RangeIndex(3)"],
    *["pd.period_range('2024', periods=3, freq='M')", "pd.date_range('2024', periods=3, tz='UTC')", "pd.CategoricalIndex(['a'])"],
    *["pd.Series(pd.arrays.SparseArray([0, 0, 1]))", "pd.Series([1.5, None], dtype='float64[pyarrow]')"],
    *["pd.Series(['a', None], dtype='string[python]')", "pd.Series([True, None], dtype='boolean')", "pd.DataFrame()"],
    *["pd.DataFrame({'a': [1, 2], 'b': ['x', None], 'c': [[1], {'k': {2, 3}}]}, index=pd.Index([5, 6], name='i'))"],
    *["with_attribute(pd.DataFrame({'a': [1]}), 'unit', 'm')", "Table({'a': [1]})"],
    *["pl.DataFrame({'a': [1, None], 'b': ['x', None], 'c': [[1], []], 'd': [dt.date(2024, 1, 1)] * 2})", "pl.Int64"],
    *["pl.Series([decimal.Decimal('1.1')])", "pl.Series([{'a': 1}])", "pl.Series(['a'], dtype=pl.Enum(['a', 'b']))"],
    *["pa.table({'a': [1, None], 'b': ['x', None], 'c': [[1], []], 'd': [{'x': 1}, {'x': None}], 'e': [True, None]})"],
    *["pa.array(['a', 'b', 'a']).dictionary_encode()", "pa.scalar(1)", "pa.schema([('a', pa.int8())], metadata={'k': 'v'})"],
    *["pa.array([[('a', 1)]], pa.map_(pa.string(), pa.int8()))", "pa.nulls(3)", "pa.array([[1, 2], None], pa.list_(pa.int8(), 2))"],
    *["csr([[0, 1]])", "sp.coo_array(np.eye(2))", "sp.dok_array(np.eye(2))", "sp.lil_array(np.eye(2))", "sp.dia_array(np.eye(2))"],
    *["itself(1)", "parents()", "a_step", "Hashed('x')", "Plain(1, 2, 3)", "Forgetful()", "Same()"],
]

# Within a group each must differ from every other.
DIFFERENT = [
    [
        *["1", "1.0", "True", "'1'", "b'1'", "np.int64(1)", "np.int32(1)", "np.float64(1)", "np.array(1)", "np.array([1])"],
        *["[1]", "(1,)", "{1}", "frozenset({1})", "{1: None}", "decimal.Decimal(1)", "fractions.Fraction(1)", "complex(1)"],
        *["bytearray(b'1')", "memoryview(b'1')", "Level.ONE", "Text('1')", "Metres(1)", "np.bool_(True)", "np.str_('1')"],
        *["np.bytes_(b'1')", "np.array('1')", "array.array('b', [1])", "collections.deque([1])", "Names([1])", "Bag([1])"],
        *["pd.Series([1])", "pd.Index([1])", "pd.DataFrame([1])", "pl.Series([1])", "pa.array([1])", "pa.scalar(1)", "range(1, 2)"],
        *["collections.Counter([1])", "np.ma.masked_array([1])", "np.matrix([1])", "iter([1])", "types.MappingProxyType({1: None})"],
        *["{1: None}.keys()", "lambda: 1", "int", "'int'", "Row(1, None)", "(1, None)", "pd.array([1])", "1 + 0j + 1e-300j"],
    ],
    ["None", "'None'", "...", "type(None)", "()", "[]", "{}", "set()", "frozenset()", "''", "b''", "0", "0.0", "-0.0", "False"],
    ["[[1], [2]]", "[[1, 2]]", "[1, [2]]", "[[1], 2]", "[1, 2]", "[[], 1, 2]", "[[[1, 2]]]", "[[1, 2], []]"],
    ["['ab', 'c']", "['a', 'bc']", "['abc']", "['abc', '']", "[['abc']]", "['ab', b'c']", "('ab', 'c')"],
    ["{'a': 1, 'b': 2}", "{'b': 2, 'a': 1}", "{'a': 2, 'b': 1}", "[('a', 1), ('b', 2)]", "{'a': {'b': 2}}"],
    ["collections.OrderedDict(a=1)", "dict(a=1)", "collections.defaultdict(None, a=1)", "collections.Counter(a=1)"],
    ["collections.defaultdict(int)", "collections.defaultdict(list)", "collections.deque()", "collections.deque(maxlen=3)"],
    ["0.0", "-0.0", "0", "0j", "-0j", "complex(0, -0.0)", "[0.0]", "[-0.0]", "np.zeros(1)", "-np.zeros(1)"],
    ["2**63", "2**63 - 1", "-(2**63)", "2.0**63", "2**64", "2**31", "-(2**31)", "str(2**63)"],
    ["float('nan')", "float('inf')", "-float('inf')", "np.nan * np.ones(1)", "decimal.Decimal('nan')", "pd.NA", "pd.NaT", "None"],
    ["np.arange(6).reshape(2, 3)", "np.arange(6).reshape(3, 2)", "np.arange(6)", "np.arange(6).reshape(3, 2).T", "np.arange(6).tolist()"],
    ["np.zeros(4, 'f4')", "np.zeros(2, 'f8')", "np.zeros(2, 'i8')", "np.zeros(2, '>i8')", "np.zeros(16, 'u1')", "np.zeros(2, 'c8')"],
    ["np.zeros(3, 'M8[s]')", "np.zeros(3, 'M8[ms]')", "np.zeros(3, 'm8[s]')", "np.zeros(3, 'i8')", "np.zeros(3, 'M8[2s]')"],
    ["np.zeros(0)", "np.zeros((0, 3))", "np.zeros((3, 0))", "np.zeros(0, 'i8')"],
    ["np.array(['a'])", "np.array(['a'], 'U5')", "np.array([b'a'])", "np.array(['a'], object)", "np.array(['a'], np.dtypes.StringDType())"],
    ["np.zeros(1, [('a', 'i4')])", "np.zeros(1, [('b', 'i4')])", "np.zeros(1, 'i4')", "np.zeros(1, [('a', 'i4', (1,))])", "np.zeros(1, 'V4')"],
    ["np.dtype([('a', 'i1'), ('b', 'f8')])", "np.dtype([('a', 'i1'), ('b', 'f8')], align=True)", "np.dtype('i1')", "np.int8", "'int8'"],
    ["np.ma.masked_array([1, 2], [0, 1])", "np.ma.masked_array([1, 2], [1, 0])", "np.ma.masked_array([1, 3], [0, 1])"],
    ["np.ma.masked_array([1, 2], [0, 1], fill_value=3)", "np.ma.masked_array([1, 2], [0, 1], fill_value=4)"],
    ["np.matrix([[1]])", "np.array([[1]])", "np.array([[1]]).view(Grid)", "np.ma.masked_array([[1]])"],
    ["np.array([1, None])", "np.array([None, 1])", "np.array([1, 'None'], object)", "np.array([[1, None]])", "[1, None]"],
    ["np.longdouble(1) / 3", "np.longdouble(1 / 3)", "np.float64(1 / 3)"],
    [
        *["pd.DataFrame({'a': [1]})", "pd.DataFrame({'b': [1]})", "pd.DataFrame({'a': [1.0]})", "pd.DataFrame({'a': ['1']})"],
        *["pd.DataFrame({'a': [1]}, index=[1])", "pd.DataFrame({'a': [1]}, index=['0'])", "pd.DataFrame({'a': [1]}, index=[0])"],
        *["pd.DataFrame({'a': [True]})", "pd.DataFrame({'a': pd.array([1])})", "pd.DataFrame({'a': [1]}, dtype=object)"],
        *["pd.DataFrame({'a': [1]}, index=pd.Index([0], name='i'))", "pd.DataFrame({'a': [1]}).rename_axis(columns='c')"],
        *["with_attribute(pd.DataFrame({'a': [1]}), 'unit', 'm')", "Table({'a': [1]})", "pd.DataFrame([[1]])", "pd.DataFrame({0: [1]}, index=[0])"],
        *["pd.DataFrame({'a': [1, 1]})", "pd.DataFrame({'a': []})", "pd.DataFrame({'a': pd.Categorical([1])})", "pd.DataFrame({('a',): [1]})"],
        *["pd.DataFrame({'a': [1]}).set_flags(allows_duplicate_labels=False)", "pd.DataFrame({'a': [1]}, dtype='int64[pyarrow]')"],
    ],
    ["pd.DataFrame({'a': [1], 'b': [2]})", "pd.DataFrame({'b': [2], 'a': [1]})", "pd.DataFrame({'a': [2], 'b': [1]})"],
    ["pd.Series([1], name='x')", "pd.Series([1], name='y')", "pd.Series([1])", "pd.Series([1], name=0)", "pd.Series([1], name=('x',))"],
    ["pd.Series(['a'], dtype='category')", "pd.Series(['a'], dtype='object')", "pd.Series(['a'])", "pd.Series(['a'], dtype='string')"],
    [
        *["pd.Categorical(['a'], ['a', 'b'])", "pd.Categorical(['a'], ['b', 'a'])", "pd.Categorical(['a'], ['a'])"],
        *["pd.Categorical(['a'], ['a', 'b'], ordered=True)", "pd.CategoricalIndex(['a'], ['a', 'b'])"],
    ],
    ["pd.Series([1, None], dtype='Int64')", "pd.Series([1, 0], dtype='Int64')", "pd.Series([1, None])", "pd.Series([1, None], dtype='Int32')"],
    [
        *["pd.Timestamp('2024-01-01')", "pd.Timestamp('2024-01-01', tz='UTC')", "dt.datetime(2024, 1, 1)", "dt.date(2024, 1, 1)"],
        *["dt.datetime(2024, 1, 1, tzinfo=dt.timezone.utc)", "dt.datetime(2024, 1, 1, fold=1)", "np.datetime64('2024-01-01')"],
        *["dt.datetime(2024, 1, 1, tzinfo=zoneinfo.ZoneInfo('UTC'))", "pd.Period('2024-01-01', 'D')", "'2024-01-01'"],
        *["pd.Timestamp('2024-01-01').as_unit('s')", "pd.Timestamp('2024-01-01').as_unit('ns')"],
    ],
    [
        *["pd.date_range('2024', periods=2)", "pd.date_range('2024', periods=2, tz='UTC')", "pd.date_range('2024', periods=2).as_unit('s')"],
        *["pd.date_range('2024', periods=2)._with_freq(None)", "pd.date_range('2024', periods=2).astype(object)", "pd.period_range('2024', periods=2, freq='D')"],
    ],
    ["pd.RangeIndex(3)", "pd.Index([0, 1, 2])", "pd.RangeIndex(0, 6, 2)", "pd.RangeIndex(3, name='i')", "pd.Index([0.0, 1, 2])"],
    [
        *["pd.MultiIndex.from_product([[1, 2], ['a']])", "pd.MultiIndex.from_product([[1, 2], ['b']])"],
        *["pd.MultiIndex.from_product([[2, 1], ['a']])", "pd.MultiIndex.from_product([[1, 2], ['a']], names=['p', 'q'])"],
    ],
    ["pl.DataFrame({'a': [1]})", "pl.DataFrame({'b': [1]})", "pl.DataFrame({'a': [1.0]})", "pl.DataFrame({'a': [2]})", "pl.DataFrame({'a': [None]})"],
    ["pl.Series([1])", "pl.Series('x', [1])", "pl.Series([1], dtype=pl.Int32)", "pl.Series([[1]])", "pl.Series([None], dtype=pl.Int64)"],
    ["pa.table({'a': [1]})", "pa.table({'b': [1]})", "pa.table({'a': [1]}).replace_schema_metadata({'k': 'v'})", "pa.record_batch({'a': [1]})"],
    ["pa.array([1, None])", "pa.array([1, 0])", "pa.array([1, None], pa.int32())", "pa.array(['1', None])", "pa.array([[1], None])"],
    ["csr([[0, 1]])", "csr([[1, 0]])", "csr([[0, 1], [0, 0]])", "csr([[0, 1]]).tocsc()", "sp.csr_matrix(csr([[0, 1]]))", "csr([[0, 2]])"],
    ["pathlib.PurePosixPath('a')", "'a'", "pathlib.PureWindowsPath('a')", "pathlib.PosixPath('a')", "pathlib.PurePosixPath('b')"],
    [
        *["Point(1, 2)", "Vector(1, 2)", "Point(2, 1)", "Point(1.0, 2)", "(1, 2)", "{'x': 1, 'y': 2}", "Slotted(1, 2)", "Attributes(1, 2)"],
        *["Row(1, 2)", "used(Point(1, 2), lambda p: setattr(p, 'z', 3))", "Point", "types.SimpleNamespace(x=1, y=2)"],
    ],
    ["Settings(rate=1)", "Settings(rate=2)", "Settings(rate=1, names=['x'])", "Settings", "{'rate': 1.0, 'names': []}"],
    ["Colour.RED", "Colour.GREEN", "Access.READ", "Access.READ | Access.WRITE", "1", "Level.ONE", "Colour"],
    ["(lambda: 2, lambda: 3)[0]", "(lambda: 2, lambda: 3)[1]", "lambda: 4", "make_adder(2)", "make_adder(3)", "double", "triple", "lambda x: 2 * x"],
    ["Model(1).predict", "Model(2).predict", "Model.predict", "Model(1)", "Model(2)", "Model"],
    ["functools.partial(double, 1)", "functools.partial(double, 2)", "functools.partial(triple, 1)", "functools.partial(double, x=1)", "double"],
    ["len", "'len'", "sum", "str.upper", "str.lower", "'a'.upper", "'b'.upper", "[].append", "[1].append", "[1].pop"],
    ["np.add", "np.subtract", "np.mean", "np.sum", "operator.add", "math_module", "re"],
    ["operator.itemgetter(1)", "operator.itemgetter(2)", "operator.attrgetter('a')", "operator.methodcaller('a')"],
    ["re.compile('a')", "re.compile('a', re.I)", "re.compile(b'a')", "re.compile('b')", "'a'"],
    ["ValueError('a')", "TypeError('a')", "ValueError('b')", "error()", "error('note')", "ValueError"],
    ["np.random.default_rng(3)", "np.random.default_rng(4)", "drawn(np.random.default_rng(3))", "np.random.RandomState(3)", "random.Random(3)"],
    ["random.Random(3)", "drawn(random.Random(3))", "np.random.PCG64(3)", "np.random.SeedSequence(3)", "random.random"],
    ["LogisticRegression(C=1)", "LogisticRegression(C=2)", "LogisticRegression(C=1).fit([[0], [1]], [0, 1])", "StandardScaler()"],
    ["LogisticRegression().fit([[0], [1]], [0, 1])", "LogisticRegression().fit([[0], [2]], [0, 1])"],
    [
        *["itself()", "[itself()]", "[[itself()]]", "itself(1)", "itself(2)", "[1, itself(1)]", "[1, [1, itself(1)]]", "[]", "[[]]"],
        *["pair_of_loops()[0]", "pair_of_loops()[1]", "list(pair_of_loops())", "list(reversed(pair_of_loops()))"],
    ],
    ["parents(3)", "parents(4)", "parents(0)"],
    ["friends('abc', 'ab', 'ba')", "friends('abc', 'ab', 'ba', 'bc', 'ca')", "friends('abc', 'ab', 'bc', 'ca')", "friends('abd', 'ab', 'bd', 'da')"],
    ["nested(50, 1)", "nested(50, 2)", "nested(51, 1)", "nested(50, 1.0)", "nested(50, [])", "nested(3000, 1)", "nested(3000, 2)"],
    ["braid(30, 1)", "braid(30, 2)", "braid(31, 1)"],
    ["range(3)", "range(4)", "range(0, 3, 2)", "[0, 1, 2]", "slice(3)", "slice(0, 3)", "slice(3, None)"],
    ["list[int]", "list[str]", "list", "typing.List[int]", "tuple[int]", "int | None", "int | str", "typing.Literal[1]"],
    ["list(range(1000))", "list(range(1001))", "tuple(range(1000))", "[list(range(1000))]", "[str(i) for i in range(1000)]"],
    ["'x' * 1000", "'x' * 1001", "b'x' * 1000", "['x' * 1000]", "bytearray(b'x' * 1000)", "np.frombuffer(b'x' * 1000, 'u1')"],
    ["Listed([1])", "Listed([2])", "Listed()", "[1]"],
    ["uuid.UUID(int=3)", "uuid.UUID(int=4)", "3", "ipaddress.ip_address(3)", "ipaddress.ip_address('::3')"],
]

# Expression, and where the message says that the trouble is.
REFUSED = [
    ("threading.Lock()", "value: "),
    ("threading.RLock()", "value: "),
    ("threading.Event()", "value._cond"),
    ("open_file()", "value: "),
    ("socket.socket()", "value: "),
    ("generator()", "value: "),
    ("(i for i in 'ab')", "value: "),
    ("used(coroutine(), lambda c: c.close())", "value: "),
    ("sqlite3.connect(':memory:')", "value: "),
    ("duckdb.connect()", "value: "),
    ("weakref.ref(Model)", "value: "),
    ("threading.local()", "value: "),
    ("iter({1, 2})", "value: "),
    ("object()", "value: "),
    ("Unpicklable()", "value: "),
    ("pl.DataFrame({'a': [1]}).lazy()", "value: "),
    ("map(double, generator())", "value(1): "),
    ("tempfile.TemporaryFile('w')", "value"),
    ("WithLock()", "value._lock: "),
    ("{'model': [1, WithLock()]}", "value['model'][1]._lock: "),
    ("{'rows': [{}, {}, {}, {'conn': sqlite3.connect(':memory:')}]}", "value['rows'][3]['conn']: "),
    ("Point(1, {'k': (threading.Lock(),)})", "value.y['k'][0]: "),
    ("Slotted(1, threading.Lock())", "value"),
    ("Attributes(1, [generator()])", "value"),
    ("Settings.model_construct(rate=threading.Lock())", "value"),
    ("pd.DataFrame({'n': [1, 2, 3], 'x': [1, 'a', threading.Lock()]})", "value column 'x' row 2: "),
    ("pd.Series([[open_file()]])", "value row 0[0]: "),
    ("np.array([[1, 2], [3, generator()]], object)", "value[1, 1]: "),
    ("{threading.Lock(): 1}", "value["),
    ("frozenset({socket.socket()})", "value{…}: "),
    ("functools.partial(double, threading.Lock())", "value.args[0]: "),
    ("WithLock().__init__", "value.__self__._lock: "),
    ("types.SimpleNamespace(a=[generator()])", "value.a[0]: "),
    ("collections.deque([1, generator()])", "value[1]: "),
    ("collections.OrderedDict(a=generator())", "value['a']: "),
    ("itself(generator())", "value[0]: "),
    ("nested(3000, generator())", "value[0][0][0]"),
]

import math as math_module  # noqa: E402 - a module as a value

__all__ = ["DIFFERENT", "EQUAL", "REFUSED", "STABLE"]
_USED = (contextlib, itertools, weakref)
