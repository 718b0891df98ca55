"""What a step takes is what another one gave, also where a copy would not be the same."""

from __future__ import annotations

import pytest

from tests.conftest import Project

PIPELINE = """
    import dataclasses, enum
    import numpy as np
    from jpipe import map, pipeline, step

    class _Missing:
        pass
    class _Slots:
        __slots__ = ()
    MISSING, OTHER, NOTHING = _Missing(), _Missing(), _Slots()
    class Kind(enum.Enum):
        A = object()
    class Names(dict):
        def __missing__(self, key): return key.upper()
    class Rows(list):
        def total(self): return sum(self)
    class Strict(Exception):
        def __init__(self, code, *, detail): super().__init__(f"{code}: {detail}"); self.detail = detail
    class Awaited:
        def __init__(self, v): self.v = v
        def __await__(self):
            raise RuntimeError("not to be awaited")
            yield
    @dataclasses.dataclass
    class Held:
        data: np.ndarray

    @step
    def gives(what):
        return {
            "sentinel": lambda: {"a": MISSING}, "two": lambda: [MISSING, OTHER], "slots": lambda: (NOTHING,),
            "enum": lambda: Kind.A, "dict": lambda: Names(a=1), "list": lambda: Rows([1, 2]),
            "error": lambda: Strict(7, detail="why"), "errors": lambda: [Strict(7, detail="why")],
            "awaitable": lambda: Awaited(3), "large": lambda: np.zeros(200_000), "small": lambda: np.zeros(9),
            "nested": lambda: {"x": [np.zeros(200_000)]}, "field": lambda: Held(np.zeros(200_000)),
        }[what]()

    @step
    def takes(what, found):
        def resized(array):
            array.resize(array.size * 2, refcheck=False)
            return array.size
        return {
            "sentinel": lambda: found["a"] is MISSING, "two": lambda: (found[0] is MISSING, found[1] is OTHER),
            "slots": lambda: found[0] is NOTHING, "enum": lambda: found is Kind.A, "dict": lambda: found["b"],
            "list": lambda: found.total(), "error": lambda: (str(found), found.detail), "errors": lambda: str(found[0]),
            "awaitable": lambda: found.v, "large": lambda: resized(found), "small": lambda: resized(found),
            "nested": lambda: resized(found["x"][0]), "field": lambda: resized(found.data),
        }[what]()

    @step
    def which(found): return found[0] is MISSING

    FORMS = ["sentinel", "two", "slots", "enum", "dict", "list", "error", "errors", "awaitable", "large", "small",
             "nested", "field"]

    @pipeline
    def main():
        return [takes(what, gives(what)) for what in FORMS]

    @step
    def grown(array, *, others=(), **named):
        array.resize(array.size + 1)
        named.pop("more", np.zeros(1)).resize(7)
        others.pop().resize(7) if others else None
        return array.size

    @pipeline
    def unshared():
        return grown(gives("large")), grown(gives("small"), others=[gives("small")], more=gives("large"))

    @step
    def choice(k): return [MISSING, OTHER][k:k + 1]

    @pipeline
    def told_apart():
        return [which(choice(0)), which(choice(1))]
"""


def test_values_arrive_as_they_were_given(project: Project) -> None:
    project.write(
        {
            "pipeline.py": PIPELINE,
            "driver.py": """
            import sys, jpipe, pipeline
            if __name__ == "__main__":
                expected = dict(zip(pipeline.FORMS, pipeline.main()))
                for jobs in (1, 2):
                    for again in range(2):
                        run = jpipe.run(pipeline.main, n_jobs=jobs, cache_dir=f"cache{jobs}", keep_going=True)
                        if run.failures:
                            print(jobs, run.failures)
                            continue
                        for what, found in zip(pipeline.FORMS, run.value):
                            if found != expected[what]:
                                print(jobs, again, what, found, "right:", expected[what])
                    if jpipe.run(pipeline.told_apart, n_jobs=jobs, cache_dir=f"cache{jobs}").value != [True, False]:
                        print(jobs, "not told apart")
                    if jpipe.run(pipeline.unshared, n_jobs=jobs, cache_dir=f"cache{jobs}").value != (200_001, 10):
                        print(jobs, "others refer to what a step takes")
        """,
        }
    )
    done = project.python("driver.py")
    assert (done.exit_code, done.stdout) == (0, ""), done.stdout + done.stderr


def test_a_value_that_is_never_the_same_is_named_with_the_remedy(project: Project) -> None:
    project.write("""
        import os
        from jpipe import pipeline, step
        class Keeps:
            def __init__(self): self.words = ["a"]
            def __getstate__(self): return {"words": self.words, "place": os.urandom(8)}
        class Space:
            def __init__(self): self.low = 1
            def __reduce__(self): return rebuilt, (self.low, os.getpid(), os.urandom(4))
        def rebuilt(*given): return Space()
        @step
        def fit(x): return {"model": [Keeps()]}
        @step
        def search(space): return space["C"].low
        @pipeline
        def main(): return fit(1), search({"C": Space()})
    """)
    for jobs in (1, 2):
        said = project.run(f"-j{jobs}", "--force", "fit", json=False).stderr
        assert "result['model'][0]" in said and "hash=" in said, said
    why = project.command("plan", "--why").stdout + project.command("plan", "--why").stderr
    assert "space['C']" in why and "hash=" in why, why


FIGURES = """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import numpy as np

    from jpipe import pipeline, step


    def lines(ax): ax.plot([1, 2], label="a"); ax.legend(); ax.set_xlabel("x")
    def bars(ax): ax.bar(["a", "b"], [1, 2]); ax.figure.suptitle("t")
    def points(ax): ax.figure.colorbar(ax.scatter([1, 2], [3, 4], c=[1, 2]))
    def picture(ax): ax.imshow(np.eye(3)); ax.figure.tight_layout()
    def drawn(ax): ax.hist([1, 2, 2]); ax.figure.canvas.draw()


    @step
    def plot(kind: str):
        for _ in range(len(kind) % 3):
            plt.figure()  # how many pyplot has made before is not content
        figure, ax = plt.subplots()
        globals()[kind](ax)
        return figure


    @step
    def count(figures: list) -> int:
        return sum(len(figure.axes) for figure in figures)


    @pipeline
    def main():
        return count([plot(kind) for kind in ("lines", "bars", "points", "picture", "drawn")])
"""


@pytest.mark.parametrize("jobs", ["-j1", "-j2"])
def test_figures_are_kept_and_count_by_what_they_show(project: Project, jobs: str) -> None:
    project.write(FIGURES)
    first = project.run(jobs)
    assert (first.ran, "another one in each process" in first.stderr) == ({"plot": 5, "count": 1}, False)
    assert project.run(jobs).ran == {}
    project.edit("pipeline.py", "plt.figure()  #", "plt.figure(num=None)  #")
    assert project.run(jobs).ran == {"plot": 5}, "made anew they are the same figures"
