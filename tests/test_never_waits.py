"""A run never waits for what need not come."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.conftest import Project

FAILING = """
    import time
    from jpipe import pipeline, step
    @step
    def work(i):
        time.sleep(0.2)
        if i % 3 == 1: raise ValueError(i)
        return i
    @step
    def opens(i):
        time.sleep(0.2)
        return (k for k in range(i))
    @step
    def total(xs): return sum(xs)
    @pipeline
    def failing(): return [work(i) for i in range(6)]
    @pipeline
    def unkept(): return [total(opens(i)) for i in range(4)]
"""


@pytest.mark.parametrize(("name", "exit_code"), [("failing", 1), ("unkept", 0)])
def test_two_runs_at_once_of_items_without_results_both_end(project: Project, name: str, exit_code: int) -> None:
    project.write(FAILING)
    commands = [project.start("run", "-k", f"-j{jobs}", f"pipeline.py:{name}") for jobs in (1, 2)]
    said = [command.communicate(timeout=120) for command in commands]
    assert [command.returncode for command in commands] == [exit_code] * 2, said


UNGUARDED = {
    "print(main.run())": 1,
    "import jpipe; jpipe.run(main, n_jobs=2)": 1,
    "if True:\n    result = main.run()": 2,
    "def go(): return main.run()\ngo()": 1,
    "values = [main.run() for _ in range(2)]": 1,
}


@pytest.mark.parametrize("line", UNGUARDED)
def test_a_run_that_begins_while_its_file_is_imported_is_refused(project: Project, line: str) -> None:
    text = "from jpipe import pipeline, step\n@step\ndef half(i): return i / 2\n"
    text += "@pipeline\ndef main(): return [half(i) for i in range(6)]\n"
    project.write({"pipeline.py": text + line + "\n"})
    result = project.run("-j2")
    number = len(text.splitlines()) + UNGUARDED[line]
    assert result.exit_code == 3 and "__main__" in result.stderr and f"pipeline.py:{number}" in result.stderr
    assert project.python("pipeline.py").exit_code == 0, "a script may"


@pytest.mark.skipif(os.name == "nt", reason="processes are stopped by signals")
def test_time_in_which_a_run_is_stopped_does_not_count_as_its_items(project: Project) -> None:
    project.write("""
        import time
        from jpipe import pipeline, step
        @step(timeout=3)
        def work(i):
            open(f"began{i}", "w").close()
            for _ in range(10): time.sleep(0.1)
            return i
        @pipeline
        def main(): return [work(i) for i in range(2)]
    """)
    command = project.start("run", "-j2", start_new_session=True)
    until = time.monotonic() + 60
    while not (project.root / "began0").exists() and time.monotonic() < until:
        time.sleep(0.05)
    os.killpg(command.pid, signal.SIGSTOP)
    time.sleep(6)
    os.killpg(command.pid, signal.SIGCONT)
    _, stderr = command.communicate(timeout=60)
    assert command.returncode == 0, stderr


@pytest.mark.parametrize("backend", ["preloaded", "threading"])
def test_a_run_in_which_nothing_moves_says_what_it_waits_for(project: Project, backend: str) -> None:
    project.write(
        {
            "pipeline.py": """
            import subprocess, sys, time
            from jpipe import pipeline, step
            BUSY = "import time\\nend = time.monotonic() + 3\\nwhile time.monotonic() < end: pass"
            @step
            def waits(i):
                time.sleep(3)
                return i
            @step
            def works(i):
                subprocess.run([sys.executable, "-c", BUSY], check=True)
                return i
            @pipeline
            def stands(): return [waits(i) for i in range(2)]
            @pipeline
            def moves(): return [works(i) for i in range(2)]
        """,
            "patient.py": """
            import sys
            from jpipe.cli import main
            from jpipe.schedule import still_waiting
            still_waiting.QUIET = 1.0
            sys.argv = ["jpipe", "run", "-j2", *sys.argv[1:]]
            main()
        """,
        }
    )
    stands = project.python("patient.py", "pipeline.py:stands", "--backend", backend)
    assert stands.stderr.count("nothing has moved for") == 1, stands.stderr
    assert "still waiting for waits[i=0] (process " in stands.stderr and "waits[i=1]" in stands.stderr
    if os.path.isdir("/proc"):
        assert "nothing has moved" not in project.python("patient.py", "pipeline.py:moves", "--backend", backend).stderr
