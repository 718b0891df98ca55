"""A script that runs its own pipeline gives what the command gives for the same file, classes and functions too."""

from __future__ import annotations

import pytest

SCRIPT = """
    import dataclasses
    import enum
    import sys
    import time

    from jpipe import pipeline, run, step

    class Color(enum.Enum):
        RED = 1
        BLUE = 2

    @dataclasses.dataclass(frozen=True)
    class Cfg:
        a: int

    class Model:
        def __init__(self, cfg):
            self.cfg = cfg

        def predict(self):
            return 10 * self.cfg.a

    def helper(x):
        return x + 1

    @step
    def twice(x):
        return 2 * x

    @step
    def fit(cfg):
        time.sleep(0.1)
        return Model(cfg), Color.BLUE, helper, twice(cfg.a)

    @step
    def check(fitted, cfg, color, function, cls):
        time.sleep(0.1)
        model, blue, found, doubled = fitted
        return (
            isinstance(model, cls), model.cfg == cfg, blue is Color.BLUE, color is Color.RED,
            found is function is helper,
            cls is Model, doubled,
        )

    @step
    def use(fitted):
        return fitted[0].predict()

    @pipeline
    def main():
        cfgs = [Cfg(i) for i in range(3)]
        models = [fit(cfg) for cfg in cfgs]
        checks = [check(model, cfg, Color.RED, helper, Model) for model, cfg in zip(models, cfgs)]
        return checks, [use(model) for model in models]
"""
RUN = """
    {guard}
        done = run(main, n_jobs=int(sys.argv[1]), backend=(sys.argv[2:] or [None])[0])
        checks, predictions = done.value
        print(all(all(row[:6]) for row in checks), predictions, sum(step.ran for step in done.outcomes.values()))
"""
GUARDED = RUN.format(guard='if __name__ == "__main__":')
BARE = RUN.format(guard="if True:")


@pytest.mark.parametrize("call", [GUARDED, BARE], ids=["guarded", "bare"])
@pytest.mark.parametrize("how", [("1",), ("2",), ("2", "threading"), ("2", "multiprocessing")], ids="-".join)
def test_what_the_script_defines_is_the_same_in_workers_and_in_later_sessions(project, call, how):
    project.write({"script.py": SCRIPT + call})
    assert project.python("script.py", *how).stdout == "True [0, 10, 20] 9\n"
    project.edit("script.py", "doubled,", "doubled, 'edited',")
    assert project.python("script.py", *how).stdout == "True [0, 10, 20] 3\n", "classes of stored results are others"
    project.edit("script.py", "10 * self", "100 * self")
    last = project.python("script.py", *how).stdout
    assert last.startswith("True [0, 100, 200]"), "the old method of a stored result was used"


def test_the_command_and_the_script_share_all_results(project):
    project.write({"script.py": SCRIPT + GUARDED})
    assert project.run("script.py").counts == (9, 0)
    assert project.python("script.py", "2").stdout == "True [0, 10, 20] 0\n"
    project.edit("script.py", "doubled,", "doubled, 'edited',")
    assert project.python("script.py", "2").stdout == "True [0, 10, 20] 3\n"
    assert project.run("script.py").counts == (0, 9)
    shown = project.command("show", "script.py", "fit")
    assert shown.exit_code == 0
    assert "script.Model" in shown.stdout


def test_a_notebook_like_session_without_a_file(project):
    project.write({"jpipe.toml": "", "text": SCRIPT + BARE})
    command = "import textwrap; exec(compile(textwrap.dedent(open('text').read()), '<cell>', 'exec'))"
    assert project.python("-c", command, "2").stdout == "True [0, 10, 20] 9\n"
    assert project.python("-c", command, "2").stdout == "True [0, 10, 20] 0\n"
