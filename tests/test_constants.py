"""Constants in the code of a step: one whose content changed runs the step again, one that is as it was does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conftest import Project

PIPELINE = """
    {first}
    from jpipe import pipeline, step

    {setup}

    {steps}

    @pipeline
    def main():
        return [{calls}]
    """
SETUP = """
    import collections, dataclasses, datetime, decimal, enum, functools, logging, pathlib, re, threading, types
    from typing import NamedTuple
    import numpy as np
    import jpipe

    class Plain:
        def __init__(self, *held): self.held = held

    class Condition(Plain): pass
    class Event(Plain): pass
    class Barrier(Plain): pass
    class Thread(Plain): pass
    class Lock(Plain): pass
    class Logger(Plain): pass

    @dataclasses.dataclass(frozen=True)
    class Semaphore:
        name: str
        dose: float

    class WithLock(Plain):
        def __init__(self, *held):
            super().__init__(*held)
            self.lock = threading.Lock()

    class Transient(Plain):
        def __getstate__(self): return {}

    class ByName(Plain):
        def __reduce__(self): return "CONSTANT"

    class Rebuilt(Plain):
        def __reduce__(self): return Rebuilt, ()

    class Registered(Plain): pass

    class Items(collections.deque): pass
    class Table(dict):
        def __reduce__(self): return Table, ()
    class Name(str): pass
    class Row(NamedTuple):
        x: object

    class Slots:
        __slots__ = ("x", "__weakref__")
        def __init__(self, x): self.x = x
        def __getstate__(self): return None
        def __setstate__(self, state): pass

    def times(factor, x=1): return factor * x
    """
CONTENT = (
    *("Condition(1)", "Event(1)", "Barrier(1)", "Thread(1)", "Lock(1)", "Logger(1)", "Semaphore('a', 1)"),
    *("WithLock(1)", "Transient(1)", "ByName(1)", "Rebuilt(1)", "Items([1])", "Table(a=1)", "Name('1')", "Row(1)"),
    *("Slots(1)", "{'a': [Plain(1)]}", "[threading.Lock(), 1]", "re.compile('1')", "datetime.timedelta(1)"),
    *("decimal.Decimal(1)", "pathlib.PurePath('1')", "np.arange(3) + 1", "np.float32(1)", "np.dtype('i1')"),
    *("functools.partial(times, 1)", "functools.lru_cache(lambda: 1)", "lambda: 1", "types.SimpleNamespace(a=1)"),
    *("{Plain(1)}", "{1: threading.Event()}", "jpipe.File('1')", "np.random.default_rng(1)", "Plain(1).__init__"),
    *("np.random.default_rng(1).normal", "{'a': np.random.RandomState(1)}", "Plain(np.random.default_rng(1))"),
)
"""Constants with a 1 in them that counts."""


def pipeline_of(constants: list[str], setup: str = SETUP) -> str:
    steps = [f"C{i} = {text}\n    @step\n    def s{i}(): return repr(C{i})[:0]" for i, text in enumerate(constants)]
    calls = ", ".join(f"s{i}()" for i in range(len(constants)))
    return PIPELINE.format(first="", setup=setup, steps="\n    ".join(steps), calls=calls)


def test_a_constant_counts_by_what_is_in_it(project: Project) -> None:
    project.write(pipeline_of(list(CONTENT)))
    assert project.run().counts == (len(CONTENT), 0)
    project.edit("pipeline.py", "from jpipe import pipeline, step", "from jpipe import pipeline, step  # so")
    assert project.run().counts == (0, len(CONTENT))
    project.write(pipeline_of([text.replace("1", "2") for text in CONTENT]))
    ran = project.run().ran
    assert [text for i, text in enumerate(CONTENT) if f"s{i}" not in ran] == []


WITHOUT = (
    *("random.random", "random.choice", "rnd", "drawn", "normal", "np.random.normal", "np.random.random"),
    *("{'u': np.random.random}", "[random.random, {'c': rnd.choice}]", "functools.partial(rnd.choice, [1, 2])"),
    *("random._inst", "np.random.mtrand._rand", "Plain(np.random.mtrand._rand)", "np.random.default_rng()"),
    *("np.random.default_rng().normal", "{'r': np.random.default_rng()}", "Plain(np.random.RandomState())"),
    *("random.Random()", "random.Random().random", "random.SystemRandom()", "np.random.SeedSequence()"),
    *("threading.Lock()", "threading.local()", "logging.getLogger('a')", "object()", "Plain(object())"),
    *("scipy.stats.norm", "scipy.stats.norm.rvs", "weakref.WeakValueDictionary()", "Model", "Model()"),
)
"""Constants whose content differs from process to process, or says nothing."""


def test_what_differs_in_every_process_does_not_count(project: Project) -> None:
    setup = """
    import collections, dataclasses, functools, logging, random, random as rnd, threading, weakref
    from random import random as drawn
    from typing import ClassVar
    import numpy as np, scipy.stats
    from numpy.random import normal

    class Plain:
        def __init__(self, held): self.held = held

    @dataclasses.dataclass
    class Model:
        RATE: ClassVar[float] = 0.5
        hidden: dataclasses.InitVar[int] = 1
        x: int = 1
    """
    project.write(pipeline_of(list(WITHOUT), setup))
    ran, cached = project.run().counts
    assert ran + cached == len(WITHOUT), "steps that say the same are one call"
    project.edit("pipeline.py", "from jpipe import pipeline, step", "from jpipe import pipeline, step  # so")
    ran = project.run(env={"PYTHONHASHSEED": "7"}).ran
    assert [text for i, text in enumerate(WITHOUT) if f"s{i}" in ran] == []


def test_a_wrapper_may_carry_more_defaults_than_it_has_parameters(project: Project) -> None:
    project.write(
        """
        from jpipe import pipeline, step

        def passing(f):
            def wrapper(*args, **kwargs):
                return f(*args, **kwargs)
            wrapper.__defaults__ = f.__defaults__
            wrapper.__kwdefaults__ = f.__kwdefaults__
            return wrapper

        @passing
        def area(a, b=2, *, c=3):
            return a * b * c

        @step
        def measure(x: int) -> int:
            return area(x)

        @pipeline
        def main():
            return measure(1)
        """
    )
    assert project.run().ran == {"measure": 1}
    assert project.run().ran == {}
    project.edit("pipeline.py", "b=2", "b=4")
    assert project.run().ran == {"measure": 1}
