"""Results at hand: by step, parameters and run, on the screen and as files."""

from __future__ import annotations

import json
import pickle
import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from jpipe.errors import UsageError
from jpipe.report.export import ENDINGS, export

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Project

pytestmark = pytest.mark.usefixtures("one_job")

STUDY = """
    from jpipe import pipeline, step

    SCALE = 1


    @step
    def fit(k: int, room: str) -> dict:
        return {"k": k, "loss": k * SCALE}


    @step
    def best(fits: list[dict]) -> dict:
        return min(fits, key=lambda one: one["loss"])


    @pipeline
    def main(ks: tuple[int, ...] = (1, 2), room: str = "loft"):
        return {"best": best([fit(k, room) for k in ks]), "ks": list(ks)}
"""


@pytest.fixture(scope="module")
def study(shared_project: Project) -> Project:
    """Three runs: as it is, with other parameters, and after an edit."""
    shared_project.write(STUDY)
    assert shared_project.run(json=False).exit_code == 0
    assert shared_project.run("--set", "ks=3,4", json=False).exit_code == 0
    shared_project.edit("pipeline.py", "SCALE = 1", "SCALE = 10")
    assert shared_project.run(json=False).exit_code == 0
    return shared_project


def shown(project: Project, *arguments: str) -> Any:
    result = project.command("show", *arguments, "--json")
    assert result.exit_code == 0, result.stderr
    values = [item["value"] for item in json.loads(result.stdout)["items"]]
    return values[0] if len(values) == 1 else values


def test_results_are_those_of_the_run_that_is_meant(study: Project) -> None:
    assert shown(study, "fit") == [{"k": 1, "loss": 10}, {"k": 2, "loss": 20}]
    assert shown(study, "fit", "--run", "1") == [{"k": 1, "loss": 1}, {"k": 2, "loss": 2}]
    assert shown(study, "fit", "--set", "ks=3,4") == [{"k": 3, "loss": 3}, {"k": 4, "loss": 4}]
    assert shown(study) == {"best": {"k": 1, "loss": 10}, "ks": [1, 2]}
    assert shown(study, "--run", "1") == {"k": 1, "loss": 1}, "what nothing else took"
    text = study.command("show", "fit").stdout
    assert text.startswith("fit[k=1, room='loft'] {'k': 1")
    for arguments, exit_code, message in [
        (("--set", "ks=3,4"), 2, "main is not up to date"),
        (("fit", "--set", "ks=9"), 5, "no such run has results of fit"),
        (("fit", "--run", "9"), 5, "there is no run 9"),
        (("--run", "9"), 5, "there is no run 9"),
        (("--item", "1"), 2, "name the one step"),
    ]:
        result = study.command("show", *arguments)
        assert (result.exit_code, message in result.stderr) == (exit_code, True), (arguments, result.stderr)


def test_results_are_loaded_by_name_parameters_and_run(study: Project) -> None:
    code = """
        import jpipe
        print(jpipe.load("fit", k=2)["loss"], jpipe.load("fit", k=2, run=1)["loss"])
        print(jpipe.load("best", run="-1")["loss"])
        print([one["loss"] for one in jpipe.load("fit", room="loft", run=2)])
        try:
            jpipe.load("fit", k=7)
        except jpipe.errors.CacheMiss as error:
            print(error.message)
    """
    result = study.python("-c", textwrap.dedent(code))
    assert result.stdout.splitlines() == ["20 2", "10", "[3, 4]", "run #3 has no such item of fit"], result.stderr


def test_another_checkout_in_the_same_cache_is_not_meant(project: Project) -> None:
    here, there = project.root / "here", project.root / "there"
    for folder, scale in ((here, 1), (there, 7)):
        text = textwrap.dedent(STUDY).replace("SCALE = 1", f"SCALE = {scale}")
        project.write({f"{folder.name}/pipeline.py": text, f"{folder.name}/jpipe.toml": ""})
        assert project.command("run", "--cache-dir", "../shared", cwd=folder).exit_code == 0
    shown_here = project.command("show", "best", "--cache-dir", "../shared", "--json", cwd=here)
    assert json.loads(shown_here.stdout)["items"][0]["value"] == {"k": 1, "loss": 1}
    assert project.command("history", "--cache-dir", "../shared", cwd=here).stdout.count("✓") == 1


def test_a_step_is_written_to_a_file(study: Project) -> None:
    result = study.command("show", "fit", "-o", "fit.csv")
    assert (result.exit_code, "wrote fit.csv" in result.stderr) == (0, True)
    table = pd.read_csv(study.root / "fit.csv", index_col="item")
    assert list(table.index) == ["fit[k=1, room='loft']", "fit[k=2, room='loft']"]
    assert list(table["loss"]) == [10, 20]


def figure() -> Any:
    from matplotlib.figure import Figure

    made = Figure()
    made.subplots().plot([1, 2])
    return made


ARRAY = np.arange(6.0).reshape(2, 3)
FRAME = pd.DataFrame({"x": [1, 2], "y": ["a", "b"]})
WRITTEN = [
    (".csv", [FRAME], lambda path: pd.read_csv(path).equals(FRAME)),
    (".csv", [ARRAY], lambda path: pd.read_csv(path).to_numpy().tolist() == ARRAY.tolist()),
    (".csv", [1.5, 2.5], lambda path: list(pd.read_csv(path)["value"]) == [1.5, 2.5]),
    (".csv", [[{"a": 1}, {"a": 2}]], lambda path: list(pd.read_csv(path)["a"]) == [1, 2]),
    (".parquet", [FRAME], lambda path: pd.read_parquet(path).equals(FRAME)),
    (".npy", [ARRAY], lambda path: np.load(path).tolist() == ARRAY.tolist()),
    (".npz", [{"a": ARRAY, "b": 1}], lambda path: sorted(np.load(path)) == ["a", "b"]),
    (".png", [ARRAY], lambda path: path.read_bytes().startswith(b"\x89PNG")),
    (".png", [figure()], lambda path: path.read_bytes().startswith(b"\x89PNG")),
    (".json", [{"a": ARRAY}], lambda path: json.loads(path.read_text()) == {"a": ARRAY.tolist()}),
    (".pkl", [FRAME, 1], lambda path: pickle.loads(path.read_bytes())[1] == 1),
    (".txt", ["text"], lambda path: path.read_text() == "text\n"),
]
REFUSED = [
    (".csv", [object()], "cannot be written as .csv"),
    (".npz", [{"a": object()}], "cannot be written as .npz"),
    (".png", ["text"], "cannot be written as .png"),
    (".npy", [ARRAY, ARRAY], "2 items do not go into one such file"),
    (".xyz", [1], "no form goes by that ending"),
]


@pytest.mark.parametrize(
    ("ending", "values", "holds"), WRITTEN, ids=[f"{e}-{type(v[0]).__name__}" for e, v, _ in WRITTEN]
)
def test_a_value_is_written_in_the_form_of_the_ending(
    tmp_path: Path, ending: str, values: list[Any], holds: Any
) -> None:
    path = tmp_path / f"value{ending}"
    export(path, {f"item {number}": value for number, value in enumerate(values)})
    assert holds(path)
    assert {one for one, _, _ in WRITTEN} == set(ENDINGS)


@pytest.mark.parametrize(("ending", "values", "message"), REFUSED)
def test_a_value_without_that_form_is_refused(tmp_path: Path, ending: str, values: list[Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        export(tmp_path / f"value{ending}", {str(number): value for number, value in enumerate(values)})
    with pytest.raises(UsageError, match="cannot write"):
        export(tmp_path / "no" / "such.json", {"a": 1})
