"""jpipe from Python: what runs, results and options answer, and what they refuse, each in one message with a remedy."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Project

STUDY = """
    import threading
    from datetime import timedelta
    from functools import partial

    import jpipe
    from jpipe import File, map, pipeline, step

    @step
    def number(i: int) -> int:
        return 10 * i

    @step
    def length(file: File) -> int:
        with open(file) as opened:
            return len(opened.read())

    @step
    def takes(value):
        return repr(value)

    @step
    def rest(*values):
        return sum(values)

    @step
    def pair(x):
        return {"a": x, "b": [x, x]}

    class Adder:
        __hash__ = None

        def __init__(self, more):
            self.more = more

        def __call__(self, x):
            return x + self.more

        def __eq__(self, other):
            return vars(self) == vars(other)

    def plain(x):
        return x + 1

    @pipeline
    def main(n: int = 3):
        return rest(*[number(i) for i in range(n)])

    @pipeline
    def mapped(n: int = 3):
        plain_ones = map(plain, map(number, range(n)))
        return {"all": map(Adder(5), plain_ones), "pairs": [pair(n)["b"][1], pair(n)["a"]]}

    @pipeline
    def of_values(value=None):
        return takes(value)

    @pipeline
    def of_files(path: str = "words.txt"):
        return length(path)

    @pipeline
    def over_nothing():
        return map(number)

    @pipeline
    def over_rest():
        return map(rest, [1, 2], [3, 4])

    @pipeline
    def nameless():
        takes(number(1)).nowhere

    @pipeline
    def pickled():
        import pickle
        pickle.dumps(number(1))
"""
ASK = """
import json, sys
from study import *
import study
answers = []
for expression in json.loads(sys.argv[1]):
    try:
        answers.append(repr(eval(expression, vars(study))))
    except Exception as error:
        hint = getattr(error, "hint", None)
        answers.append(f"{type(error).__name__}: {getattr(error, 'message', error)}" + (f" | {hint}" if hint else ""))
print(json.dumps(answers))
"""
IN_ORDER: list[tuple[str, str]] = [
    # asked one after the other -> what the answer holds
    ("jpipe.load('number')", "CacheFolderError: there is no cache"),
    ("main.run(2)", "10"),
    ("jpipe.run(main, {'n': 2})", "<run of main: cached in "),
    ("jpipe.run(main, {'n': 2})['number']", "[0, 10]"),
    ("jpipe.run(main, {'n': 2})['nmber']", "CacheMiss: this run has no step 'nmber' | it has number, rest"),
    ("main.graph()", "<graph of main: 4 calls of 2 steps>"),
    ("jpipe.load(number, 1)", "10"),
    ("jpipe.load('number')", "[0, 10]"),
    ("jpipe.load(rest)", "10"),
    ("jpipe.load(number, 77)", "CacheMiss: the cache has no result of this call of number | run the pipeline first"),
    ("jpipe.load('number', 1)", "CacheMiss: arguments need the step itself, not its name | jpipe.load(number, …)"),
    ("jpipe.load('takes')", "CacheMiss: the cache has no result of takes | run the pipeline first: jpipe run"),
    ("mapped.run()", "{'all': [6, 16, 26], 'pairs': [3, 3]}"),
    ("mapped.run()", "{'all': [6, 16, 26], 'pairs': [3, 3]}"),
    ("jpipe.run(mapped)['plain']", "[1, 11, 21]"),
    ("of_values.run(timedelta(days=1))", "'datetime.timedelta(days=1)'"),
    ("of_values.run(threading.Lock())", "takes(value=…): cannot digest <_thread.lock> at value"),
    ("of_values.run([1, {'a': threading.Lock()}])", "at value[1]['a']"),
    ("of_files.run('missing.txt')", "length(file=…): there is no file"),
    ("of_files.run()", "5"),
    ("main.run(1, 2)", "UsageError: main() too many positional arguments | its signature is main(n: int = 3)"),
    ("main.run(m=2)", "UsageError: main() got an unexpected keyword argument 'm'"),
    ("jpipe.run(main, items=[1])", "UsageError: items are selected of a step | name the step: jpipe run STEP --item 3"),
    ("jpipe.run(main, n_jobs=0)", "UsageError: "),
    ("jpipe.run(main, n_jobs='two')", "UsageError: "),
    ("over_nothing.run()", "WiringError: pipeline over_nothing raised TypeError: map() missing 1 required"),
    ("over_rest.run()", "rest() takes these elements through its *args | map a step with named parameters"),
    ("nameless.run()", "WiringError: "),
    ("pickled.run()", "pickled"),
]
OPTIONS: list[tuple[str, str]] = [
    ("step(3)", "UsageError: step() takes a function, not 3"),
    ("step(number, retries=2).declared.retries", "2"),
    ("pipeline(partial(main))", "UsageError: @pipeline takes a function, not functools.partial"),
    ("step(ignore=[1])(plain)", "UsageError: ignore= takes names, not [1]"),
    ("step(packages='none')(plain).declared.packages", "'none'"),
    ("step(packages=['numpy'])(plain).declared.packages", "('numpy',)"),
    ("step(prefer='fibers')(plain)", "UsageError: prefer='fibers': it takes 'processes' or 'threads'"),
    ("step(batch_size='auto')(plain).declared.batch_size", "'auto'"),
    ("step(batch_size=0)(plain)", "UsageError: "),
    ("step(memory='6X')(plain)", "UsageError: memory='6X' is not a size | write bytes, or '600K', '1M', '1.5G'"),
    ("step(memory='1.5G')(plain).declared.memory", "1610612736"),
    ("step(expires=timedelta(hours=2))(plain).declared.expires", "7200.0"),
    ("step(expires='90s')(plain).declared.expires", "90.0"),
    ("step(timeout='10min')(plain).declared.timeout", "600.0"),
    ("step(expires='soon')(plain)", "UsageError: expires='soon' is not a duration | write seconds, or '90s'"),
    ("step(expires=-1)(plain)", "UsageError: expires=-1 is not a duration"),
    ("step(next).signature", "<Signature (*args, **kwargs)>"),
    ("File('a/b') == File('a/b'), File('a') == 'a', len({File('a'), File('a')})", "(True, True, 1)"),
]


@pytest.fixture
def study(project: Project) -> Project:
    project.write({"study.py": STUDY, "words.txt": "words"})
    return project


@pytest.mark.parametrize("asked", [IN_ORDER, OPTIONS], ids=["runs", "options"])
def test_what_python_answers(study: Project, asked: list[tuple[str, str]]) -> None:
    done = study.python("-c", ASK, json.dumps([expression for expression, _ in asked]))
    assert done.exit_code == 0, done.stderr
    answers = json.loads(done.stdout.splitlines()[-1])
    wrong = [(e, held, answer) for (e, held), answer in zip(asked, answers, strict=True) if held not in answer]
    assert wrong == []


def test_a_result_that_was_damaged_is_computed_again_and_not_loaded(study: Project) -> None:
    large = STUDY.replace("return 10 * i", "return bytes(100_000 + i)").replace("sum(values)", "values")
    study.write({"study.py": large})
    script = """
import pathlib, jpipe
from study import main, number
run = jpipe.run(main, {"n": 1})
for blob in pathlib.Path("cache").rglob("*"):
    if blob.is_file() and blob.stat().st_size >= 100_000:
        blob.unlink()
try:
    jpipe.load(number, 0)
except jpipe.errors.CacheMiss as error:
    print(error.message)
print([len(value) for value in run.value])
"""
    done = study.python("-c", script)
    told = done.stdout.splitlines()
    assert "a result" in told[0] or "the result" in told[0] or "no result" in told[0], done.stderr
    assert told[-1] == "[100000]"


def test_a_file_is_its_path_to_everything_that_takes_one(project: Project) -> None:
    project.write(
        {
            "a.txt": "one",
            "pipeline.py": """
            import os
            from pathlib import Path
            from jpipe import File, pipeline, step

            @step
            def look(file):
                text = f"{file} {file}" + " " + file + " " + str(file) + " %s" % file
                same = [os.fspath(file), str(Path(file)), os.path.join("", file), file.removesuffix("")]
                assert text == " ".join(["a.txt"] * 5) and set(same) == {"a.txt"} and {file: 1}["a.txt"] == 1
                return open(file).read(), type(file).__name__

            @pipeline
            def main(file=File("a.txt")):
                return look(file)
            """,
        }
    )
    assert project.run("-j1").counts == (1, 0)
    assert project.run("-j1").counts == (0, 1)
    (project.root / "a.txt").write_text("two", "utf-8")
    assert project.run("-j2").counts == (1, 0)
