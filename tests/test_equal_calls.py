"""Which calls are one and the same: keys that leave code out, equal calls, replicates, and the seeds of all of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conftest import Project

pytestmark = pytest.mark.usefixtures("one_job")

DIFFERENT = """
    import functools
    from jpipe import map, pipeline, step

    class Model:
        def __init__(self, name, kind): self.name, self.kind = name, kind

    def named(model): return model.name
    def kind(model): return model.kind

    @step(version=1)
    def mean(x): return sum(x) / len(x)
    @step(version=1)
    def largest(x): return max(x)
    @pipeline
    def two_names(): return mean([1, 2, 6]), largest([1, 2, 6])
    @pipeline
    def two_maps(): return map(mean, [[1, 5]]), map(largest, [[1, 5]])

    doubled, tripled = step(lambda x: 2 * x, version=1), step(lambda x: 3 * x, version=1)
    @pipeline
    def two_lambdas(): return doubled(7), tripled(7)

    def times(k):
        @step(version=1)
        def inner(x): return k * x
        return inner
    two, three = times(2), times(3)
    @pipeline
    def one_factory(): return two(5), three(5)

    def by_default(k):
        return step(lambda x, k=k: k * x, version=1)
    four, five = by_default(4), by_default(5)
    @pipeline
    def one_factory_with_defaults(): return four(5), five(5)

    def power(x, k): return x ** k
    square, cube = step(functools.partial(power, k=2), version=1), step(functools.partial(power, k=3), version=1)
    @pipeline
    def two_partials(): return square(3), cube(3)
    at_two, at_three = step(functools.partial(power, 2), version=1), step(functools.partial(power, 3), version=1)
    @pipeline
    def two_positional_partials(): return at_two(k=3), at_three(k=3)

    class Scale:
        def __init__(self, k): self.k = k
        def by(self, x): return self.k * x
        def __call__(self, x): return self.k + x
    by_two, by_three = step(Scale(2).by, version=1), step(Scale(3).by, version=1)
    @pipeline
    def two_objects_of_a_method(): return by_two(3), by_three(3)
    plus_two, plus_three = step(Scale(2), version=1), step(Scale(3), version=1)
    @pipeline
    def two_callable_objects(): return plus_two(3), plus_three(3)

    low, high = step(min, version=1), step(max, version=1)
    @pipeline
    def two_of_a_library(): return low([1, 2]), high([1, 2])

    def scaled(x, k=1): return x * k
    by_any, by_one = step(ignore=["k"])(scaled), step(scaled)
    @pipeline
    def ignored_by_one_only(): return by_any(3, k=5), by_one(3)

    named_step, kind_step = step(hash={Model: named})(lambda m: m.name), step(hash={Model: kind})(lambda m: m.name)
    @pipeline
    def counted_by_one_in_another_way(): return named_step(Model("x", "a")), kind_step(Model("b", "x"))

    PIPELINES = [v for v in list(globals().values()) if type(v).__name__ == "Pipeline"]
"""
COMPARE = """
    import sys, jpipe, pipeline
    for one in pipeline.PIPELINES:
        for jobs in (1, 2):
            found = jpipe.run(one, n_jobs=jobs, cache_dir="cache").value
            if found != one():
                print(one.name, jobs, found, "right:", one())
"""


def test_two_functions_never_share_a_result_whatever_is_left_out_of_their_code(project: Project) -> None:
    project.write({"pipeline.py": DIFFERENT, "compare.py": COMPARE})
    done = project.python("compare.py")
    assert (done.exit_code, done.stdout) == (0, ""), done.stderr


VERSIONED = """
    from jpipe import pipeline, step

    @step(version=1)
    def mean(x): return sum(x) / len(x)

    @pipeline
    def main(): return mean([1, 2, 6])
"""


def test_a_version_stands_for_the_code_and_nothing_else(project: Project) -> None:
    project.write(VERSIONED)
    assert project.run().ran == {"mean": 1}
    project.edit("pipeline.py", "sum(x) / len(x)", "sum(x) // len(x)")
    assert project.run().counts == (0, 1)
    project.edit("pipeline.py", "version=1", "version=2")
    assert project.run().ran == {"mean": 1}


def test_what_decides_how_arguments_count_is_part_of_the_key(project: Project) -> None:
    project.write("""
        from jpipe import pipeline, step
        class Model:
            def __init__(self, name, size): self.name, self.size = name, size
        def counts(model): return model.name
        @step(hash={Model: counts})
        def size(model): return model.size
        @pipeline
        def main(size_=1): return size(Model("a", size_))
    """)
    project.run()
    assert project.run("--set", "size_=2").counts == (0, 1)
    project.edit("pipeline.py", "return model.name", "return model.name, model.size")
    assert project.run("--set", "size_=2").counts == (1, 0)


ONCE = {
    "[note(1) for _ in range(6)]": 1,
    "map(note, [1] * 6)": 1,
    "[note(1), *[note(x) for x in (1, 2, 1)], note(x=1)]": 2,
    "[note(1), map(note, [1, 2])]": 2,
    "[map(note, [1, 2]), map(note, [2, 1])]": 2,
    "[note(x) for x in ([1, 2], [1, 2])]": 1,
    "map(note, twice(1))": 1,
    "[note(same(1)), note(same(1)), note(same(2))]": 1,
    "map(note, map(same, range(4)))": 1,
    "[note.options(n_jobs=2)(1), note(1)]": 1,
    "[unkept(1), unkept(1)]": 1,
}


def test_equal_calls_of_a_run_are_computed_once(project: Project) -> None:
    forms = "\n".join(f"@pipeline\ndef main{k}(): return {calls}" for k, calls in enumerate(ONCE))
    project.write(
        {
            "pipeline.py": f"""
from jpipe import map, pipeline, step
@step
def note(x):
    with open("ran.txt", "a") as file:
        file.write("x")
    return [x, "noted"]
unkept = note.options(cache=False)
@step
def same(i): return 7
@step
def twice(i): return [i, i]
{forms}
"""
        }
    )
    project.write(
        {
            "times.py": f"""
        import os, jpipe, pipeline
        for k, (calls, times) in enumerate({ONCE!r}.items()):
            one = getattr(pipeline, f"main{{k}}")
            for jobs in (1, 2):
                open("ran.txt", "w").close()
                found = jpipe.run(one, n_jobs=jobs, cache_dir=f"cache{{k}}-{{jobs}}").value
                ran = os.path.getsize("ran.txt")
                if found != one() or ran != times:
                    print(calls, jobs, ran, found)
    """
        }
    )
    done = project.python("times.py")
    assert (done.exit_code, done.stdout) == (0, ""), done.stderr


def test_equal_calls_whose_results_cannot_be_kept_or_fail_each_run(project: Project) -> None:
    project.write("""
        from jpipe import pipeline, step
        @step
        def opened(n): return (k for k in range(n))
        @step
        def total(xs): return sum(xs)
        @step
        def fails(n): raise ValueError(n)
        @pipeline
        def main(): return [total(opened(4)) for _ in range(3)]
        @pipeline
        def failing(): return [fails(4) for _ in range(3)]
    """)
    project.write(
        {"show.py": "import jpipe, pipeline; print([jpipe.run(pipeline.main, n_jobs=j).value for j in (1, 2)])"}
    )
    assert project.python("show.py").stdout == "[[6, 6, 6], [6, 6, 6]]\n"
    result = project.run("-j2", "-k", "pipeline.py:failing")
    assert (result.exit_code, result.end["failed"]) == (1, 3)


DRAWS = [
    "import random\ndef draw(n): return random.random()",
    "import random as r\ndef draw(n): return r.gauss(0, n)",
    "from random import random as u\ndef draw(n): return u()",
    "import numpy as np\ndef draw(n): return float(np.random.normal())",
    "import numpy as np\ndef draw(n): return float(np.random.default_rng().normal())",
    "import jpipe\ndef draw(n): return jpipe.seed()",
    "import random\ndef helper(): return random.random()\ndef draw(n): return helper()",
    "import random\nclass C:\n  def draw(self): return random.random()\ndef draw(n): return C().draw()",
    "def draw(n):\n  import random\n  return random.random()",
    "import helper\ndef draw(n): return helper.drawn()",
    "def draw(n):\n  import helper\n  return helper.drawn()",
    "import uuid\ndef draw(n): return uuid.uuid4().hex",
    "import os\ndef draw(n): return os.urandom(4).hex()",
    "import pandas as pd\ndef draw(n):\n  return int(pd.Series(range(10**6)).sample(1).iloc[0])",
    "from sklearn.utils import resample\ndef draw(n): return resample(range(10**6))[0]",
    "import random\nOPTIONS = {'version': 1}\ndef draw(n): return random.random()",
]
REPLICATES = [
    "[draw(5) for _ in range(8)]",
    "map(draw, [5] * 8)",
    "map(draw, listed(8))",
    "[draw(plain(5)) for _ in range(8)]",
    "[draw(plain(k % 2)) for k in range(2)] + [draw(5) for _ in range(6)]",
    "map(draw, map(plain, [5] * 8))",
    "map(draw, map(plain, listed(8)))",
]
SHOW = """
    import importlib, json, sys, jpipe
    jobs, cache, *names = sys.argv[1:]
    for name in names:
        main = importlib.import_module(name).main
        print(json.dumps(jpipe.run(main, n_jobs=int(jobs), cache_dir=f"{cache}/{name}").value))
"""


def _replicates(project: Project, name: str, source: str, calls: str) -> None:
    text = (
        "from jpipe import map, pipeline, step\nOPTIONS = {}\n" + source + "\ndraw = step(**OPTIONS)(draw)\n"
        "@step\ndef plain(x): return 5\n@step\ndef listed(n): return [5] * n\n"
        f"@pipeline\ndef main(): return {calls}\n"
    )
    project.write({f"{name}.py": text, "helper.py": "import random\ndef drawn(): return random.random()\n"})
    project.write({"show.py": SHOW})


def _values(project: Project, jobs: int, cache: str, names: list[str]) -> Any:
    done = project.python("show.py", str(jobs), cache, *names)
    assert done.exit_code == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_equal_calls_that_draw_random_numbers_are_replicates(project: Project) -> None:
    names = [f"draws{k}" for k in range(len(DRAWS))]
    for name, source in zip(names, DRAWS, strict=True):
        _replicates(project, name, source, REPLICATES[0])
    first = _values(project, 1, "cache", names)
    assert {source: len(set(found)) for source, found in zip(DRAWS, first, strict=True)} == dict.fromkeys(DRAWS, 8)
    assert _values(project, 2, "cache", names) == first


def test_replicates_stay_what_they_were(project: Project) -> None:
    names = [f"calls{k}" for k in range(len(REPLICATES))]
    for name, calls in zip(names, REPLICATES, strict=True):
        _replicates(project, name, "import random\ndef draw(n): return random.random()", calls)
    first = _values(project, 1, "cache", names)
    different = {calls: len(set(found)) for calls, found in zip(REPLICATES, first, strict=True)}
    # Written in another way, with another value that happens to be equal, it is the first call once more.
    assert different == dict.fromkeys(REPLICATES, 8) | {REPLICATES[4]: 6}
    assert _values(project, 2, "other", names) == first, "in another cache and in workers"
    for name in names:
        project.edit(f"{name}.py", "return random.random()", "print('drawing'); return random.random()")
    assert _values(project, 2, "cache", names) == first, "a line that prints does not change a number"


def test_replicates_stay_what_they_were_when_there_are_more_of_them(project: Project) -> None:
    _replicates(project, "pipeline", "import random\ndef draw(n): return random.random()", REPLICATES[0])
    (first,) = _values(project, 2, ".", ["pipeline"])
    project.edit("pipeline.py", "range(8)", "range(10)")
    project.edit("pipeline.py", "[draw(5)", "[draw(4), *[draw(5)")
    project.edit("pipeline.py", "range(10)]", "range(10)]]")
    (more,) = _values(project, 1, ".", ["pipeline"])
    assert more[1:9] == first and len(set(more)) == 11
    assert project.run("-j2", "--cache-dir", "pipeline").counts == (0, 11)


SEEDED = """
    import random
    from jpipe import pipeline, step

    @step
    def draw(n):
        return [random.random() for _ in range(n)]

    @step
    def other(n):
        return [random.random() for _ in range(n + 0)]

    @pipeline
    def main(n: int = 3):
        return draw(n), other(n)
"""


@pytest.mark.parametrize(
    "edits",
    [
        {"def draw(n):": "def draw(n):\n    print('drawing', n)", "@step\ndef other": "@step(version=4)\ndef other"},
        {"def draw(n):": "def draw(n):\n    size = n", "@step\ndef other": "@step(name='last')\ndef other"},
    ],
)
def test_seeds_do_not_come_from_code(project: Project, edits: dict[str, str]) -> None:
    project.write(SEEDED)
    project.write({"show.py": "import json, pipeline; print(json.dumps(pipeline.main.run()))"})
    first, second = json.loads(project.python("show.py").stdout)
    assert first != second, "another step has other numbers"
    for old, new in edits.items():
        project.edit("pipeline.py", old, new)
    assert json.loads(project.python("show.py").stdout) == [first, second]


def test_renaming_a_step_keeps_its_results_and_its_seeds(project: Project) -> None:
    project.write(SEEDED)
    project.write({"show.py": "import json, pipeline; print(json.dumps(pipeline.main.run()))"})
    first = json.loads(project.python("show.py").stdout)
    project.edit("pipeline.py", "def draw(n):", "def drawn(n):")
    project.edit("pipeline.py", "return draw(n)", "return drawn(n)")
    assert project.run().counts == (0, 2)
    project.edit("pipeline.py", "def drawn(n):", "def drawn(n):\n    print('drawing')")
    assert project.run().ran == {"drawn": 1}
    assert json.loads(project.python("show.py").stdout) == first
