"""Whatever a step does to the process that it runs in, the run and the other items go on."""

from __future__ import annotations

from tests.conftest import Project

PIPELINE = """
    import io, os, signal, sys, threading
    from jpipe import map, pipeline, step

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
        if what == "fork":
            if (child := os.fork()) == 0: sys.exit(3)
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if what == "fork returns":
            if (child := os.fork()) == 0: return "the child"
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if what == "fork raises":
            if (child := os.fork()) == 0: raise ValueError("in the child")
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if what == "thread": threading.Thread(target=print, args=("late",)).start()
        return i

    @step
    def after(what, found):
        print("after")
        sys.stdout.flush()
        return what, found, os.getcwd() == HERE

    HERE = os.getcwd()
    WHAT = ["buffer", "writelines", "reconfigure", "wrapped", "wrapped and closed", "wrong type", "closed", "detached",
            "replaced", "none", "attributes", "chdir", "alarm", "handler", "descriptor", "fork", "fork returns",
            "fork raises", "thread"]

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
            special = {"wrong type": "TypeError", "fork": 3, "fork returns": 0, "fork raises": 1,
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
        assert all(text in said for text in ("raw", "wrapped", "before 1")), said
        (project.root / "cache").rename(project.root / f"cache of {jobs}")
