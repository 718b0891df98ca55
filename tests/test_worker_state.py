"""A worker computes with the state that the key was made of, whatever was changed since its files were imported."""

from __future__ import annotations

import pytest

from tests.conftest import Project

PIPELINE = """
    import builtins, contextvars, csv, decimal, io, locale, logging, math, os, socket, tempfile, textwrap, threading
    import uuid, warnings
    import numpy as np, pandas as pd
    import settings
    from settings import TABLE, LIMIT
    from jpipe import map, pipeline, step

    RATE = 1
    RUN = uuid.uuid4().hex
    SCRATCH = tempfile.mkdtemp()
    SIZES = [1, 2]
    MISSING = object()
    BIG = np.zeros(400_000)
    GONE = dict(a=1, b=2)

    class Config:
        rate = 1
        names = ["a"]
    CONFIG = Config()
    CONFIG.depth = 1

    def helper(): return settings.RATE, LIMIT

    class Patched:
        def go(self): return 1
        @property
        def told(self): return 1
        @classmethod
        def of(cls): return 1
    def other(self): return 2
    def indented(text, prefix): return "mine " + text
    def counter():
        count = 0
        def add(k):
            nonlocal count
            count += k
        return add, lambda: count
    add, counted = counter()
    def defaulted(x, k=[], *, rate=1): return x, k, rate
    def hook(): return 1
    CONTEXT = contextvars.ContextVar("CONTEXT", default=0)
    HERE = threading.local()

    def dialect():
        if "own" not in csv.list_dialects(): return None
        out = io.StringIO()
        csv.writer(out, "own").writerow([1, 2])
        return out.getvalue()

    def rights(i):
        name = f"{tempfile.gettempdir()}/{os.getpid()}-{i}"
        os.close(os.open(name, os.O_CREAT | os.O_WRONLY, 0o666))
        mode = os.stat(name).st_mode
        os.unlink(name)
        return oct(mode)

    @step
    def seen(i):
        with warnings.catch_warnings(record=True) as caught:
            try:
                warnings.warn("careful", UserWarning)
                warned = len(caught)
            except UserWarning:
                warned = "raised"
        try:
            divided = str(np.float64(1) / np.zeros(1)[0])
        except FloatingPointError:
            divided = "raised"
        return {
            "global": RATE, "uuid": RUN, "mkdtemp": SCRATCH, "list": SIZES, "module": settings.RATE, "helper": helper(),
            "table": dict(TABLE), "same table": TABLE is settings.TABLE, "class": (Config.rate, Config.names),
            "object": CONFIG.depth, "environ": os.environ.get("SAID"), "unset": os.environ.get("UNSAID"),
            "folder": os.getcwd(), "warned": warned, "divided": divided, "decimal": str(decimal.Decimal(1) / 3),
            "pandas": pd.get_option("display.max_rows"), "printed": repr(np.array([1 / 3])), "large": float(BIG[0]),
            "sentinel": MISSING is MISSING, "gone": sorted(GONE), "late": getattr(settings, "LATE", None),
            "method": (Patched().go(), Patched().told, Patched.of()), "closure": counted(), "default": defaulted(1),
            "hook": hook(), "context": CONTEXT.get(), "thread": getattr(HERE, "value", None), "library": math.pi,
            "patched": textwrap.indent("a", "b"), "builtin": extra if hasattr(builtins, "extra") else None,
            "dialect": dialect(), "timeout": socket.getdefaulttimeout(), "locale": locale.setlocale(locale.LC_TIME),
            "level": logging.getLogger("own").isEnabledFor(25), "rights": rights(i),
            "late2": settings.LATE if hasattr(settings, "LATE") else None,
        }

    @pipeline
    def main(rate: int = 1):
        global RATE
        RATE = rate
        return [seen(i) for i in range(4)]
"""
SETTINGS = "RATE = 1\nLIMIT = 1\nTABLE = {'a': 1}\n"
DRIVER = """
    import builtins, csv, decimal, locale, logging, math, os, socket, sys, textwrap, warnings
    import numpy as np, pandas as pd
    import jpipe, pipeline, settings

    RATES = iter(range(1, 100))

    def compare(label):
        rate = next(RATES)
        # A run in workers, against the plain script in this process.
        expected = pipeline.main(rate)
        for jobs, cache in ((2, "cache"), (1, "cache")):
            found = jpipe.run(pipeline.main, {"rate": rate}, n_jobs=jobs, cache_dir=CACHE).value
            for k, (one, other) in enumerate(zip(found, expected)):
                for name in one:
                    if one[name] != other[name]:
                        print(label, "jobs", jobs, name, one[name], "right:", other[name])

    if __name__ == "__main__":
        CACHE = os.path.abspath("cache")
        compare("as imported")
        compare("set in the body")
        settings.RATE = 5; compare("module variable")
        pipeline.LIMIT = 7; compare("name that was imported")
        settings.TABLE["b"] = 2; compare("dict changed in place")
        pipeline.SIZES.append(3); compare("list changed in place")
        pipeline.Config.rate = 9; pipeline.Config.names.append("b"); compare("class attribute")
        pipeline.CONFIG.depth = 4; compare("attribute of an object")
        os.environ["SAID"] = "yes"; compare("environ")
        os.environ.pop("UNSAID", None); compare("environ removed")
        os.makedirs("elsewhere", exist_ok=True); os.chdir("elsewhere"); compare("chdir")
        warnings.simplefilter("error", UserWarning); compare("warning filters")
        np.seterr(divide="raise"); compare("numpy's errors")
        decimal.getcontext().prec = 5; compare("decimal")
        pd.set_option("display.max_rows", 7); compare("pandas")
        np.set_printoptions(precision=2); compare("numpy's printing")
        pipeline.BIG[0] = 3; compare("large array")
        del pipeline.GONE["a"]; compare("dict with less")
        settings.LATE = 1; compare("new variable")
        pipeline.Patched.go = pipeline.other; compare("method")
        pipeline.Patched.told = property(lambda self: 2); compare("property")
        pipeline.add(3); pipeline.defaulted.__defaults__ = ([7],); pipeline.defaulted.__kwdefaults__["rate"] = 2
        compare("what functions hold")
        pipeline.hook = lambda: 2; compare("function set anew")
        pipeline.CONTEXT.set(1); pipeline.HERE.value = 1; compare("of this thread")
        math.pi = 3; textwrap.indent = pipeline.indented; builtins.extra = 1; compare("put into libraries")
        csv.register_dialect("own", delimiter=";"); socket.setdefaulttimeout(3)
        locale.setlocale(locale.LC_TIME, locale.setlocale(locale.LC_CTYPE))
        logging.getLogger("own").setLevel(20); os.umask(0o077); compare("the standard library's settings")
        settings.RATE = 1; compare("back")
"""


def test_workers_have_the_state_of_the_main_process(project: Project) -> None:
    project.write({"pipeline.py": PIPELINE, "settings.py": SETTINGS, "driver.py": DRIVER})
    done = project.python("driver.py", env={"UNSAID": "yes"})
    assert (done.exit_code, done.stdout) == (0, ""), done.stderr


@pytest.mark.parametrize("flags", [("-O",), ("-W", "error::UserWarning", "-X", "utf8")], ids=["-O", "-W and utf8"])
def test_interpreter_flags_reach_workers_and_count(project: Project, flags: tuple[str, ...]) -> None:
    project.write("""
        import sys, warnings
        from jpipe import map, pipeline, step
        @step
        def seen(i):
            try:
                assert False
                checked = "unchecked"
            except AssertionError:
                checked = "checked"
            try:
                warnings.warn("careful", UserWarning)
                warned = "warned"
            except UserWarning:
                warned = "raised"
            return checked, warned, sys.flags.utf8_mode
        @pipeline
        def main(): return [seen(i) for i in range(4)]
    """)
    project.write({"show.py": "import pipeline; print(pipeline.main() == pipeline.main.run())"})
    assert project.python(*flags, "-m", "jpipe", "run", "-q", "-j2").exit_code == 0
    assert project.python(*flags, "show.py").stdout == "True\n"
    if "-O" in flags:
        assert project.run("-j2").counts == (4, 0)
        assert project.python("show.py").stdout == "True\n"


RELOAD = """
    import importlib, os, pathlib, sys
    import jpipe, pipeline, helper

    def edit(file, old, new):
        path = pathlib.Path(file)
        before = path.stat().st_mtime_ns
        path.write_text(path.read_text().replace(old, new))
        os.utime(path, ns=(before + 2 * 10**9,) * 2)

    def compare(label):
        found = jpipe.run(pipeline.main, n_jobs=2, cache_dir="cache").value
        if found != pipeline.main():
            print(label, found, "right:", pipeline.main())

    if __name__ == "__main__":
        compare("first")
        edit("pipeline.py", '"old"', '"new, longer"')
        compare("edited, not reloaded")
        importlib.reload(pipeline)
        compare("reloaded")
        edit("helper.py", "return 1", "return 22")
        importlib.reload(helper)
        importlib.reload(pipeline)
        compare("helper reloaded")
        edit("helper.py", "return 22", "return 1")
        importlib.reload(helper)
        importlib.reload(pipeline)
        compare("back")
        edit("helper.py", "return 1", "return 1 +")
        compare("broken on the disk")
"""


def test_workers_that_outlive_an_edit_do_not_run_the_old_code(project: Project) -> None:
    project.write(
        {
            "pipeline.py": """
            from helper import helped
            from jpipe import map, pipeline, step
            @step
            def work(i): return "old", i, helped()
            @pipeline
            def main(): return [work(i) for i in range(4)]
        """,
            "helper.py": "def helped(): return 1\n",
            "driver.py": RELOAD,
        }
    )
    done = project.python("driver.py")
    assert (done.exit_code, done.stdout) == (0, ""), done.stderr


def test_a_variable_changed_inside_a_block_of_remembered_calls_counts(project: Project) -> None:
    project.write(
        {
            "pipeline.py": """
            import os, settings
            from jpipe import step
            @step
            def rate(i): return settings.RATE, settings.TABLE["a"], os.environ.get("SAID")
        """,
            "settings.py": SETTINGS,
            "driver.py": """
            import os, jpipe, pipeline, settings
            def changes():
                yield
                settings.RATE = 2
                yield
                settings.TABLE["a"] = 2
                yield
                os.environ["SAID"] = "yes"
                yield
                settings.RATE = 1
                yield
            if __name__ == "__main__":
                with jpipe.cached(cache_dir="cache"):
                    for _ in changes():
                        expected = pipeline.rate.function(0)
                        print(pipeline.rate(0) == expected, jpipe.map(pipeline.rate, range(3)) == [expected] * 3)
        """,
        }
    )
    done = project.python("driver.py")
    assert (done.exit_code, done.stdout) == (0, "True True\n" * 5), done.stderr


def test_runs_in_threads_of_one_process_do_not_meet(project: Project) -> None:
    project.write(
        {
            "pipeline.py": """
            import random, time
            import jpipe
            from jpipe import map, pipeline, step
            @step
            def walk(i):
                time.sleep(0.02)
                return random.random(), jpipe.seed()
            @step
            def note(i):
                print("item", i)
                return i
            @pipeline
            def a(): return map(walk, range(4))
            @pipeline
            def b(): return [walk(i) for i in range(4)]
            @pipeline
            def c(): return map(note, range(4))
        """,
            "driver.py": """
            import random, sys, tempfile, threading, jpipe, pipeline
            if __name__ == "__main__":
                state = random.getstate()
                alone = {n: jpipe.run(getattr(pipeline, n), cache_dir=tempfile.mkdtemp()).value for n in "abc"}
                for jobs in (1, 2):
                    for names in ("aa", "abc"):
                        for shared in (tempfile.mkdtemp(), None):
                            found = {}
                            def go(k, name):
                                cache = shared or tempfile.mkdtemp()
                                found[k] = jpipe.run(getattr(pipeline, name), n_jobs=jobs, cache_dir=cache).value
                            threads = [threading.Thread(target=go, args=pair, daemon=True) for pair in enumerate(names)]
                            _ = [thread.start() for thread in threads], [thread.join(60) for thread in threads]
                            for k, name in enumerate(names):
                                if found.get(k) != alone[name]:
                                    print(jobs, names, shared, name, found.get(k), "right:", alone[name])
                print("same state:", random.getstate() == state)
        """,
        }
    )
    done = project.python("driver.py")
    assert (done.exit_code, done.stdout) == (0, "same state: True\n"), done.stderr


def test_what_the_standard_library_takes_from_the_environment_counts(project: Project) -> None:
    project.write("""
        import datetime, os, pathlib, time
        from jpipe import pipeline, step
        @step
        def hour(x): return datetime.datetime.fromtimestamp(0).hour
        @step
        def local(x): return time.localtime(0).tm_hour
        @step
        def home(x): return os.path.expanduser("~/data")
        @step
        def home_path(x): return str(pathlib.Path.home())
        @step
        def neither(x): return x
        @pipeline
        def main(): return [hour(1), local(1), home(1), home_path(1), neither(1)]
    """)
    project.write({"show.py": "import pipeline; print(pipeline.main.run() == pipeline.main())"})
    for changed, ran in ({"TZ": "UTC", "HOME": "/one"}, 5), ({"TZ": "Asia/Tokyo", "HOME": "/one"}, 2), (
        {"TZ": "Asia/Tokyo", "HOME": "/two"}, 2,
    ):  # fmt: skip
        env = {"XDG_CONFIG_HOME": str(project.root / "keys"), **changed}
        assert project.run("-j2", env=env).counts == (ran, 5 - ran)
        assert project.python("show.py", env=env).stdout == "True\n"


def test_settings_of_packages_count_where_they_are_used_and_reach_threads(project: Project) -> None:
    """What a body sets of them is in the key, and in every thread that computes."""
    project.write("""
        import decimal
        import numpy as np
        from jpipe import map, pipeline, step

        @step
        def third(i): return str(decimal.Decimal(i) / 3)

        @step
        def divided(i):
            try:
                return str(np.array([float(i)]) / 0)
            except FloatingPointError:
                return "raised"

        @step
        def plain(i): return i

        @step
        def seen(xs): return xs

        @pipeline
        def main(digits: int = 28, divide: str = "ignore"):
            decimal.getcontext().prec = digits
            np.seterr(divide=divide)
            return seen([third(1), divided(1), plain(1)])
    """)
    ran = []
    for digits, divide, how in (
        (5, "ignore", ["-j1"]),
        (3, "ignore", ["-j2", "--backend", "threading"]),
        (3, "raise", ["-j2"]),
        (5, "ignore", ["-j1"]),
    ):
        done = project.run(*how, "--set", f"digits={digits}", "--set", f"divide={divide}")
        ran.append({name: count for name, count in done.ran.items() if name != "seen"})
        shown = project.command("show", "seen").stdout
        assert f"'0.{'3' * digits}'" in shown and ("raised" in shown) == (divide == "raise"), (how, shown)
    assert ran == [{"third": 1, "divided": 1, "plain": 1}, {"third": 1}, {"divided": 1}, {}]
