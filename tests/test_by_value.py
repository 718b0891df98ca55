"""Whatever a serialiser keeps of code beside what it does: failures have their lines, results are found again."""

from __future__ import annotations

import pickle
import types
from typing import TYPE_CHECKING, Any

import cloudpickle
import pytest
from joblib.externals.loky.backend import reduction

from jpipe.define.step import step
from jpipe.parallel.packing import Packer, unpack
from jpipe.store.format.encode import decode, encode
from jpipe.system import by_value, main_module
from jpipe.worker.function_reference import reference_to

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Project

FORMS: dict[str, dict[str, Any]] = {
    "keeps all": {},
    "loses the file": {"co_filename": "<dynamic-code>"},
    "loses the lines": {"co_linetable": b"", "co_firstlineno": 1},
    "loses file and lines": {"co_filename": "", "co_linetable": b"", "co_firstlineno": 1},
}
"""What other releases of cloudpickle do, or might: attributes of code that they replace."""

OTHER_SERIALISER = """
    import types
    import cloudpickle

    def other(code, known=cloudpickle.cloudpickle._code_reduce):
        return known(code.replace(**FORM))

    cloudpickle.Pickler._dispatch_table[types.CodeType] = other
"""


def _patched(form: str) -> str:
    return OTHER_SERIALISER.replace("FORM", repr(FORMS[form]))


def _function(rate: float) -> Callable[[float], list[float]]:
    def scaled(value: float) -> list[float]:
        def inner(number: float) -> float:
            return number * rate if number in {1.0, 2.0, 3.0} else number

        return [inner(value), *map(lambda one: one + rate, [value])]  # noqa: C417 - a lambda inside is the point

    return scaled


def _by_reference(function: Any) -> Any:
    reference = reference_to(step(function), ())
    assert reference.pickled is not None
    return pickle.loads(reference.pickled)[0]


def _in_a_task(function: Any) -> Any:
    return pickle.loads(bytes(reduction.dumps(by_value.ByValue(function)))).value


CARRIERS: dict[str, Callable[[Any], Any]] = {
    "arguments": lambda function: main_module.loads(main_module.dumps(function)),
    "a step's function": _by_reference,
    "rules of hash=": _in_a_task,
    "a map's function": lambda function: unpack(Packer(None, None).pack(function).data),
    "a stored result": lambda function: decode(0, encode(function).stream, []),
}


def _all_of(code: types.CodeType) -> list[Any]:
    """All that Python shows of a code object, and of those inside it."""
    own = {name: getattr(code, name) for name in dir(code) if name.startswith("co_") and name != "co_lnotab"}
    inside = [_all_of(item) for item in own.pop("co_consts") if isinstance(item, types.CodeType)]
    told = {name: list(value()) if callable(value) else value for name, value in own.items()}
    return [told, *inside]


@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize("form", FORMS)
def test_code_arrives_whole(form: str, carrier: str, monkeypatch: pytest.MonkeyPatch) -> None:
    known = cloudpickle.cloudpickle._code_reduce
    monkeypatch.setitem(
        cloudpickle.Pickler._dispatch_table, types.CodeType, lambda code: known(code.replace(**FORMS[form]))
    )
    function: Any = _function(2.0)
    arrived = CARRIERS[carrier](function)
    assert arrived is not function
    assert arrived(3.0) == function(3.0) == [6.0, 5.0]
    assert _all_of(arrived.__code__) == _all_of(function.__code__)


FAILING = """
    import traceback
    import jpipe
    from jpipe import map, pipeline, step

    def helper(i):
        if i == 2:
            raise ValueError("from a script")
        return i

    @step
    def work(i: int) -> int:
        return helper(i)

    @pipeline
    def main(n: int = 4):
        return map(work, range(n))

    def mapped():
        each = lambda i: helper(i) + 1
        return jpipe.parallel.p_map(each, range(4), num_cpus=2)

    if __name__ == "__main__":
        for failing in (lambda: jpipe.run(main, n_jobs=2).value, mapped):
            try:
                failing()
            except Exception as error:
                print("".join(traceback.format_exception(error)), "NEXT")
"""
FAILED_AT = [
    {'raise ValueError("from a script")'},
    {'raise ValueError("from a script")', "each = lambda"},
]


@pytest.mark.parametrize("form", ["loses the file", "loses file and lines"])
def test_a_failure_in_a_worker_has_its_file_and_line(form: str, project: Project) -> None:
    project.write({"study.py": _patched(form) + FAILING})
    done = project.python("study.py")
    lines = (project.root / "study.py").read_text("utf-8").splitlines()
    for told, texts in zip(done.stdout.split("NEXT")[:2], FAILED_AT, strict=True):
        for text in texts:
            number = next(k for k, line in enumerate(lines, 1) if text in line)
            assert f"study.py:{number}" in told or f'study.py", line {number}' in told, told


RULES = """
    import sys
    from jpipe import pipeline, run, step

    def made():
        class Table:
            def __init__(self, name, size):
                self.name, self.size = name, size

            def shown(self):
                return self.name

        return Table

    Table = made()

    @step
    def table(name: str, size: int):
        return Table(name, size)

    @step(hash={Table: lambda table: table.name})
    def title(table) -> str:
        return table.shown().title()

    @step
    def size(table) -> int:
        return table.size

    @pipeline
    def main(count: int = 1):
        literal = Table("people", count)
        return title(literal), size(literal), title(table("other", 3))

    if __name__ == "__main__":
        for count, jobs in [(1, int(sys.argv[1])), (2, int(sys.argv[2])), (2, int(sys.argv[1]))]:
            done = run(main, {"count": count}, n_jobs=jobs)
            print(done.value, [done.outcomes[name].ran for name in ('table', 'title', 'size')])
"""


@pytest.mark.parametrize("form", FORMS)
def test_what_travelled_counts_as_what_was_written(form: str, project: Project) -> None:
    project.write({"study.py": _patched(form) + RULES})
    seen = project.python("study.py", "1", "2").stdout.splitlines()
    assert seen == [
        "('People', 1, 'Other') [1, 2, 1]",
        "('People', 2, 'Other') [0, 0, 1]",
        "('People', 2, 'Other') [0, 0, 0]",
    ]


OWN_PICKLER = """
    import pickle
    import cloudpickle
    from jpipe import pipeline, run, step

    def made():
        class Rate:
            def __init__(self, value):
                self.value = value

            def of(self, number):
                return number * self.value

            def shown(self):
                return f"{self.value} %"

        return Rate, lambda number: number + 1

    Rate, after = made()

    @step
    def total(rate, after, number: int) -> float:
        return after(rate.of(number))

    @pipeline
    def main():
        return total(Rate(2.0), AFTER, 3)

    if __name__ == "__main__":
        done = run(main, n_jobs=1)
        print(done.value, done.outcomes["total"].ran)
"""


def test_what_a_pickler_of_the_users_brought_counts_by_its_source(project: Project) -> None:
    """A round trip through cloudpickle changes the methods of the class itself, in the process that made it."""
    travelled = "pickle.loads(cloudpickle.dumps((Rate, after)))[1]"
    project.write({"study.py": _patched("loses the file") + OWN_PICKLER.replace("AFTER", "after")})
    assert project.python("study.py").stdout == "7.0 1\n"
    project.edit("study.py", "main():\n    return", f"main():\n    arrived = {travelled}\n    return")
    project.edit("study.py", "Rate(2.0), after", "Rate(2.0), arrived")
    assert project.python("study.py").stdout == "7.0 0\n", "arrived is the same code"
    project.edit("study.py", "number + 1", "number + 2")
    assert project.python("study.py").stdout == "8.0 1\n"
    project.edit("study.py", "number * self.value", "number / self.value")
    assert project.python("study.py").stdout == "3.5 1\n"


def test_a_memoised_closure_with_a_set_is_found_again_in_any_process(project: Project) -> None:
    project.write(
        {
            "study.py": """
                import joblib
                import jpipe

                memory = joblib.Memory("memory", backend="jpipe", verbose=0)

                def made(rate):
                    def chosen(word):
                        print("ran")
                        return rate if word in {"one", "two", "three", "four", "five", "six"} else 0
                    return memory.cache(chosen)

                if __name__ == "__main__":
                    print(made(2)("two"))
            """
        }
    )
    told = [project.python("study.py", env={"PYTHONHASHSEED": seed}).stdout.split() for seed in ("1", "2", "3")]
    assert told == [["ran", "2"], ["2"], ["2"]]
