"""A cache with a size, and a cache whose results somebody else's key signed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jpipe.settings.declared import bytes_of

if TYPE_CHECKING:
    from conftest import Project

pytestmark = pytest.mark.usefixtures("one_job")

SIZED = """
    import numpy as np
    from jpipe import pipeline, step

    FACTOR = 1

    @step
    def large(i):
        return np.full(200_000, i + 10 * FACTOR, dtype=float)

    @step
    def small(array):
        return float(array.sum())

    @pipeline
    def main():
        return [small(large(i)) for i in range(5)]
    """
SIGNED = """
    from jpipe import map, pipeline, step

    @step
    def one(x):
        return x

    @step
    def total(xs):
        return sum(xs)

    @pipeline
    def main():
        return total([one(x) for x in range(20)])
    """


def blobs(project: Project) -> int:
    return len([path for path in (project.cache / "v1" / "blobs").glob("*/*") if not path.suffix])


@pytest.mark.parametrize("way", ["the file", "the environment"])
def test_a_cache_keeps_its_size_and_what_the_last_runs_use(project: Project, way: str) -> None:
    """Five arrays of 1.6 MB a version of the code, and room for three versions and a bit."""
    project.write(SIZED)
    env = {"JPIPE_CACHE_SIZE": "26M"} if way == "the environment" else {}
    if way == "the file":
        project.write({"pyproject.toml": '[tool.jpipe]\ncache_size = "26M"\n'})
    told = []
    for factor in range(1, 6):
        if factor > 1:
            project.edit("pipeline.py", f"FACTOR = {factor - 1}", f"FACTOR = {factor}")
        done = project.run("-j1", json=False, env=env)
        assert done.exit_code == 0
        told.append("used least recently were removed" in done.stderr)
    assert told == [False, False, False, True, True], "said when something was removed, and not else"
    assert blobs(project) == 15, "three runs are kept whole"
    for factor in (4, 3):
        project.edit("pipeline.py", f"FACTOR = {factor + 1}", f"FACTOR = {factor}")
        assert project.run("-j1", env=env).counts == (0, 10)
    assert "(of 27.3 MB)" in project.command("cache", env=env).stdout
    assert project.command("cache", "verify").exit_code == 0


def test_a_cache_whose_last_runs_are_larger_than_it_may_be_says_so_and_keeps_them(project: Project) -> None:
    project.write(SIZED)
    done = project.run("-j1", json=False, env={"JPIPE_CACHE_SIZE": "1M"})
    assert "more than cache_size: the last runs use that much" in done.stderr
    assert project.run("-j1", env={"JPIPE_CACHE_SIZE": "1M"}).counts == (0, 10)


@pytest.mark.parametrize(
    ("text", "nbytes"),
    [("10", 10), (10, 10), ("1k", 1024), ("1.5G", 3 << 29), ("2 MiB", 2 << 20), ("600kB", 600 << 10), ("0", 0)],
)
def test_a_size_can_be_written_as_people_write_it(text: object, nbytes: int) -> None:
    assert bytes_of(text) == nbytes


@pytest.mark.parametrize("text", ["", "big", "-1", -1, True, "1X", "nan", "inf", None, 1.5j])
def test_what_is_not_a_size_is_refused(project: Project, text: object) -> None:
    with pytest.raises(ValueError, match="that is not a size"):
        bytes_of(text)


def key(folder: Path, letter: bytes) -> dict[str, str]:
    file = folder / f"key-{letter.decode()}"
    file.write_bytes(letter * 32)
    os.chmod(file, 0o600)
    return {"JPIPE_KEY_FILE": str(file)}


def test_results_that_another_key_signed_are_told_from_those_that_never_ran(project: Project) -> None:
    project.write(SIGNED)
    ours, theirs = key(project.root, b"a"), key(project.root, b"b")
    assert project.run("-j1", env=theirs).counts == (21, 0)
    steps = {step["step"]: step for step in project.plan(env=ours)["steps"]}
    assert [(r["kind"], r["items"]) for r in steps["one"]["reasons"]] == [("signed with another key", 20)]
    assert [r["kind"] for r in steps["total"]["reasons"]] == ["signed with another key"]
    assert "its result is signed with another key" in project.command("plan", "--why", env=ours).stdout
    for words in (["cache"], ["cache", "list"]):
        assert "21 results signed with another key do not count" in project.command(*words, env=ours).stdout
    shown = project.command("show", "one", env=ours)
    assert shown.exit_code == 2 and "signed with another key" in shown.stderr
    done = project.run("-j1", json=False, env=ours)
    assert "signed with another key" in done.stderr and "never ran" not in done.stderr
    assert project.run("-j1", env=ours).counts == (0, 21)
    assert project.run("-j1", env=theirs).counts == (0, 21), "theirs are kept"


def test_an_item_that_never_ran_is_not_said_to_be_signed_by_anybody(project: Project) -> None:
    project.write(SIGNED)
    project.run("-j1", env=key(project.root, b"b"))
    project.edit("pipeline.py", "range(20)", "range(22)")
    steps = {step["step"]: step for step in project.plan(env=key(project.root, b"a"))["steps"]}
    assert sorted((r["kind"], r["items"]) for r in steps["one"]["reasons"]) == [
        ("never ran", 2), ("signed with another key", 20)]  # fmt: skip


def test_a_key_file_that_is_not_there_is_refused_and_not_made(project: Project) -> None:
    project.write(SIGNED)
    env = {"JPIPE_KEY_FILE": str(project.root / "no key")}
    for words in (["run"], ["plan"], ["status"]):
        done = project.command(*words, env=env)
        assert (done.exit_code, "there is no such file" in done.stderr) == (2, True), done.stderr
    assert not (project.root / "no key").exists()
