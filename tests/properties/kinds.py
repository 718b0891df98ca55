"""Ways in which a result depends on something beside arguments: each a piece of a pipeline with a number to edit."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["HEAD", "KINDS", "Kind"]


class Kind(NamedTuple):
    """A piece of a pipeline. `{v}` stands for its number in all of it, which an edit changes.

    Parameters
    ----------
    code
        What stands at the top of the pipeline file.
    call
        Lines of the pipeline's body; `out` takes results.
    files
        Other files.
    """

    code: str
    call: str
    files: dict[str, str] = {}


HEAD = """\
import colorsys, contextvars, csv, decimal, enum, functools, gc, importlib, json, subprocess, sys, threading, warnings
from dataclasses import dataclass
from pathlib import Path
from jpipe import File
"""


def _step(name: str, body: str, options: str = "", parameters: str = "x") -> str:
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    return f"@step{options}\ndef {name}({parameters}):\n{lines}\n"


def _read(name: str, body: str, options: str = "", before: str = "") -> Kind:
    """A step that reads a file of its own name."""
    return Kind(before + _step(name, body, options), f"out.append({name}(1))", {f"{name}.txt": "{v}"})


def _global(name: str, top: str, body: str, use: str) -> Kind:
    """A step that uses what the layout set."""
    return Kind(f"{top}\n{_step(name, use)}", f"{body}\nout.append([{name}(1), {name}(2)])")


KINDS: dict[str, Kind] = {
    # what a decision looked at
    "file argument": Kind(_step("ka", "return open(x).read()"), "out.append(ka(File('ka.txt')))", {"ka.txt": "{v}"}),
    "files in a list": Kind(
        _step("kb", "return [open(f).read() for f in x]"), "out.append(kb([File('kb.txt')]))", {"kb.txt": "{v}"}
    ),
    "map over files": Kind(
        _step("kc", "return Path(x).read_text()"),
        "out.append(map(kc, [File('kc0.txt'), File('kc1.txt')]))",
        {"kc0.txt": "{v}", "kc1.txt": "a"},
    ),
    "depends on a file": _read(
        "kd", "return subprocess.run(['cat', 'kd.txt'], capture_output=True).stdout", "(depends=['kd.txt'])"
    ),
    "depends on a folder": Kind(
        _step("ke", "return subprocess.run(['ls', 'ke'], capture_output=True).stdout", "(depends=['ke'])"),
        "out.append(ke(1))",
        {"ke/{v}": ""},
    ),
    "hash that reads": Kind(
        "class N:\n    pass\n\n"
        + _step("kf", "return open('kf.txt').read()", "(hash={{N: lambda n: open('kf.txt').read()}})"),
        "out.append(kf(N()))",
        {"kf.txt": "{v}"},
    ),
    "read by the layout": Kind(_step("kg", "return x * 2"), "out.append(kg(open('kg.txt').read()))", {"kg.txt": "{v}"}),
    "read by the import": Kind(
        "TOP = open('kh.txt').read()\n\n" + _step("kh", "return x, TOP"), "out.append(kh(1))", {"kh.txt": "{v}"}
    ),
    # the state that the key was made of
    "global set in the body": _global("kia", "RATED = 0", "global RATED\nRATED = {v}", "return RATED * x"),
    "entry set in the body": _global("kib", "RATES = {{}}", "RATES['a'] = {v}", "return RATES['a'] * x"),
    "variable set in the body": _global("kic", "", "os.environ['KIC'] = '{v}'", "return os.environ['KIC'] * x"),
    "context set in the body": _global(
        "kid", "", "decimal.getcontext().prec = {v} + 3", "return str(decimal.Decimal(x) / 7)"
    ),
    "attribute set in the body": _global(
        "kie", "class Settings:\n    rate = 0\n", "Settings.rate = {v}", "return Settings.rate * x"
    ),
    "method set in the body": _global(
        "kig",
        "class Way:\n    def go(self, x):\n        return x\n\ndef way(self, x, k=[0]):\n    return x * {v} + k[0]\n",
        "Way.go = way\nway.__defaults__ = ([{v}],)",
        "return Way().go(x)",
    ),
    "variable of a function set in the body": _global(
        "kih",
        "def kih_kept():\n    held = [0]\n    def put(x):\n        held[0] = x\n    return put, lambda: held[0]\n\n"
        "kih_put, kih_get = kih_kept()",
        "kih_put({v})",
        "return kih_get() * x",
    ),
    "context set in the body of threads": _global(
        "kii",
        "HERE, CONTEXT = threading.local(), contextvars.ContextVar('CONTEXT', default=0)",
        "HERE.value = {v}\nCONTEXT.set({v})",
        "return HERE.value, CONTEXT.get(), x",
    ),
    "library changed in the body": _global(
        "kij",
        "",
        "csv.register_dialect('own', delimiter='abcde'[{v}])\ncolorsys.ONE_SIXTH = {v}",
        "return csv.get_dialect('own').delimiter, colorsys.ONE_SIXTH, x",
    ),
    # what an item inherits
    "cached read": _read(
        "kj",
        "return kj_load() * x",
        before="@functools.lru_cache\ndef kj_load():\n    return open('kj.txt').read()\n\n",
    ),
    "lazy global": _read(
        "kk",
        "global KK\nif KK is None:\n    KK = open('kk.txt').read()\nreturn KK * x",
        before="KK = None\n",
    ),
    "class attribute": _read(
        "kl",
        "return Lazy.get() * x",
        before="class Lazy:\n    data = None\n\n    @classmethod\n    def get(cls):\n        if cls.data is None:\n"
        "            cls.data = open('kl.txt').read()\n        return cls.data\n\n",
    ),
    "import in a step": Kind(
        _step("km", "import km_lazy\nreturn km_lazy.f(x)"),
        "out.append([km(1), km(2)])",
        {"km_lazy.py": "RATE = {v}\n\ndef f(x):\n    return RATE * x\n"},
    ),
    "computed import": Kind(
        _step("kn", "return importlib.import_module('kn_' + x).f()"),
        "out.append([kn('one'), kn('two')])",
        {"kn_one.py": "def f():\n    return {v}\n", "kn_two.py": "from kn_one import f\n"},
    ),
    # own code that a library holds
    "singledispatch": Kind(
        "import ko_shown\n" + _step("ko", "return ko_shown.show(x)"),
        "out.append(ko(1))",
        {
            "ko_shown.py": "import functools\n\n@functools.singledispatch\ndef show(x):\n    return 0\n\n"
            "@show.register\ndef _(x: int):\n    return x + {v}\n"
        },
    ),
    "subclasses": Kind(
        "import kp_kinds\n" + _step("kp", "return sorted(k().value() for k in kp_kinds.Base.__subclasses__())"),
        "out.append(kp(1))",
        {
            "kp_kinds.py": "class Base:\n    pass\n\nclass One(Base):\n    def value(self):\n        return {v}\n\n"
            "class Two(Base):\n    def value(self):\n        return 1\n"
        },
    ),
    "partial": Kind(
        "def kq_add(a, b):\n    return a + b\n\nADD = functools.partial(kq_add, {v})\n\n"
        + _step("kq", "return ADD(x)"),
        "out.append(kq(1))",
    ),
    "table of functions": Kind(
        "def kr0(x):\n    return x\n\ndef kr1(x):\n    return x + {v}\n\nTABLE = {{'a': kr0, 'b': kr1}}\n\n"
        + _step("kr", "return TABLE[x](1)"),
        "out.append([kr('a'), kr('b')])",
    ),
    "member of an enum": Kind(
        "class Level(enum.Enum):\n    LOW = {v}\n\n" + _step("ks", "return x.value"), "out.append(ks(Level.LOW))"
    ),
    "default": Kind(_step("kt", "return x + y", parameters="x, y={v}"), "out.append(kt(1))"),
    # files and paths
    "size": _read("ku", "return os.path.getsize('ku.txt')"),
    "existence": Kind(_step("kv", "return os.path.exists('kv1.txt')"), "out.append(kv(1))", {"kv{v}.txt": ""}),
    "sizes in a folder": Kind(
        _step("kw", "return sorted((e.name, e.stat().st_size) for e in os.scandir('kw'))"),
        "out.append(kw(1))",
        {"kw/a": "{v}{v}", "kw/b{v}": ""},
    ),
    "open for update": _read("kx", "with open('kx.txt', 'r+') as file:\n    return file.read()"),
    "handed on": Kind(
        _step("ky", "Path('ky.out').write_text(str(x))\nreturn File('ky.out')")
        + _step("ky_use", "return open(x).read()"),
        "out.append(ky_use(ky({v})))",
    ),
    "handed on as text": Kind(
        _step("kz", "Path('kz.out').write_text(str(x))\nreturn 'kz.out'") + _step("kz_use", "return open(x).read()"),
        "out.append(kz_use(kz({v})))",
    ),
    # keys name the step; equal calls
    "two with a version": Kind(
        _step("la", "return x + {v}", "(version={v})") + _step("lb", "return x * 3 + {v}", "(version={v})"),
        "out.append([la(2), lb(2)])",
    ),
    "equal calls": Kind(_step("lc", "return x * 2"), "out.append([lc(1), lc(1), lc({v})])"),
    "ignored": Kind(_step("ld", "return x", "(ignore=['y'])", "x, y"), "out.append(ld({v}, {v} + 1))"),
    # the process, and copies
    "leaves the process changed": Kind(
        _step("le", "sys.setrecursionlimit(4000)\nwarnings.simplefilter('ignore')\ngc.disable()\nreturn x + {v}"),
        "out.append([le(1), le(2)])",
    ),
    "subclass of dict": Kind(
        "from models import Box\n"
        + _step("lf", "return Box(a=x)")
        + _step("lf_use", "return type(x).__name__, x['a']"),
        "out.append(lf_use(lf({v})))",
    ),
    "array": Kind(
        _step("lg", "return np.arange(x + 200_000)")
        + _step("lg_use", "x = np.asarray(x)\nx += 1\nreturn int(x.sum())"),
        "out.append(lg_use(lg({v})))",
    ),
    "dataclass": Kind(
        "@dataclass\nclass Point:\n    x: int\n    y: int = {v}\n\n"
        + _step("lh", "return Point(x)")
        + _step("lh_use", "return x.x + x.y"),
        "out.append(lh_use(lh(1)))",
    ),
}
