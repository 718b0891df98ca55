"""Why something must run: after each kind of edit the plan names the right thing, its place, and what changed."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from jpipe.errors import ExitCode

if TYPE_CHECKING:
    from conftest import Project

pytestmark = pytest.mark.usefixtures("one_job")

FILES = {
    "pipeline.py": """
        import functools
        import os

        import metrics
        from jpipe import map, pipeline, step
        from metrics import scaled
        from models import Model

        RATE = 0.1


        def shifted(x):
            return x + 1


        def logged(function):
            @functools.wraps(function)
            def wrapper(*args):
                return function(*args)

            return wrapper


        @step
        def digits(n: int) -> tuple[list, list]:
            return list(range(n)), [1] * n


        @step
        def project(X, k):
            return [shifted(x) * k * RATE for x in X]


        @step
        @logged
        def score(Z, y, C):
            return Model(C).predict(Z) + metrics.balanced(y) + metrics.BIAS


        @step
        def read(path, offset=0):
            with open(path) as file:
                return len(file.read()) + offset + int(os.environ.get("OFFSET", "0"))


        @step
        def square(v):
            return v * v


        @step
        def table(rows, size, squares):
            return sorted(scaled(r) for r in rows) + [size, sum(squares)]


        @pipeline
        def main(
            n: int = 20,
            ks: tuple[int, ...] = (8, 16, 32),
            Cs: tuple[float, ...] = (0.1, 1.0),
            path: str = "raw.csv",
            vs: tuple[int, ...] = (1, 2, 3),
        ):
            X, y = digits(n)
            Zs = [project(X, k) for k in ks]
            scores = [score(Z, y, C) for Z in Zs for C in Cs]
            return table(scores, read(path), map(square, vs))
    """,
    "metrics.py": """
        BIAS = 1.5


        def half(x):
            return x / 2


        def balanced(y):
            return half(sum(y))


        def scaled(x):
            return x * 1
    """,
    "models.py": """
        class Base:
            factor = 1

            def scale(self, x):
                return x * self.factor


        class Model(Base):
            def __init__(self, C):
                self.C = C

            def predict(self, Z):
                return self.scale(sum(Z)) * self.C
    """,
    "raw.csv": "1,2\n",
}


@dataclass(frozen=True)
class Case:
    """An edit, and the reason that the plan must give.

    `at` is (file, a passage of the line) of what changed; `tells` must be in the detail, the diff or the way.
    """

    name: str
    edits: tuple[tuple[str, str, str], ...]
    step: str
    stale: int
    kind: str
    object: str
    at: tuple[str, str] | None = None
    tells: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    fresh: int = 0


def edited(file: str, old: str, new: str) -> tuple[tuple[str, str, str], ...]:
    return ((file, old, new),)


PIPELINE = "pipeline.py"
CASES = (
    Case(
        "code", edited(PIPELINE, "* k * RATE", "+ k * RATE"), "project", 3, "code", "project",
        (PIPELINE, "def project"), ("-    return [shifted(x) * k", "+    return [shifted(x) + k"),
    ),
    Case(
        "decorated code", edited(PIPELINE, "+ metrics.BIAS", "- metrics.BIAS"), "score", 6, "code", "score",
        (PIPELINE, "def score"), ("- metrics.BIAS",),
    ),
    Case(
        "helper in the same file", edited(PIPELINE, "return x + 1", "return x + 2"), "project", 3, "helper", "shifted",
        (PIPELINE, "def shifted"), ("+    return x + 2", "project"),
    ),
    Case(
        "helper in another module", edited("metrics.py", "x / 2", "x / 3"), "score", 6, "helper", "metrics.half",
        ("metrics.py", "def half"), ("-    return x / 2", "+    return x / 3", "score → metrics.balanced"),
    ),
    Case(
        "imported helper", edited("metrics.py", "x * 1", "x * 2"), "table", 1, "helper", "metrics.scaled",
        ("metrics.py", "def scaled"), ("+    return x * 2",),
    ),
    Case(
        "method", edited("models.py", ") * self.C", ") / self.C"), "score", 6, "helper", "models.Model.predict",
        ("models.py", "def predict"), ("/ self.C", "score → models.Model"),
    ),
    Case(
        "method of a base class", edited("models.py", "x * self.factor", "x - self.factor"), "score", 6, "helper",
        "models.Base.scale", ("models.py", "def scale"), ("x - self.factor", "models.Base"),
    ),
    Case(
        "class attribute", edited("models.py", "factor = 1", "factor = 2"), "score", 6, "constant",
        "models.Base.factor", ("models.py", "factor = "), ("1 → 2", "score → models.Model → models.Base"),
    ),
    Case(
        "decorator", edited(PIPELINE, "return function(*args)", "return function(*args) + 1"), "score", 6, "helper",
        "wrapper", (PIPELINE, "def wrapper"), ("function(*args) + 1",),
    ),
    Case(
        "constant", edited(PIPELINE, "RATE = 0.1", "RATE = 0.2"), "project", 3, "constant", "RATE",
        (PIPELINE, "RATE = "), ("0.1 → 0.2", "project"),
    ),
    Case(
        "constant of another module", edited("metrics.py", "BIAS = 1.5", "BIAS = 2.5"), "score", 6, "constant",
        "metrics.BIAS", ("metrics.py", "BIAS = "), ("1.5 → 2.5", "score"),
    ),
    Case(
        "a name that means another function", edited(PIPELINE, "import scaled", "import half as scaled"), "table", 1,
        "helper", "scaled", (PIPELINE, "def table"), ("metrics.scaled → metrics.half",),
    ),
    Case(
        "a default", edited(PIPELINE, "offset=0", "offset=1"), "read", 1, "constant", "read(offset=)",
        (PIPELINE, "def read"), ("0 → 1",),
    ),
    Case(
        "a new parameter", edited(PIPELINE, "def project(X, k)", "def project(X, k, extra=1)"), "project", 3, "code",
        "project", (PIPELINE, "def project"), ("+def project(X, k, extra=1)",),
    ),
    Case(
        "parameter of the pipeline", (), "digits", 1, "parameter", "n", (PIPELINE, "digits(n)\n"), ("20 → 30",),
        ("--set", "n=30"),
    ),
    Case(
        "default of the pipeline", edited(PIPELINE, "n: int = 20", "n: int = 30"), "digits", 1, "parameter", "n",
        (PIPELINE, "digits(n)\n"), ("20 → 30",),
    ),
    Case(
        "one item changed", (), "project", 1, "parameter", "k", (PIPELINE, "project(X, k) for"), ("16 → 17",),
        ("--set", "ks=8,17,32"), fresh=2,
    ),
    Case(
        "one item more", (), "project", 1, "parameter", "k", (PIPELINE, "project(X, k) for"), ("new item 64",),
        ("--set", "ks=8,16,32,64"), fresh=3,
    ),
    Case(
        "one item more, in front", (), "project", 1, "parameter", "k", (PIPELINE, "project(X, k) for"),
        ("new item 64",), ("--set", "ks=64,8,16,32"), fresh=3,
    ),
    Case(
        "many items more", (), "project", 5, "parameter", "k", (PIPELINE, "project(X, k) for"),
        ("new items 33, 34, 35 and 2 more",), ("--set", "ks=8,16,32,33,34,35,36,37"), fresh=3,
    ),
    Case(
        "a row of a grid more", (), "score", 3, "parameter", "C", (PIPELINE, "score(Z, y, C) for"), ("new item 5.0",),
        ("--set", "Cs=0.1,1.0,5.0"), fresh=6,
    ),
    Case(
        "an element more in a mapped list", (), "square", 1, "parameter", "v", (PIPELINE, "map(square, vs)"),
        ("new item 4",), ("--set", "vs=1,2,3,4"), fresh=3,
    ),
    Case("input file", edited("raw.csv", "1,2", "1,2,3"), "read", 1, "input file", "raw.csv", ("raw.csv", "")),
    Case(
        "another input file", (), "read", 1, "parameter", "path", (PIPELINE, "read(path), map"),
        ("'raw.csv' → 'metrics.py'",), ("--set", "path=metrics.py"),
    ),
    Case(
        "forced", (), "project", 3, "forced", "project", (PIPELINE, "def project"), (), ("--force", "project"),
    ),
)  # fmt: skip

_studies: dict[str, Path] = {}


@pytest.fixture
def study(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project after a first run; run once, then copied."""
    if not _studies:
        first = type(project)(tmp_path_factory.mktemp("study") / "study")
        first.write(FILES)
        assert first.run().exit_code == 0
        _studies["root"] = first.root
    shutil.copytree(_studies["root"], project.root, dirs_exist_ok=True)
    return project


def row_of(plan: dict[str, Any], step: str) -> dict[str, Any]:
    return next(row for row in plan["steps"] if row["step"] == step)


def line_of(project: Project, file: str, passage: str) -> int:
    """The number of the one line in which a passage begins."""
    text = (project.root / file).read_text("utf-8")
    assert text.count(passage) == 1, f"{passage!r} in {file}"
    return text[: text.index(passage)].count("\n") + 1


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_plan_names_what_changed(study: Project, case: Case) -> None:
    for file, old, new in case.edits:
        study.edit(file, old, new)
    plan = study.plan(*case.arguments)
    row = row_of(plan, case.step)
    assert (row["stale"], row["fresh"], row["pending"]) == (case.stale, case.fresh, 0)
    (reason,) = row["reasons"]
    assert (reason["kind"], reason["object"], reason["items"]) == (case.kind, case.object, case.stale)
    if case.at is not None:
        file, passage = case.at
        assert reason["file"] == file
        assert reason["line"] == (line_of(study, file, passage) if passage else None)
    told = "\n".join(filter(None, (reason["detail"], reason["diff"], reason["via"])))
    for text in case.tells:
        assert text in told
    stale = [row["step"] for row in plan["steps"] if row["stale"]]
    assert stale == [case.step], "nothing else is stale for certain"


def test_explain_tells_the_key_and_the_runs_of_a_step(study: Project) -> None:
    told = json.loads(study.command("explain", "score", "--item", "3", "--json").stdout)
    assert told["key"]["label"] == "score[n=20, k=16, C=1.0]"
    assert list(told["key"]["arguments"]) == ["Z", "y", "C"] and told["key"]["code"] == told["fingerprint"]
    assert [(run["ran"], run["failed"]) for run in told["history"]] == [(6, 0)]
    text = study.command("explain", "score").stdout
    assert "score(Z, y, C)" in text and "6 ran" in text and "C 0.1 → " in text
    assert text.count("wrapper") == 1, "the decorator is watched, and told once"


def test_nothing_is_said_of_a_name_that_means_the_same(study: Project) -> None:
    study.edit("pipeline.py", "from metrics import scaled", "from metrics import scaled as again\nscaled = again")
    assert study.plan()["up_to_date"]


def test_two_edits_of_one_step_are_two_reasons(study: Project) -> None:
    study.edit("pipeline.py", "* k * RATE", "+ k * RATE")
    study.edit("pipeline.py", "RATE = 0.1", "RATE = 0.2")
    reasons = row_of(study.plan("--set", "ks=8,16,32,64"), "project")["reasons"]
    assert [(r["kind"], r["object"], r["items"]) for r in reasons] == [
        ("code", "project", 4),
        ("constant", "RATE", 4),
        ("parameter", "k", 1),
    ]


def test_an_upstream_result_that_came_out_different_is_the_reason(study: Project) -> None:
    study.edit("pipeline.py", "return list(range(n))", "return list(range(1, n + 1))")
    assert row_of(study.plan(), "project")["pending"] == 3
    assert study.run("digits").ran == {"digits": 1}
    row = row_of(study.plan(), "project")
    assert (row["stale"], row["pending"]) == (3, 0)
    (reason,) = row["reasons"]
    assert (reason["kind"], reason["object"], reason["items"]) == ("upstream result", "digits", 3)
    assert (reason["file"], reason["line"]) == ("pipeline.py", line_of(study, "pipeline.py", "project(X, k) for"))


def test_the_first_run_and_a_new_step_never_ran(project: Project) -> None:
    project.write(FILES)
    rows = project.plan()["steps"]
    assert {(r["kind"], r["object"], r["file"]) for row in rows for r in row["reasons"]} == {
        ("never ran", name, "pipeline.py") for name in ("digits", "project", "score", "read", "square", "table")
    }


def test_an_environment_variable_is_named_and_its_value_is_not_shown(study: Project) -> None:
    (reason,) = row_of(study.plan(env={"OFFSET": "12345"}), "read")["reasons"]
    assert (reason["kind"], reason["object"], reason["items"]) == ("environment", "OFFSET", 1)
    assert "12345" not in str(reason)


def test_a_package_is_named_with_both_versions(project: Project) -> None:
    library = project.root.parent / "lib" / "site-packages"
    library.mkdir(parents=True)
    (library / "ruler.py").write_text("def length(x):\n    return len(x)\n")
    project.write(
        """
        import ruler
        from jpipe import pipeline, step

        @step
        def measured(x):
            return ruler.length(x)

        @pipeline
        def main():
            return measured("abc")
        """
    )

    def install(version: str) -> None:
        shutil.rmtree(library / f"ruler-{'1.0' if version == '1.1' else '0'}.dist-info", ignore_errors=True)
        info = library / f"ruler-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: ruler\nVersion: {version}\n")
        (info / "RECORD").write_text("ruler.py,,\n")
        (info / "top_level.txt").write_text("ruler\n")

    path = {"PYTHONPATH": os.pathsep.join([str(library), os.environ.get("PYTHONPATH", "")])}
    install("1.0")
    assert project.run(env=path).ran == {"measured": 1}
    install("1.1")
    (reason,) = row_of(project.plan(env=path), "measured")["reasons"]
    assert (reason["kind"], reason["object"]) == ("package version", "ruler")
    assert "1.0" in reason["detail"] and "1.1" in reason["detail"]


def test_a_result_that_is_gone_or_damaged_is_missing(project: Project) -> None:
    project.write(
        """
        from jpipe import pipeline, step

        @step
        def large(k):
            return bytes(100_000 + k)

        @pipeline
        def main():
            return [large(1), large(2)]
        """
    )
    assert project.run().ran == {"large": 2}
    blobs = sorted(
        path for path in (project.cache / "v1" / "blobs").rglob("*") if path.is_file() and path.suffix != ".seal"
    )
    blobs[0].unlink()
    row = row_of(project.plan(), "large")
    assert (row["fresh"], row["stale"]) == (1, 1)
    (reason,) = row["reasons"]
    assert (reason["kind"], reason["object"], reason["items"]) == ("result missing", "large", 1)
    shutil.rmtree(project.cache / "v1" / "families")
    row = row_of(project.plan(), "large")
    assert [(r["kind"], r["items"]) for r in row["reasons"]] == [("result missing", 2)]


def test_expired_and_failed_items_say_so(project: Project) -> None:
    project.write(
        """
        from jpipe import pipeline, step

        @step(expires=0.001)
        def fetched():
            return 1

        @step
        def checked(k):
            return 1 / (k - 2)

        @pipeline
        def main():
            return fetched(), [checked(k) for k in (1, 2, 3)]
        """
    )
    assert project.run("-k").exit_code == ExitCode.FAILED
    plan = project.plan()
    (expired,) = row_of(plan, "fetched")["reasons"]
    assert (expired["kind"], expired["object"]) == ("expired", "fetched")
    checked = row_of(plan, "checked")
    assert (checked["fresh"], checked["stale"]) == (2, 1)
    (failed,) = checked["reasons"]
    assert (failed["kind"], failed["object"], failed["items"]) == ("failed last time", "checked", 1)
    project.edit("pipeline.py", "(k - 2)", "(k - 4)")
    (code,) = row_of(project.plan(), "checked")["reasons"]
    assert (code["kind"], code["items"]) == ("code", 3)


def test_what_people_read_says_the_same(study: Project) -> None:
    study.edit("metrics.py", "x / 2", "x / 3")
    told = study.command("plan", "--why", "--set", "Cs=0.1,1.0,5.0").stdout
    assert "metrics.half changed" in told and "metrics.py:4" in told
    assert "-    return x / 2" in told and "+    return x / 3" in told
    assert "reached through score → metrics.balanced" in told
    assert "3 items: parameter C: new item 5.0" in told


def test_a_step_of_another_pipeline_is_not_an_earlier_version_of_this_one(project: Project) -> None:
    text = """
        from jpipe import pipeline, step

        @step
        def fit(x):
            return x + 1

        @pipeline
        def main():
            return fit(1)
    """
    project.write({"pipeline.py": text, "other.py": text.replace("x + 1", "x * 100")})
    project.run()
    (reason,) = project.plan("other.py")["steps"][0]["reasons"]
    assert reason["kind"] == "never ran"
    refused = project.command("accept", "other.py", "fit", "--dry-run")
    assert refused.exit_code == ExitCode.NOTHING_SELECTED, refused.stderr
    project.run("other.py")
    project.edit("other.py", "x * 100", "x * 200")
    (reason,) = project.plan("other.py")["steps"][0]["reasons"]
    assert reason["kind"] == "code" and "-    return x * 100" in reason["diff"]


def test_what_a_step_declares_is_named_beside_its_code(project: Project) -> None:
    """With `depends=`, too, a helper is reached through the step, and a file that changed with it is told."""
    project.write(
        {
            "pipeline.py": """
                from jpipe import pipeline, step

                def half(x):
                    return x / 2

                @step(depends=["notes.txt"])
                def fit(x):
                    return half(x)

                @pipeline
                def main():
                    return fit(1)
            """,
            "notes.txt": "one",
        }
    )
    project.run()
    project.edit("pipeline.py", "x / 2", "x / 4")
    project.write({"notes.txt": "two"})
    reasons = project.plan()["steps"][0]["reasons"]
    told = [(reason["kind"], reason["object"], reason["file"], reason["via"]) for reason in reasons]
    assert told == [("helper", "half", "pipeline.py", "fit"), ("input file", "notes.txt", "notes.txt", "fit")]


def test_a_name_that_becomes_defined_is_the_reason(project: Project) -> None:
    project.write("""
        from jpipe import pipeline, step

        @step
        def fit(x):
            try:
                return max(tuned(x), x)
            except NameError:
                return x

        @pipeline
        def main():
            return fit(1)
    """)
    project.run()
    for name, line in (("tuned", 3), ("max", 6)):
        project.edit("pipeline.py", "@step\n", f"def {name}(x, *others):\n    return x\n\n@step\n")
        (reason,) = project.plan()["steps"][0]["reasons"]
        assert (reason["kind"], reason["object"], reason["line"]) == ("helper", name, line)
        project.run()
