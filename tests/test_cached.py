"""``with jpipe.cached():`` remembers calls of steps as joblib.Memory does, and the items that `jpipe.map` runs."""

from __future__ import annotations

import os

CALLS = """
    import asyncio
    import os
    import sys
    import time

    import jpipe
    from jpipe import step

    def say(name):
        os.write(1, f"{name} ".encode())

    class Point:
        def __init__(self, x):
            self.x = x

    @step
    def slow(point, by=1):
        say("slow")
        time.sleep(0.05)
        return Point(point.x * by), os.getpid()

    @step(ignore=["verbose"])
    def quiet(x, verbose=0):
        say("quiet")
        return x

    @step
    async def later(x):
        say("later")
        await asyncio.sleep(0)
        return 2 * x

    @step(prefer="threads", n_jobs=2, cache=False)
    def in_threads(x):
        return os.getpid()

    @step
    def picky(x):
        say("picky")
        if x == 3:
            raise KeyError(x)
        return x

    async def wait():
        return [await later(1), *await asyncio.gather(later(2), later(3))]

    points = [Point(x) for x in range(int(sys.argv[1]))]
"""
BLOCK = """
    with jpipe.cached():
        found = jpipe.map(slow, points, by=10)
        assert [type(point) is Point and point.x for point, _ in found] == [10 * x for x in range(len(points))]
        assert slow(Point(1), by=10)[0].x == 10
        assert (quiet(1), quiet(1, verbose=3)) == (1, 1)
        assert asyncio.run(wait()) == [2, 4, 6]
        assert set(jpipe.map(in_threads, range(5))) == {os.getpid()}
        try:
            jpipe.map(picky, range(5))
        except KeyError as error:
            assert error.__notes__ == ["in item 3 of picky"], error.__notes__
"""
OUTSIDE = """
    assert set(jpipe.map(in_threads, range(5))) == {os.getpid()}
    assert later(1).close() is None
"""


def ran(result):
    assert result.exit_code == 0, result.stderr
    names = result.stdout.split()
    return {name: names.count(name) for name in sorted(set(names))}


def test_calls_and_items_of_maps_are_remembered_beside_the_script(project):
    project.write({"script.py": CALLS + BLOCK + OUTSIDE})
    first = ran(project.python("script.py", "6"))
    assert {name: first[name] for name in ("later", "quiet", "slow")} == {"later": 3, "quiet": 1, "slow": 6}
    assert (project.root / "cache" / "CACHEDIR.TAG").exists(), "the cache is not in the project of the script"
    again = ran(project.python("script.py", "8"))
    assert again == {"picky": again["picky"], "slow": 2}
    assert again["picky"] <= 2, "items that had finished ran again"


def test_steps_of_a_cached_map_run_in_other_processes(project):
    block = """
    with jpipe.cached():
        assert os.getpid() not in {pid for _, pid in jpipe.map(slow, points)}
        assert {pid for _, pid in jpipe.map(slow, points)} != {os.getpid()}
    """
    project.write({"script.py": CALLS + block})
    assert ran(project.python("script.py", "4")) == {"slow": 4}
    assert ran(project.python("script.py", "4")) == {}


def test_two_projects_do_not_share_a_cache(project):
    project.write({"a/jpipe.toml": "", "a/script.py": CALLS + BLOCK, "b/jpipe.toml": "", "b/script.py": CALLS + BLOCK})
    for folder in ("a", "b"):
        assert ran(project.python(os.path.join(folder, "script.py"), "2"))["slow"] == 2
        assert (project.root / folder / "cache").is_dir()
