"""Reasons of steps whose results are not kept, and the values that changed inside arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conftest import Project

STUDY = """
    from dataclasses import dataclass
    from jpipe import pipeline, step

    RATE = 1

    @dataclass(frozen=True)
    class Config:
        lr: float = 0.1
        layers: tuple[int, ...] = (8, 4)

    @step(cache=False)
    def connect(a: int) -> int:
        return a * RATE

    @step
    def use(connection: int, config: Config, options: dict[str, object]) -> int:
        return connection

    @pipeline
    def main(a: int = 1, config: Config = Config(), options: dict[str, object] = {"x": 1, "deep": {"y": 2}}):
        return use(connect(a), config, options)
"""


def told(project: Project, *words: str) -> dict[str, list[tuple[str, str | None]]]:
    """By step that would run: kind and detail of its reasons."""
    steps = project.plan(*words)["steps"]
    return {s["step"]: [(r["kind"], r["detail"]) for r in s["reasons"]] for s in steps if s["stale"] or s["pending"]}


def check(project: Project, *words: str) -> int:
    """What ``status --check`` gives; ``check --frozen`` must say the same."""
    code = project.command("status", "--check", "-q", *words).exit_code
    assert project.command("check", "--frozen", *words).exit_code == code
    return code


def test_a_pipeline_whose_results_are_not_all_kept_can_be_up_to_date(project: Project) -> None:
    project.write(STUDY)
    assert (told(project)["connect"], check(project)) == ([("never ran", None)], 4)
    project.run("-j1")
    assert told(project) == {"connect": [("not kept", None)], "use": []}
    assert (check(project), project.run("--frozen").exit_code) == (0, 4)
    project.edit("pipeline.py", "RATE = 1", "RATE = 2")
    assert (told(project)["connect"], check(project)) == ([("constant", "1 → 2"), ("not kept", None)], 4)
    project.edit("pipeline.py", "RATE = 2", "RATE = 1")
    assert (told(project, "--set", "a=5")["connect"][0], check(project, "--set", "a=5")) == (("parameter", "1 → 5"), 4)


def test_what_takes_a_result_that_is_not_known_runs_where_its_other_arguments_are_new(project: Project) -> None:
    project.write(STUDY)
    project.run("-j1")
    other = ("--set", "config={lr = 0.5, layers = [8]}")
    assert told(project, *other)["use"] == [("parameter", "lr 0.1 → 0.5, layers[1] 4 → (none)")]
    plan = project.plan(*other)["steps"]
    assert [(step["stale"], step["pending"]) for step in plan] == [(1, 0), (1, 0)]
    assert check(project, *other) == 4
    project.run(*other, "-j1")
    for words in ((), other):
        assert (told(project, *words)["use"], check(project, *words)) == ([], 0), "both were computed"


def test_what_changed_in_a_table_is_told_by_its_keys(project: Project) -> None:
    project.write(STUDY.replace("@step(cache=False)", "@step"))
    project.run("-j1")
    changed = told(project, "--set", "options={x = 1, deep = {y = 3}, new = true}")["use"]
    assert changed == [("parameter", "options['deep']['y'] 2 → 3, options['new'] (none) → True")]


def test_a_result_that_was_removed_to_make_room_is_told_from_one_that_never_was(project: Project) -> None:
    project.write("""
        from jpipe import pipeline, step

        @step
        def block(n: int) -> bytes:
            return bytes([n]) * 200_000

        @pipeline
        def main(n: int = 1):
            return block(n)
    """)
    for n in range(6):
        assert project.run("--set", f"n={n}", "-j1", env={"JPIPE_CACHE_SIZE": "700k"}).exit_code == 0
    assert told(project, "--set", "n=0")["block"] == [("pruned", None)]
    assert told(project, "--set", "n=9")["block"] == [("parameter", "5 → 9")]
    assert told(project, "--set", "n=5") == {}, "what the last runs reached stays"
    assert project.run("--set", "n=0", "-j1").ran == {"block": 1}
    assert told(project, "--set", "n=0") == {}
