"""Whatever a step does to the process that it runs in, the run and the other items go on."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from jpipe.system.audit import watching
from jpipe.worker.descriptors import Descriptors
from tests.conftest import Project

PIPELINE = """
    import concurrent.futures, io, multiprocessing, os, signal, subprocess, sys, threading
    from jpipe import map, pipeline, step

    def shouts(text):
        print(text)
        print("err", text, file=sys.stderr)

    MUCH = [sys.executable, "-c", "import sys\\nfor _ in range(9): sys.stdout.write('y' * 2**20)\\nprint('the end')"]

    @step
    def does(what, i):
        print("before", i)
        if what == "buffer": sys.stdout.buffer.write(b"raw\\n")
        if what == "writelines": sys.stdout.writelines(["a\\n", "b\\n"])
        if what == "reconfigure": sys.stdout.reconfigure(encoding="latin-1", line_buffering=False)
        if what == "wrapped":
            out = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8")
            out.write("wrapped\\n")
            out.detach()
        if what == "wrapped and closed": io.TextIOWrapper(sys.stdout.buffer).close()
        if what == "wrong type":
            try: sys.stdout.write(b"bytes")
            except TypeError: return "TypeError"
        if what == "closed": sys.stdout.close()
        if what == "detached": sys.stdout.detach()
        if what == "replaced": sys.stdout = io.StringIO()
        if what == "none": sys.stdout = sys.stderr = None
        if what == "attributes":
            return [sys.stdout.name, sys.stdout.mode, sys.stdout.encoding, sys.stdout.closed, sys.stdout.isatty()]
        if what == "chdir": os.chdir("/")
        if what == "alarm" and i == 0: signal.setitimer(signal.ITIMER_REAL, 1000)
        if what == "handler": signal.signal(signal.SIGTERM, lambda *_: None)
        if what == "descriptor": os.close(os.open(os.devnull, os.O_RDONLY))
        if what == "signals":
            if (child := os.fork()) == 0: sys.exit(signal.getsignal(signal.SIGTERM) != signal.SIG_DFL)
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if what == "fork":
            if (child := os.fork()) == 0: sys.exit(3)
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if what == "fork returns":
            if (child := os.fork()) == 0: return "the child"
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if what == "fork raises":
            if (child := os.fork()) == 0: raise ValueError("in the child")
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if what == "pool":
            with multiprocessing.get_context("fork").Pool(2) as pool: pool.map(shouts, ["pool a", "pool b"])
        if what == "executor":
            with concurrent.futures.ProcessPoolExecutor(2) as pool: list(pool.map(shouts, ["future a", "future b"]))
        if what == "process":
            child = multiprocessing.Process(target=print, args=("process",), kwargs={"end": ""})
            child.start()
            child.join()
        if what == "much": subprocess.run(MUCH, check=True)
        if what == "thread": threading.Thread(target=print, args=("late",)).start()
        return i

    @step
    def after(what, found):
        print("after")
        sys.stdout.flush()
        return what, found, os.getcwd() == HERE

    HERE = os.getcwd()
    WHAT = ["signals", "pool", "executor", "process",  # before a handler of SIGTERM, by which a pool ends its processes
            "buffer", "writelines", "reconfigure", "wrapped", "wrapped and closed", "wrong type", "closed", "detached",
            "replaced", "none", "attributes", "chdir", "alarm", "handler", "descriptor", "fork", "fork returns",
            "fork raises", "much", "thread"]

    @pipeline
    def main():
        return [after(what, does(what, i)) for what in WHAT for i in range(2)]
"""


def test_what_a_step_leaves_changed_does_not_harm_the_run(project: Project) -> None:
    project.write(
        {
            "pipeline.py": PIPELINE,
            "show.py": """
            import sys, pipeline
            special = {"signals": 0, "wrong type": "TypeError", "fork": 3, "fork returns": 0, "fork raises": 1,
                       "attributes": ["<stdout>", "w", "utf-8", False, False]}
            for what, found, here in pipeline.main.run():
                if found not in (special.get(what, 0), special.get(what, 1)) or not here:
                    sys.stderr.write(f"{what} {found} {here}\\n")
        """,
        }
    )
    for jobs in (1, 2):
        result = project.run(f"-j{jobs}", "-k", "--cache-dir", "cache")
        assert (result.exit_code, result.end["failed"]) == (0, 0), result.stderr
        shown = project.python("show.py")
        assert (shown.exit_code, shown.stderr) == (0, "")
        said = project.command("log", "does", "--cache-dir", "cache").stdout
        words = ("raw", "wrapped", "before 1", "pool a", "err pool b", "future b", "err future a", "process", "the end")
        assert all(text in said for text in words), said
        assert said.count("bytes of what programs wrote are left out") == 2 and len(said) < 400_000
        (project.root / "cache").rename(project.root / f"cache of {jobs}")


CHANGES = {
    "environment": ("os.environ['LEFT'] = '1'", "os.environ.get('LEFT')"),
    "time zone": ("(os.environ.update(TZ='Asia/Tokyo'), time.tzset())", "time.tzname"),
    "umask": ("os.umask(0o077)", "[os.umask(mask) and mask for mask in [os.umask(0)]]"),
    "recursion limit": ("sys.setrecursionlimit(1234)", "sys.getrecursionlimit()"),
    "digits": ("sys.set_int_max_str_digits(700)", "sys.get_int_max_str_digits()"),
    "switch interval": ("sys.setswitchinterval(0.5)", "sys.getswitchinterval()"),
    "path": ("sys.path.insert(0, 'left')", "'left' in sys.path"),
    "arguments": ("sys.argv.append('left')", "'left' in sys.argv"),
    "warning filters": ("warnings.simplefilter('error')", "warnings.filters[0][0]"),
    "log level": ("logging.getLogger('left').setLevel(10)", "logging.getLogger('left').level"),
    "log level of the root": ("logging.getLogger().setLevel(10)", "logging.getLogger().level"),
    "log disabled": ("logging.disable(logging.ERROR)", "logging.getLogger().isEnabledFor(logging.ERROR)"),
    "collector": ("gc.disable()", "gc.isenabled()"),
    "collector's threshold": ("gc.set_threshold(5)", "gc.get_threshold()"),
    "tracing": ("sys.settrace(lambda *_: None)", "sys.gettrace() is None"),
    "profiling": ("sys.setprofile(lambda *_: None)", "sys.getprofile() is None"),
    "hook": ("exec('sys.excepthook = print') or sys.excepthook", "sys.excepthook is print"),
    "handler": ("signal.signal(signal.SIGUSR1, signal.SIG_IGN)", "signal.getsignal(signal.SIGUSR1)"),
    "blocked signals": ("signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])",
                        "signal.pthread_sigmask(signal.SIG_BLOCK, [])"),
    "alarm": ("signal.alarm(900)", "signal.alarm(0) > 0"),
    "timeout": ("socket.setdefaulttimeout(3)", "socket.getdefaulttimeout()"),
    "locale": ("locale.setlocale(locale.LC_ALL, 'POSIX')", "locale.setlocale(locale.LC_CTYPE)"),
    "csv": ("csv.field_size_limit(77)", "csv.field_size_limit()"),
    "decimal": ("decimal.getcontext().prec = 5", "decimal.Decimal(1) / 3"),
    "numpy errors": ("numpy.seterr(all='raise')", "numpy.geterr()"),
    "numpy printing": ("numpy.set_printoptions(precision=2)", "numpy.get_printoptions()['precision']"),
    "pandas": ("pandas.set_option('display.max_rows', 3)", "pandas.get_option('display.max_rows')"),
    "behind a helper": ("helper()", "os.environ.get('HELPED')"),
    "in a method": ("Setter().set()", "os.environ.get('BY_METHOD')"),
}  # fmt: skip
"""What a step changes of its process, and how another sees it."""


@pytest.mark.skipif(os.name == "nt", reason="signals, umask")
def test_what_a_step_changes_in_its_process_does_not_reach_the_next(project: Project) -> None:
    """Else a result hangs on whether the step before ran at all, and on where."""
    steps = "".join(
        f"""
@step
def changes_{i}(run):
    {change}
    return 0

@step
def sees_{i}(before, run):
    return repr({look})
"""
        for i, (change, look) in enumerate(CHANGES.values())
    )
    calls = ", ".join(f"sees_{i}(changes_{i}(run) if changes else 0, run)" for i in range(len(CHANGES)))
    (project.root / "pipeline.py").write_text(
        f"""
import csv, decimal, gc, locale, logging, os, signal, socket, sys, time, warnings
import jpipe, numpy, pandas
from jpipe import pipeline, step

def helper(): os.environ["HELPED"] = "1"

class Setter:
    def set(self): os.environ["BY_METHOD"] = "1"
{steps}
@pipeline
def main(run: int, changes: bool): return [{calls}]
"""
    )
    (project.root / "show.py").write_text(
        f"""
import jpipe, pipeline
if __name__ == "__main__":
    for number, (jobs, backend) in enumerate([(1, None), (2, "preloaded")]):
        plain, changed = (
            jpipe.run(pipeline.main, {{"run": number, "changes": changes}}, n_jobs=jobs, backend=backend).value
            for changes in (False, True)
        )
        print([name for name, one, other in zip({list(CHANGES)}, plain, changed) if one != other])
"""
    )
    result = project.python("show.py")
    assert result.stdout == "[]\n" * 2, result.stdout + result.stderr


def test_what_a_program_writes_never_fills_the_disk(tmp_path: Path) -> None:
    """While it runs, that is: a program may write for hours."""
    kept = Descriptors(str(tmp_path))
    largest, over = 0, threading.Event()

    def look() -> None:
        nonlocal largest
        while not over.wait(0.005):
            largest = max(largest, *(os.path.getsize(tmp_path / name) for name in os.listdir(tmp_path)))

    watcher = threading.Thread(target=look)
    script = "import sys, time\nfor _ in range(60): sys.stdout.write('y' * 2**20); time.sleep(0.01)\nprint('last')"
    with watching(), kept:
        watcher.start()
        subprocess.run([sys.executable, "-c", script], check=True)
    over.set()
    watcher.join()
    said = kept.take()
    kept.close()
    left_out = int(said.removeprefix("… ").split()[0])  # how much of the end is kept depends on who was faster
    assert said.endswith("last\n") and 56 << 20 < left_out < 60 << 20 and largest < 30 << 20, (said[:80], largest)
    assert not [thread for thread in threading.enumerate() if thread.name == "jpipe-bounds"]


@pytest.mark.parametrize("closed", ["None", "open('gone.txt', 'w')", "Broken()"])
def test_a_map_needs_no_screen(project: Project, closed: str) -> None:
    project.write(f"""
        import io, sys
        import jpipe
        class Broken(io.StringIO):
            def write(self, text): raise OSError("it is gone")
        sys.stderr = {closed}
        if "gone" in {closed!r}: sys.stderr.close()
        print([jpipe.map(abs, [-1, -2]), jpipe.parallel.p_map(abs, [-1, -2], num_cpus=2)])
        sys.stderr = None
    """)
    assert project.python("pipeline.py").stdout == "[[1, 2], [1, 2]]\n"


@pytest.mark.skipif(os.name == "nt", reason="a shell closes descriptors")
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_command_whose_standard_streams_are_closed_runs(project: Project, closed: str) -> None:
    project.write("""
        import subprocess, sys
        from jpipe import pipeline, step
        @step
        def says(i):
            print("item", i)
            print("error", file=sys.stderr)
            return subprocess.run([sys.executable, "-c", "print(1)"], capture_output=True, text=True).stdout
        @pipeline
        def main(): return [says(i) for i in range(2)]
    """)
    command = f"{shlex.quote(sys.executable)} -m jpipe run -j2 -q {closed}"
    done = subprocess.run(["sh", "-c", command], cwd=project.root, check=False, timeout=120)
    assert done.returncode == 0
    assert project.run().counts == (0, 2)


def test_parameters_and_files_may_have_odd_names(project: Project) -> None:
    project.write("""
        import jpipe
        from jpipe import pipeline, step
        @step
        def plus(x, self=0): return x + self
        @pipeline
        def main(self: int = 2): return plus(1, self=self)
        if __name__ == "__main__":
            with jpipe.cached():
                print(plus(1, self=2), main(self=4), main.run(self=5))
    """)
    assert project.python("pipeline.py").stdout == "3 5 6\n"
    if os.name != "nt":
        name = os.fsdecode(b"odd \xff name.py")
        (project.root / name).write_bytes((project.root / "pipeline.py").read_bytes())
        assert project.command("run", name).exit_code == 0


def test_results_too_deep_to_pickle_are_kept_for_the_run(project: Project) -> None:
    project.write("""
        from jpipe import pipeline, step
        @step
        def chain(n):
            node = []
            for _ in range(n): node = [node]
            return node
        @step
        def depth(node):
            found = 0
            while node: node, found = node[0], found + 1
            return found
        @pipeline
        def main(): return [depth(chain(50_000)), depth(chain(50_001))]
    """)
    project.write({"show.py": "import pipeline; print(pipeline.main.run())"})
    for jobs in (1, 2):
        result = project.run(f"-j{jobs}", json=False)
        assert result.exit_code == 0 and len(max(result.stderr.splitlines(), key=len)) < 400, result.stderr
    assert project.python("show.py").stdout == "[50000, 50001]\n"


@pytest.mark.slow
def test_results_deeper_than_the_stack_are_kept_where_the_limit_allows_them(project: Project) -> None:
    """Python 3.11 lets pickle run over the end of the stack; later ones have a limit of their own."""
    project.write("""
        import sys
        sys.setrecursionlimit(10**6)
        from jpipe import pipeline, step
        @step
        def chain(n):
            node = []
            for _ in range(n): node = [node]
            return node
        @step
        def depth(node):
            found = 0
            while node: node, found = node[0], found + 1
            return found
        @pipeline
        def main(n: int): return depth(chain(n))
    """)
    for jobs, n in ((1, 50_000), (2, 50_001)):
        result = project.run(f"-j{jobs}", "--set", f"n={n}", json=False)
        assert result.exit_code == 0, result.stderr
        if sys.version_info < (3, 12):
            assert project.command("show", "depth").stdout.strip() == f"{n}"


def test_errors_as_large_as_data_are_cut(project: Project) -> None:
    project.write("""
        from jpipe import pipeline, step
        @step
        def text(i): raise KeyError("x" * 5_000_000)
        @step
        def lines(i): raise ValueError("\\n".join(f"line {k}" for k in range(200_000)))
        @step
        def data(i):
            error = ValueError("too big")
            error.data = b"x" * 5_000_000
            raise error
        @step
        def cause(i):
            try:
                raise ValueError("y" * 5_000_000)
            except ValueError as error:
                raise KeyError("short") from error
        @pipeline
        def main(): return [text(1), lines(1), data(1), cause(1)]
    """)
    for jobs in (1, 2):
        result = project.run(f"-j{jobs}", "-k", json=False)
        assert result.exit_code == 1 and "left out" in result.stderr and "too big" in result.stderr
        assert len(result.stderr) < 200_000
    assert sum(path.stat().st_size for path in project.cache.rglob("*") if path.is_file()) < 1_000_000
