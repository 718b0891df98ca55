"""Which steps a command means: names, patterns, tags, what needs them, and what is left out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conftest import Project

STUDY = """
from jpipe import pipeline, step

@step
def load():
    return 1

@step(tags="slow")
def fit_a(x):
    return x + 1

@step(tags=("slow", "big"))
def fit_b(x):
    return x + 2

@step
def join(a, b):
    return a + b

@step(tags="figure")
def plot_all(x):
    return str(x)

@pipeline
def main():
    x = load()
    a, b = fit_a(x), fit_b(x)
    return plot_all(join(a, b)), a
"""

PLANS = """
import json, sys
from click.testing import CliRunner
from jpipe.cli.plan import command

for_all = []
for words in json.loads(sys.argv[1]):
    done = CliRunner().invoke(command, ["--json", *words])
    for_all.append([row["step"] for row in json.loads(done.stdout)["steps"]])
print(json.dumps(for_all))
"""
"""Plans of many choices in one process, which is started once."""

CHOSEN = [
    ([], "load fit_a fit_b join plot_all"),
    (["fit_a"], "load fit_a"),
    (["+fit_a"], "load fit_a"),
    (["fit_*"], "load fit_a fit_b"),
    (["fit_[b]"], "load fit_b"),
    (["fit_a+"], "load fit_a fit_b join plot_all"),
    (["load+"], "load fit_a fit_b join plot_all"),
    (["join+"], "load fit_a fit_b join plot_all"),
    (["fit_a", "fit_b"], "load fit_a fit_b"),
    (["-t", "slow"], "load fit_a fit_b"),
    (["-t", "big"], "load fit_b"),
    (["--tag", "figure"], "load fit_a fit_b join plot_all"),
    (["-t", "big", "fit_a"], "load fit_a fit_b"),
    (["--exclude", "plot_*"], "load fit_a fit_b join"),
    (["--exclude", "fit_a"], "load fit_b"),
    (["--exclude", "join", "-t", "slow"], "load fit_a fit_b"),
    (["load+", "--exclude", "fit_b"], "load fit_a"),
]

REFUSED = [
    (["fot_a"], 2, "did you mean 'fit_a'?"),
    (["x_*"], 2, "no step matches 'x_*'"),
    (["-t", "slwo"], 2, "did you mean 'slow'?"),
    (["--exclude", "plot"], 2, "no step 'plot'"),
    (["--exclude", "load"], 5, "nothing is left to run"),
]


def test_a_plan_has_the_steps_that_are_meant(project: Project) -> None:
    project.write(STUDY)
    planned = project.python("-c", PLANS, json.dumps([words for words, _ in CHOSEN]))
    assert json.loads(planned.stdout) == [steps.split() for _, steps in CHOSEN], planned.stderr


def test_words_that_mean_nothing_are_answered_with_what_there_is(project: Project) -> None:
    project.write(STUDY)
    for command, (words, code, said) in zip(("run", "plan", "status", "graph", "run"), REFUSED, strict=True):
        refused = project.command(command, *words)
        assert (refused.exit_code, said in refused.stderr) == (code, True), refused.stderr


def test_a_run_takes_what_is_meant_and_leaves_the_rest(project: Project) -> None:
    project.write(STUDY)
    assert project.run("-t", "big", "-j1").ran == {"load": 1, "fit_b": 1}
    assert project.run("--exclude", "plot_*", "-j1").ran == {"fit_a": 1, "join": 1}
    assert project.run("-f", "fit_*", "fit_*", "-j1").ran == {"fit_a": 1, "fit_b": 1}
    assert project.run("-j1").ran == {"plot_all": 1}
    assert project.run("-t", "big", "-j1").counts == (0, 2), "also at once, from the answer that was left"
    project.edit("pipeline.py", 'tags="slow"', 'tags="quick"')
    assert project.run("-j1").ran == {}, "tags count for nothing"
