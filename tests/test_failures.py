"""However an item fails, the run names it, keeps what finished, leaves no process, and the next run does the rest."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Project, Result

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals")

PIPELINE = """
    import ctypes, logging, os, resource, signal, subprocess, sys, threading, time, warnings
    from jpipe import map, pipeline, step

    class Unpicklable(Exception):
        def __init__(self, text, number):
            super().__init__(text)
            self.lock = threading.Lock()

    class Speechless(Exception):
        def __str__(self):
            raise RuntimeError("no text")

    @step{options}
    def work(i: int) -> int:
        time.sleep({seconds})
        # That a file exists is nothing that a result is taken to depend on: here it stands for the world outside.
        if i == 3 and not os.path.exists("mended"):
            {bad}
        return i * i

    @step
    def total(xs: list[int]) -> int:
        return sum(xs)

    @pipeline
    def main(n: int = 6):
        return total(map(work, range(n)))
"""


def write(project: Project, bad: str, options: str = "", seconds: float = 0.02) -> None:
    """A pipeline whose item 3 is bad until the project has a file ``mended``."""
    project.write(PIPELINE.format(bad=bad, options=options, seconds=seconds))


@pytest.fixture(params=["preloaded", "loky"])
def mark(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """An environment for one of the pools, by which the processes of this test can be told: none may outlive it."""
    environment = {"WHOSE_TEST": uuid.uuid4().hex, "JPIPE_BACKEND": request.param}
    yield environment
    assert gone(environment), (
        f"left behind: {[Path(f'/proc/{pid}/cmdline').read_bytes() for pid in processes(environment)]}"
    )


def processes(mark: dict[str, str]) -> list[int]:
    """The living processes that have this in their environment."""
    found, wanted = [], f"WHOSE_TEST={mark['WHOSE_TEST']}".encode()
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and wanted in (entry / "environ").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def gone(mark: dict[str, str], seconds: float = 5.0) -> bool:
    """Whether all processes with the mark are over soon."""
    deadline = time.monotonic() + seconds
    while processes(mark):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def failed_items(result: Result) -> list[tuple[str, int]]:
    """The items that are said to have failed."""
    return [(end["step"], end["item"]) for end in result.of("item_end") if end["outcome"] == "failed"]


FAILURES = {
    "raises": ("raise ValueError('no good')", "", ["ValueError: no good", "pipeline.py:18"]),
    "unpicklable exception": ("raise Unpicklable('with a lock', 1)", "", ["Unpicklable: with a lock"]),
    "exception without text": ("raise Speechless()", "", ["Speechless", "RuntimeError"]),
    "SystemExit": ("sys.exit(3)", "", ["SystemExit: 3"]),
    "SIGKILL": ("os.kill(os.getpid(), signal.SIGKILL)", "", ["its worker was killed (SIGKILL)", "the system sent it"]),
    "os._exit": ("os._exit(7)", "", ["its worker was killed (exit code 7)"]),
    "segmentation fault": ("ctypes.string_at(0)", "", ["its worker was killed (SIGSEGV)"]),
    "memory limit": (
        "resource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31)); bytearray(2**33)",
        "",
        ["MemoryError"],
    ),
    "hangs in Python": ("time.sleep(60)", "(timeout=0.5)", ["stopped after", "its timeout"]),
    "swallows its alarm": (
        "exec('while True:\\n try: time.sleep(60)\\n except Exception: pass')",
        "(timeout=0.3)",
        ["stopped after", "its timeout"],
    ),
    "hangs in native code": (
        "lock, mutex = ctypes.create_string_buffer(64), ctypes.CDLL(None).pthread_mutex_lock; mutex(lock); mutex(lock)",
        "(timeout=0.3)",
        ["stopped after", "its timeout"],
    ),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_failing_item_is_named_the_others_are_kept_and_the_next_run_does_the_rest(
    project: Project, mark: dict[str, str], name: str
) -> None:
    bad, options, told = FAILURES[name]
    write(project, bad, options)
    first = project.run("-k", "-v", "-j2", env=mark)
    assert first.exit_code == 1, first.stderr
    assert failed_items(first) == [("work", 3)]
    assert (first.end["ran"], first.end["failed"], first.end["blocked"]) == (5, 1, 1)
    assert "✗ work[i=3]   item 3 of 0-5" in first.stderr
    for text in told:
        assert text in first.stderr
    assert "the next run does only item 3 of work, total" in first.stderr
    assert "Traceback" not in first.stderr
    if name == "segmentation fault":
        assert "Fatal Python error: Segmentation fault" in first.stderr
    assert gone(mark)
    again = project.run("-v", "-j2", env=mark)
    assert failed_items(again) == [("work", 3)], "an item that ended its worker must not end the run"
    (project.root / "mended").touch()
    last = project.run("-j2", env=mark)
    assert (last.exit_code, last.ran) == (0, {"work": 1, "total": 1}), last.stderr


def test_without_keep_going_a_failure_stops_the_run_after_what_is_in_flight(
    project: Project, mark: dict[str, str]
) -> None:
    write(project, "raise ValueError('no good')", seconds=0.2)
    result = project.run("-j2", "--set", "n=12", env=mark)
    assert result.exit_code == 1
    ended = result.steps["work"]
    assert (ended["failed"], ended["items"]) == (1, 12)
    assert 2 <= ended["ran"] <= 8
    assert ended["ran"] + ended["failed"] + ended["blocked"] == 12
    assert result.steps["total"]["blocked"] == 1
    assert "total not started" in result.stderr


def test_fail_fast_ends_the_workers_at_once(project: Project, mark: dict[str, str]) -> None:
    project.write(
        """
        import time
        from jpipe import map, pipeline, step

        @step
        def work(i):
            if i == 1:
                time.sleep(0.3)
                raise ValueError("no good")
            time.sleep(30 * (i == 0))
            return i

        @pipeline
        def main():
            return map(work, [0, 1])
        """
    )
    began = time.monotonic()
    result = project.run("-x", "-j2", env=mark)
    assert result.exit_code == 1
    assert time.monotonic() - began < 25, "the other item takes 30 seconds"
    assert "work[i=1]" in result.stderr


def test_similar_failures_are_grouped_and_every_item_is_listed(project: Project) -> None:
    project.write(
        """
        from jpipe import map, pipeline, step

        @step
        def work(i):
            if i % 2:
                raise ValueError(f"{i} is odd")
            return i

        @pipeline
        def main():
            return map(work, range(8))
        """
    )
    result = project.run("-k", "-v", "-j2")
    assert sorted(failed_items(result)) == [("work", 1), ("work", 3), ("work", 5), ("work", 7)]
    assert result.end["ran"] == 4
    assert "… and 3 more like it (items" in result.stderr
    assert result.stderr.count("is odd") < 12


def test_retries_are_made_after_a_pause_and_counted(project: Project) -> None:
    project.write(
        """
        import os, time
        from jpipe import map, pipeline, step

        @step(retries=2)
        def work(i):
            tried = len([name for name in os.listdir("/tmp") if name.startswith(f"TRIES-{i}-")])
            os.close(os.open(f"/tmp/TRIES-{i}-{tried}-{time.time()}", os.O_CREAT | os.O_WRONLY))
            if i == 1 and tried < 2 or i == 2:
                raise OSError(f"try {tried}")
            return i

        @pipeline
        def main():
            return map(work, range(4))
        """.replace("TRIES", f"jpipe-{uuid.uuid4().hex}").replace("/tmp", str(project.root.parent))
    )
    result = project.run("-k", "-v", "-j2")
    assert failed_items(result) == [("work", 2)]
    assert result.ran == {"work": 3}
    assert "tried 3 times" in result.stderr
    assert "OSError: try 2" in result.stderr
    tries = sorted(
        (name.split("-")[2:] for name in os.listdir(project.root.parent) if name.startswith("jpipe-")),
        key=lambda t: t[2],
    )
    times = [float(when) for item, _, when in tries if item == "2"]
    assert [item for item, _, _ in tries].count("1") == 3
    assert len(times) == 3
    assert times[1] - times[0] >= 0.1
    assert times[2] - times[1] >= 0.2


def test_a_killed_item_with_retries_is_tried_again(project: Project, mark: dict[str, str]) -> None:
    write(project, "open('mended', 'w').close(); os._exit(1)", "(retries=1)")
    result = project.run("-j2", env=mark)
    assert (result.exit_code, result.end["ran"]) == (0, 7), result.stderr


def test_a_worker_killed_by_somebody_else_costs_nothing(project: Project, mark: dict[str, str]) -> None:
    write(project, "pass", seconds=0.3)
    running = project.start("run", "-j2", "--json", "-v", "--set", "n=10", env=mark)
    workers = wait_for_workers(running.pid, 2)
    time.sleep(0.5)
    os.kill(workers[0], signal.SIGKILL)
    stdout, stderr = running.communicate(timeout=60)
    assert running.returncode == 0, stderr
    assert '"outcome":"ran","ran":11,"cached":0,"failed":0' in stdout


def wait_for_workers(parent: int, count: int) -> list[int]:
    """The process numbers of the workers of a run, once there are as many as `count`."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        begun = children(parent)
        # Those of one pool are started by the run, those of the other by a process that it starts.
        found = [pid for pid in begun if b"LokyProcess" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        found += [
            worker
            for pid in begun
            if b"fork_server" in Path(f"/proc/{pid}/cmdline").read_bytes()
            for worker in children(pid)
        ]
        if len(found) >= count:
            return found
        time.sleep(0.02)
    raise AssertionError("no workers were started")


def children(parent: int) -> list[int]:
    tasks = Path(f"/proc/{parent}/task")
    return [int(pid) for task in tasks.iterdir() for pid in (task / "children").read_text().split()]


SLOW = """
    import os, time
    from jpipe import map, pipeline, step

    @step
    def work(i: int) -> int:
        time.sleep(0.15)
        with open(os.path.join(os.environ["DONE_FOLDER"], str(i)), "w"):
            return i

    @step
    def total(xs: list[int]) -> int:
        return sum(xs)

    @pipeline
    def main(n: int = 30):
        return total(map(work, range(n)))
"""


@pytest.mark.parametrize(
    ("number", "to_group", "jobs"),
    [
        (signal.SIGINT, True, 2),
        (signal.SIGINT, False, 2),
        (signal.SIGINT, True, 1),
        (signal.SIGTERM, False, 2),
        (signal.SIGHUP, False, 2),
    ],
)
def test_a_signal_stops_the_run_and_keeps_what_finished(
    project: Project, mark: dict[str, str], tmp_path: Path, number: int, to_group: bool, jobs: int
) -> None:
    project.write(SLOW)
    done = tmp_path / "done"
    done.mkdir()
    env = {**mark, "DONE_FOLDER": str(done)}
    running = project.start("run", f"-j{jobs}", "--json", env=env, start_new_session=True)
    wait_until(lambda: len(list(done.iterdir())) >= 3)
    time.sleep(random.uniform(0, 0.3))
    began = time.monotonic()
    (os.killpg if to_group else os.kill)(running.pid, number)
    stdout, stderr = running.communicate(timeout=30)
    took = time.monotonic() - began
    assert running.returncode == 130, stderr
    assert took < 3.5, f"{took:.1f}s"
    assert "Traceback" not in stderr
    assert "interrupted after" in stderr
    assert '"outcome":"interrupted"' in stdout
    finished = len(list(done.iterdir()))
    assert finished < 30
    assert gone(mark)
    last = project.run("-j2", env=env)
    assert last.exit_code == 0
    assert last.steps["work"]["cached"] >= finished - jobs, "what finished is kept"
    assert last.steps["work"]["cached"] + last.steps["work"]["ran"] == 30


def wait_until(condition: Any, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def test_a_second_ctrl_c_ends_the_run_at_once(project: Project, mark: dict[str, str]) -> None:
    write(project, "pass", seconds=60)
    running = project.start("run", "-j2", env=mark, start_new_session=True)
    wait_for_workers(running.pid, 2)
    time.sleep(0.5)
    os.killpg(running.pid, signal.SIGINT)
    time.sleep(0.2)
    began = time.monotonic()
    os.killpg(running.pid, signal.SIGINT)
    _, stderr = running.communicate(timeout=30)
    assert running.returncode == 130
    assert time.monotonic() - began < 1.4
    assert "Traceback" not in stderr


@pytest.mark.nightly
@pytest.mark.parametrize("moment", [i / 25 for i in range(50)])
def test_ctrl_c_at_any_moment(project: Project, mark: dict[str, str], tmp_path: Path, moment: float) -> None:
    interrupt_at(project, mark, tmp_path, moment)


@pytest.mark.parametrize("attempt", range(3))
def test_ctrl_c_at_a_random_moment(project: Project, mark: dict[str, str], tmp_path: Path, attempt: int) -> None:
    interrupt_at(project, mark, tmp_path, random.uniform(0.1, 2.0))


def interrupt_at(project: Project, mark: dict[str, str], tmp_path: Path, moment: float) -> None:
    project.write(SLOW)
    env = {**mark, "DONE_FOLDER": str(tmp_path)}
    running = project.start("run", "-j2", "--json", "--set", "n=8", env=env, start_new_session=True)
    time.sleep(moment)
    os.killpg(running.pid, signal.SIGINT)
    _, stderr = running.communicate(timeout=30)
    if moment > 0.5:
        assert running.returncode in (0, 130), stderr
        assert "Traceback" not in stderr
    assert gone(mark)
    last = project.run("-j2", "--set", "n=8", env=env)
    assert last.exit_code == 0, last.stderr
    assert last.counts[0] + last.counts[1] == 9


def test_a_killed_main_process_takes_its_workers_with_it(project: Project, mark: dict[str, str]) -> None:
    project.write(SLOW)
    (project.root / "done").mkdir()
    running = project.start("run", "-j2", "--set", "n=300", env={**mark, "DONE_FOLDER": "done"})
    wait_until(lambda: len(list((project.root / "done").iterdir())) >= 4)
    running.kill()
    running.communicate(timeout=10)
    assert gone(mark)
    assert project.run("-j2", "--set", "n=4", env={**mark, "DONE_FOLDER": "done"}).exit_code == 0


def test_what_items_print_reaches_nobody_unasked_and_the_failed_item_s_is_shown(project: Project) -> None:
    write(
        project,
        "logging.warning('logged'); warnings.warn('warned'); print('x' * 3_000_000); "
        "os.write(2, b'native'); raise ValueError('at last')",
    )
    result = project.run("-k", "-v", "-j2")
    assert failed_items(result) == [("work", 3)]
    assert len(result.stderr) < 20_000
    assert len(result.stdout) < 20_000
    assert all(line.startswith("{") for line in result.stdout.splitlines()), "stdout is for data"


def test_a_flood_of_output_and_bars_inside_items_tear_no_line(project: Project) -> None:
    project.write(
        """
        import os, subprocess, sys
        from tqdm import tqdm
        from jpipe import map, pipeline, step

        @step
        def work(i):
            for _ in tqdm(range(200), mininterval=0):
                print("flood", i, flush=True)
            os.system("echo from a shell; echo from a shell >&2")
            return i

        @pipeline
        def main():
            return map(work, range(4))
        """
    )
    result = project.run("-j2")
    assert result.exit_code == 0
    assert "flood" not in result.stderr + result.stdout
    assert "from a shell" not in result.stderr + result.stdout
    assert "it/s" not in result.stderr


def test_warnings_raised_as_errors_fail_their_item_only(project: Project) -> None:
    write(project, "warnings.simplefilter('error'); warnings.warn('careful')")
    result = project.run("-k", "-v", "-j2")
    assert failed_items(result) == [("work", 3)]
    assert "UserWarning: careful" in result.stderr


def test_a_step_may_fork_and_start_programs(project: Project, mark: dict[str, str]) -> None:
    project.write(
        """
        import multiprocessing, os, subprocess, sys
        from jpipe import map, pipeline, step

        def double(x):
            return 2 * x

        @step
        def forks(i):
            child = os.fork()
            if not child:
                os._exit(i)
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

        @step
        def pools(i):
            with multiprocessing.get_context("fork").Pool(2) as pool:
                return sum(pool.map(double, range(i)))

        @step
        def runs(i):
            return subprocess.run([sys.executable, "-c", f"print({i})"], capture_output=True, text=True).stdout

        @pipeline
        def main():
            return map(forks, range(4)), map(pools, range(4)), map(runs, range(2))
        """
    )
    result = project.run("-j2", env=mark)
    assert (result.exit_code, result.end["ran"]) == (0, 10), result.stderr


def test_what_needs_a_failed_step_is_blocked_and_independent_branches_go_on(project: Project) -> None:
    project.write(
        """
        from jpipe import map, pipeline, step

        @step
        def bad():
            raise ValueError("no good")

        @step
        def after(x):
            return x

        @step
        def last(x, ys):
            return x

        @step
        def good(i):
            return i

        @pipeline
        def main():
            goods = map(good, range(3))
            return last(after(bad()), goods), goods
        """
    )
    result = project.run("-k", "-j2")
    assert result.exit_code == 1
    outcomes = {name: end["outcome"] for name, end in result.steps.items()}
    assert outcomes == {"good": "ran", "bad": "failed", "after": "blocked", "last": "blocked"}
    assert "after and last not started" in result.stderr or "after, last not started" in result.stderr


ODD = """
    import os
    from jpipe import map, pipeline, step

    class Odd:
        def __init__(self, number):
            self.number = number
        def __setstate__(self, state):
            if state["number"] == 2 and os.path.exists("broken"):
                raise RuntimeError("cannot be unpickled")
            self.__dict__.update(state)

    @step
    def make(i):
        return Odd(i)

    @step
    def use(odd):
        return odd.number

    @pipeline
    def main():
        return map(use, map(make, range(4)))
"""


def test_a_broken_argument_fails_the_item_that_takes_it(project: Project) -> None:
    project.write(ODD)
    assert project.run("-j2").counts == (8, 0)
    (project.root / "broken").touch()
    project.edit("pipeline.py", "return odd.number", "return odd.number + 1")
    for _ in range(2):
        result = project.run("-k", "-v", "-j2")
        assert result.exit_code == 1, result.stderr
        assert failed_items(result) == [("use", 2)]
        assert "cannot be unpickled" in result.stderr
    (project.root / "broken").unlink()
    assert project.run("-j2").ran == {"use": 1}


def test_a_result_that_is_broken_at_once_is_kept_for_the_run_only(project: Project) -> None:
    project.write(ODD)
    (project.root / "broken").touch()
    result = project.run("-k", "-v", "-j2")
    assert (result.exit_code, result.counts) == (0, (8, 0)), result.stderr
    assert sorted((end["step"], end["item"], end["outcome"]) for end in result.of("item_end")) == [
        (step, item, "ran") for step in ("make", "use") for item in range(4)
    ]
    assert "make() returned what cannot be stored" in result.stderr and "cannot be unpickled" in result.stderr


@pytest.mark.parametrize("backend", ["multiprocessing", "threading"])
def test_other_backends_do_not_hang_either(project: Project, mark: dict[str, str], backend: str) -> None:
    bad = "os.kill(os.getpid(), signal.SIGKILL)" if backend == "multiprocessing" else "time.sleep(120)"
    write(project, bad, "(timeout=0.5)" if backend == "threading" else "")
    began = time.monotonic()
    result = project.run("-k", "-v", "-j2", "--backend", backend, env=mark)
    assert time.monotonic() - began < 30
    assert result.exit_code == 1, result.stderr
    assert failed_items(result) == [("work", 3)]
    assert result.end["ran"] == 5


def test_an_item_that_failed_can_be_run_again_alone(project: Project) -> None:
    write(project, "raise ValueError('no good')")
    assert project.run("-k", "-j2").exit_code == 1
    (project.root / "mended").touch()
    assert project.run("work", "--item", "3").ran == {"work": 1}
    assert project.run().ran == {"total": 1}


def test_only_what_failed_can_be_run_again(project: Project) -> None:
    write(project, "raise ValueError('no good')")
    assert project.run("-j2", "-k").exit_code == 1
    (project.root / "mended").touch()
    assert project.run("--failed").ran == {"work": 1}
    nothing = project.run("--failed")
    assert nothing.exit_code == 5
    assert "nothing failed in the last run" in nothing.stderr


def test_an_item_that_does_not_exist_is_an_error(project: Project) -> None:
    write(project, "pass")
    result = project.run("work", "--item", "77")
    assert result.exit_code == 5, result.stderr
    assert "work has 6 items, from 0 to 5" in result.stderr


def test_memory_holds_other_items_back(project: Project, tmp_path: Path) -> None:
    project.write(
        """
        import os, time
        from jpipe import map, pipeline, step

        MACHINE = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")

        @step(memory=int(MACHINE * 0.6))
        def heavy(i):
            began = time.time()
            time.sleep(0.2)
            return began, time.time()

        @pipeline
        def main():
            return map(heavy, range(4))

        if __name__ == "__main__":
            spans = sorted(main.run())
            print(all(a[1] <= b[0] for a, b in zip(spans, spans[1:])))
        """
    )
    assert project.python("pipeline.py").stdout.strip() == "True"


def test_ctrl_c_in_python_raises_and_can_be_followed_by_another_run(project: Project, mark: dict[str, str]) -> None:
    project.write(
        """
        import os, signal, threading, time
        from jpipe import errors, map, pipeline, step

        @step
        def work(i):
            time.sleep(0.1)
            return i

        @pipeline
        def main(n: int = 40):
            return map(work, range(n))

        if __name__ == "__main__":
            threading.Timer(1.5, os.kill, (os.getpid(), signal.SIGINT)).start()
            try:
                main.run()
            except (errors.RunInterrupted, KeyboardInterrupt) as error:
                print(type(error).__name__)
            assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
            print(main.run(4))
        """
    )
    result = project.python("pipeline.py", env=mark)
    assert result.stdout.splitlines() == ["RunInterrupted", "[0, 1, 2, 3]"], result.stderr


def test_the_item_named_is_the_item_that_failed(project: Project, mark: dict[str, str]) -> None:
    chosen = sorted(random.sample(range(40), 3))
    ways = ["os._exit(1)", "raise ValueError(i)", "os.kill(os.getpid(), 9)"]
    branches = "\n".join(f"            if i == {i}: {way}" for i, way in zip(chosen, ways, strict=True))
    project.write(
        f"""
        import os, time
        from jpipe import map, pipeline, step

        @step
        def work(i):
            time.sleep(0.01)
{branches}
            return i

        @pipeline
        def main():
            return map(work, range(40))
        """
    )
    result = project.run("-k", "-v", "-j2", env=mark)
    assert sorted(failed_items(result)) == [("work", i) for i in chosen]
    assert result.end["ran"] == 37
    others = "|".join(f"{i}]" for i in chosen)
    assert not re.search(rf"(?<!✗ )work\[i=(?!{others})", result.stderr)


def test_nobody_reads_the_output_any_more(project: Project, mark: dict[str, str]) -> None:
    write(project, "pass")
    command = [sys.executable, "-m", "jpipe", "run", "--json", "-v", "-j2"]
    running = subprocess.Popen(
        command, cwd=project.root, env={**os.environ, **mark}, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert running.stdout is not None
    assert running.stderr is not None
    running.stdout.close()
    running.stderr.close()
    running.wait(timeout=60)
    assert project.run("-j2").counts == (0, 7)
