"""With `code = "ran"`, through the real command: what a step did not run does not make it run again."""

from __future__ import annotations

import importlib
import json
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

from jpipe.worker.module_state import changes_since, state_of_modules

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Project

traced = pytest.mark.skipif(sys.version_info < (3, 12), reason="what runs is told from Python 3.12 on")


def value_of(project: Project) -> str:
    """What the pipeline gives, from the cache where that counts."""
    found = project.python("-c", "import pipeline; print(float(pipeline.main.run()))")
    return found.stdout.split()[-1].removesuffix(".0")


CONFIGURED = {"pyproject.toml": '[tool.jpipe]\ncode = "ran"\n'}
FILES = {
    **CONFIGURED,
    "pipeline.py": """
        from jpipe import map, pipeline, step
        from helper import Shape, other, used


        @step
        def numbers(n):
            return list(range(n))


        @step
        def score(v, big=False):
            return other(v) if big else used(v)


        @step
        def total(rows):
            return sum(rows) + Shape().area()


        @pipeline
        def main(n: int = 6):
            return total(map(score, numbers(n)))
    """,
    "helper.py": """
        def used(x):
            return x * 2 if x < 100 else rare(x)


        def rare(x):
            return x + 1


        def other(x):
            return x + 5


        class Base:
            def area(self):
                return 1


        class Shape(Base):
            def edges(self):
                return 4
    """,
}


@traced
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_an_edit_of_what_did_not_run_runs_nothing(project: Project, jobs: str) -> None:
    project.write(FILES)
    assert project.run("-j", jobs).ran == {"numbers": 1, "score": 6, "total": 1}
    project.edit("helper.py", "x + 1", "x + 100")
    project.edit("helper.py", "x + 5", "rare(x)")
    project.edit("helper.py", "return 4", "return 5")
    assert project.run("-j", jobs).counts == (0, 8)
    project.edit("helper.py", "x * 2", "x * 3")
    assert project.run("-j", jobs).ran == {"score": 6, "total": 1}
    project.edit("helper.py", "x * 3", "x * 2")
    assert project.run("-j", jobs).counts == (0, 8)
    project.edit("helper.py", "class Shape(Base):", "class Shape(Base):\n    def area(self):\n        return 2\n\n")
    assert project.run("-j", jobs).ran == {"total": 1}


@traced
def test_new_arguments_reach_code_that_did_not_run_before(project: Project) -> None:
    project.write(FILES)
    project.run()
    project.edit("helper.py", "x + 1", "x + 100")
    assert project.run("--set", "n=102").ran == {"numbers": 1, "score": 96, "total": 1}
    project.edit("helper.py", "x + 100", "x + 1")
    assert project.run("--set", "n=102").ran == {"score": 96, "total": 1}


def test_the_step_may_say_it_and_older_pythons_count_all_that_is_reachable(project: Project) -> None:
    project.write({**FILES, "pyproject.toml": ""})
    project.edit("pipeline.py", "@step\ndef score", '@step(code="ran")\ndef score')
    project.run()
    project.edit("helper.py", "x + 1", "x + 100")
    assert project.run().ran == ({} if sys.version_info >= (3, 12) else {"score": 6})
    project.edit("helper.py", "return 4", "return 5")
    assert project.run().ran == {"total": 1}


MEMOS = {
    "lru_cache": """
        import functools
        @functools.lru_cache
        def memo(x):
            return slow(x)
        def slow(x):
            return x * 2
    """,
    "dict": """
        CACHE = {}
        def put(x, value):
            CACHE[x] = value
        def memo(x):
            if x not in CACHE:
                put(x, slow(x))
            return CACHE[x]
        def slow(x):
            return x * 2
    """,
    "global": """
        VALUE = None
        def memo(x):
            global VALUE
            if VALUE is None:
                VALUE = slow(x)
            return VALUE
        def slow(x):
            return x * 2
    """,
    "attribute of a function": """
        def memo(x):
            if not hasattr(memo, "value"):
                memo.value = slow(x)
            return memo.value
        def slow(x):
            return x * 2
    """,
    "attribute of a class": """
        class Memo:
            value = None
            def get(self, x):
                if self.value is None:
                    type(self).value = slow(x)
                return self.value
        def memo(x):
            return Memo().get(x)
        def slow(x):
            return x * 2
    """,
    "instance": """
        import functools
        class Memo:
            @functools.cached_property
            def value(self):
                return slow(2)
        MEMO = Memo()
        def memo(x):
            return MEMO.value
        def slow(x):
            return x * 2
    """,
    "closure": """
        def keeping(function):
            known = []
            def inner(x):
                if not known:
                    known.append(function(x))
                return known[0]
            return inner
        def slow(x):
            return x * 2
        memo = keeping(slow)
    """,
    "array": """
        import numpy
        KNOWN = numpy.zeros(3)
        def memo(x):
            if not KNOWN[x]:
                KNOWN[x] = slow(x)
            return float(KNOWN[x])
        def slow(x):
            return x * 2
    """,
    "late import": """
        def memo(x):
            import keeper
            if x not in keeper.KNOWN:
                keeper.KNOWN[x] = slow(x)
            return keeper.KNOWN[x]
        def slow(x):
            return x * 2
    """,
}


@pytest.mark.parametrize("memo", MEMOS)
def test_what_is_left_behind_in_modules_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, memo: str) -> None:
    for name, text in {"keeper": "KNOWN = {}\n", "memo": textwrap.dedent(MEMOS[memo])}.items():
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    kept = importlib.import_module("memo")

    own = {"memo", "CACHE", "VALUE", "Memo", "MEMO", "KNOWN", "keeper"}  # modules of other tests change as they like

    def changed() -> frozenset[str]:
        assert before is not None
        found = changes_since(before)
        assert found is not None
        return found[0] & own

    try:
        before = state_of_modules()
        assert changed() == set()
        kept.memo(2)
        assert changed() != set()
    finally:
        for name in ("memo", "keeper"):
            sys.modules.pop(name, None)


EVERYDAY = ("lru_cache", "late import")


@traced
@pytest.mark.parametrize("memo", [pytest.param(m, marks=[] if m in EVERYDAY else [pytest.mark.slow]) for m in MEMOS])
@pytest.mark.parametrize("jobs", ["1", pytest.param("2", marks=pytest.mark.slow)])
def test_what_an_earlier_step_left_behind_counts_for_those_that_find_it(project: Project, memo: str, jobs: str) -> None:
    project.write(
        {
            **CONFIGURED,
            "keeper.py": "KNOWN = {}\n",
            "memo.py": MEMOS[memo],
            "pipeline.py": """
                from jpipe import pipeline, step
                from memo import memo, slow


                @step
                def first(x):
                    return memo(x)


                @step
                def third(x):
                    return slow(x) if x > 100 else x


                @step
                def second(x, y):
                    return memo(x) + y - y


                @pipeline
                def main():
                    one = first(2)
                    return second(third(2), one)
            """,
        }
    )
    assert project.run("-j", jobs).ran == {"first": 1, "second": 1, "third": 1}
    project.edit("memo.py", "x * 2", "x * 5")
    assert project.run("-j", jobs).ran == {"first": 1, "second": 1}
    assert value_of(project) == "10"


HOLDERS = """
    import json
    class Holder:
        def __init__(self):
            self.known = {}
        def get(self, x):
            if x not in self.known:
                self.known[x] = slow(x.real) if x.imag else x
            return self.known[x]
    def slow(x):
        return x * 2
    SHARED, GIVEN = Holder(), Holder()
    json.JSONEncoder.default = GIVEN.get
"""


@traced
def test_what_one_object_keeps_counts_for_those_that_find_it_and_not_for_others_of_its_class(project: Project) -> None:
    project.write(
        {
            **CONFIGURED,
            "holders.py": HOLDERS,
            "pipeline.py": """
                import json
                import holders
                from jpipe import pipeline, step


                @step
                def fills():
                    return holders.SHARED.get(2j + 1) + holders.GIVEN.get(2j + 3)


                @step
                def finds():
                    return holders.SHARED.get(2j + 1)


                @step
                def finds_through_a_library():
                    return json.dumps(2j + 3)


                @step
                def has_its_own():
                    return holders.Holder().get(5)


                @pipeline
                def main():
                    return [fills(), finds(), finds_through_a_library(), has_its_own()]
            """,
        }
    )
    assert sum(project.run("-j", "1").ran.values()) == 4
    project.edit("holders.py", "x * 2", "x * 5")
    assert set(project.run("-j", "1").ran) >= {"fills", "finds", "finds_through_a_library"}
    project.edit("holders.py", "json.JSONEncoder.default = GIVEN.get", "")
    project.edit("pipeline.py", "json.dumps(2j + 3)", "json.dumps(3)")
    project.run("-j", "1")
    project.edit("holders.py", "x * 5", "x * 7")
    assert set(project.run("-j", "1").ran) == {"fills", "finds"}


WAYS = {
    "a thread": """
        import threading
        import {helper}
        def work(x):
            found = []
            thread = threading.Thread(target=lambda: found.append({helper}.inner(x)))
            thread.start()
            thread.join()
            return found[0]
    """,
    "a computed name": """
        import {helper}
        def work(x):
            return getattr({helper}, "in" + "ner")(x)
    """,
    "evaluated text": """
        import {helper}
        def work(x):
            return eval("{helper}.inn" + "er(x)")
    """,
    "a computed import": """
        import importlib
        def work(x):
            return importlib.import_module("hel" + "{helper}"[3:]).inner(x)
    """,
    "a late import": """
        def work(x):
            from {helper} import inner
            return inner(x)
    """,
    "a library": """
        import functools, json
        import {helper}
        def work(x):
            return json.loads("1.5", parse_float=lambda text: {helper}.inner(x))
    """,
    "a function that a library keeps": """
        import {helper}
        from joblib import Memory
        keeping = Memory("{helper}", verbose=0).cache({helper}.inner)
        def work(x):
            return keeping(x)
    """,
    "a function whose text a library reads": """
        import {helper}
        from joblib import Memory
        def work(x):
            return Memory("{helper}", verbose=0).cache({helper}.inner)(x)
    """,
    "a finaliser": """
        import {helper}
        class Closing:
            def __init__(self, found):
                self.found = found
            def __del__(self):
                self.found.append({helper}.inner(2))
        def work(x):
            found = []
            Closing(found)
            return found[0]
    """,
    "a generator": """
        import {helper}
        def numbers():
            for x in range(10):
                yield {helper}.inner(x)
        NUMBERS = numbers()
        next(NUMBERS), next(NUMBERS)
        def work(x):
            return next(NUMBERS)
    """,
    "a pool": """
        from concurrent.futures import ProcessPoolExecutor
        import {helper}
        def work(x):
            with ProcessPoolExecutor(1) as pool:
                return list(pool.map({helper}.inner, [x]))[0]
    """,
    "a fork": """
        import os
        import {helper}
        def work(x):
            reader, writer = os.pipe()
            if os.fork() == 0:
                os.write(writer, str({helper}.inner(x)).encode())
                os._exit(0)
            os.wait()
            return int(os.read(reader, 100))
    """,
}
"""How code is reached that names do not lead to; after the last two nothing is told of a process."""


@traced
def test_code_that_ran_counts_however_it_was_reached(project: Project) -> None:
    helper = "def inner(x):\n    return x * 2\n\n\ndef unused(x):\n    return x\n"
    files, steps = dict(CONFIGURED), ["from jpipe import pipeline, step\n"]
    for number, text in enumerate(WAYS.values()):
        files |= {f"helper{number}.py": helper, f"work{number}.py": text.replace("{helper}", f"helper{number}")}
        steps.append(f"import work{number}\n\n\n@step\ndef s{number}(x):\n    return work{number}.work(x)\n")
    calls = ", ".join(f"s{number}(2)" for number in range(len(WAYS)))
    project.write({**files, "pipeline.py": f"{''.join(steps)}\n\n@pipeline\ndef main():\n    return [{calls}]\n"})

    def ran_after(old: str, new: str) -> set[str]:
        for number in range(len(WAYS)):
            project.edit(f"helper{number}.py", old, new)
        ran = project.run("-j", "1").ran
        return {way for number, way in enumerate(WAYS) if f"s{number}" in ran}

    project.run("-j", "1")
    project.run("-j", "1", "--force", "s*")  # what a library has kept, it need not run again
    # Where text was read or work given away, all that is reachable counts, which is every file for that one.
    assert ran_after("return x\n", "return -x\n") <= {"a computed import"}
    assert ran_after("x * 2", "x * 5") == set(WAYS)
    found = project.python("-c", "import pipeline; print(list(map(float, pipeline.main.run())))")
    assert found.stdout.splitlines()[-1] == str([10.0] * len(WAYS))


SHOWN = {
    "a late import": """
        def work(x):
            import {helper}
            return {helper}.inner(x)
    """,
    "a traceback": """
        import traceback
        from {helper} import inner
        def work(x):
            try:
                inner(str)
            except TypeError:
                traceback.format_exc()
            return inner(x) + len(traceback.extract_stack()) * 0
    """,
    "a warning": """
        import warnings
        from {helper} import inner
        def work(x):
            warnings.warn("look")
            return inner(x)
    """,
}
"""What opens source files to compile them, or to show lines of code that ran."""
READ = {
    "inspect": """
        import inspect
        import {helper}
        def work(x):
            return len(inspect.getsource({helper}.unused))
    """,
    "inspect after a traceback": """
        import inspect, traceback
        import {helper}
        def work(x):
            try:
                {helper}.inner(str)
            except TypeError:
                traceback.format_exc()
            return len(inspect.getsource({helper}.unused))
    """,
    "linecache": """
        import linecache
        import {helper}
        def work(x):
            return len(linecache.getline({helper}.__file__, 6)), callable({helper}.unused)
    """,
    "open": """
        import {helper}
        def work(x):
            with open({helper}.__file__) as file:
                return len(file.read().splitlines()[5])
    """,
}
"""What decides something by source text."""


@traced
def test_source_text_counts_where_it_is_read_and_not_where_it_is_compiled_or_shown(project: Project) -> None:
    helper = "def inner(x):\n    return x * 2\n\n\ndef unused(x):\n    return x\n"
    files, steps, ways = dict(CONFIGURED), ["from jpipe import pipeline, step\n"], {**SHOWN, **READ}
    for number, text in enumerate(ways.values()):
        files |= {f"helper{number}.py": helper, f"work{number}.py": text.replace("{helper}", f"helper{number}")}
        steps.append(f"import work{number}\n\n\n@step\ndef s{number}(x):\n    return work{number}.work(x)\n")
    calls = ", ".join(f"s{number}(2)" for number in range(len(ways)))
    project.write({**files, "pipeline.py": f"{''.join(steps)}\n\n@pipeline\ndef main():\n    return [{calls}]\n"})
    project.run("-j", "1")
    for number in range(len(ways)):
        project.edit(f"helper{number}.py", "return x\n", "return x + 100\n")
    ran = project.run("-j", "1").ran
    assert {way for number, way in enumerate(ways) if f"s{number}" in ran} == set(READ)


TOLD = {
    **CONFIGURED,
    "helper.py": """
        LIMIT = 100


        def used(x):
            return x * 2 if x < LIMIT else rare(x)


        def rare(x, by=1):
            return x + by


        class Shape:
            def area(self):
                return 1

            def edges(self):
                return 4
    """,
    "pipeline.py": """
        import helper
        from jpipe import pipeline, step
        from helper import Shape, used


        @step
        def score(v):
            return used(v) + getattr(Shape(), "ar" + "ea")() + (Shape() != Shape())


        @step
        def data(v):
            return v + eval("helper.LI" + "MIT")


        @pipeline
        def main():
            return [score(1), data(1)]
    """,
}


def told_of(project: Project, step: str) -> list[tuple[str, str | None]]:
    rows = [row for row in project.plan()["steps"] if row["step"] == step]
    return [(reason["object"], reason["detail"]) for row in rows for reason in row["reasons"]]


@traced
def test_reasons_say_that_it_ran_and_what_was_not_there_when_it_ran(project: Project) -> None:
    project.write(TOLD)
    project.run("-j", "1")
    project.edit("helper.py", "return 4", "return 5")
    project.edit("helper.py", "x + by", "x - by")
    assert told_of(project, "score") == []
    project.edit("helper.py", "x * 2", "x * 3")
    assert told_of(project, "score") == [("helper.used", "it ran")]
    project.edit("helper.py", "x * 3", "x * 2")
    project.edit("helper.py", "by=1", "by=2")
    assert told_of(project, "score") == [("helper.rare(by=)", "1 → 2")]
    project.edit("helper.py", "by=2", "by=1, more=0")
    assert [name for name, _ in told_of(project, "score")] == ["helper.rare"]
    project.edit("helper.py", "by=1, more=0", "by=1")
    project.edit("helper.py", "    def edges", "    def __eq__(self, other):\n        return True\n\n    def edges")
    assert told_of(project, "score") == [("helper.Shape.__eq__", "helper.Shape had none when it ran")]
    shown = project.command("plan", "--why").stdout
    assert "helper.Shape.__eq__ was added (helper.Shape had none when it ran)" in shown
    assert "def edges" not in shown and "by" not in shown.partition("↻ score")[2].partition("nothing else")[0]


def test_explain_and_check_say_what_is_known_of_what_ran(project: Project) -> None:
    project.write(TOLD)
    project.run("-j", "1")
    functions = json.loads(project.command("explain", "score", "--json").stdout)["functions"]
    unseen = {(one["step"], one["what"]) for one in json.loads(project.command("check", "--json").stdout)["unseen"]}
    shown = " ".join(project.command("explain", "score").stdout.split())
    evaluated, computed = ("data", "evaluated text"), ("score", "attribute under a computed name")
    if sys.version_info < (3, 12):
        assert functions["why"] in shown and "3.12" in functions["why"] and not functions["is_known"]
        assert {evaluated, computed} <= unseen
        return
    assert functions["ran"] == ["helper.used", "helper.Shape.area"] and functions["why"] is None
    assert functions["idle"] == ["helper.rare", "helper.Shape.edges"]
    assert "2 of 4: helper.used, helper.Shape.area not helper.rare, helper.Shape.edges" in shown
    assert unseen == {evaluated}, "the function under a computed name was seen when it ran; data may be evaluated"
    project.edit("pipeline.py", "used(v) +", "used(v) - 0 +")
    project.python("-c", "import pipeline; pipeline.main.run()")
    functions = json.loads(project.command("explain", "score", "--json").stdout)["functions"]
    assert (functions["is_known"], functions["why"]) == (False, "modules of yours were imported before jpipe")
