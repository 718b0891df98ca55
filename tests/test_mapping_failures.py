"""Maps whose items fail, whose workers are killed, or that are interrupted: what the caller learns, what is left."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import jpipe
from jpipe.errors import StepError, WorkerLostError
from jpipe.parallel.map import parallel_map

pytestmark = pytest.mark.usefixtures("own_workers")

BACKENDS = ["loky", "multiprocessing", "threading"]
PROCESSES = ["loky", "multiprocessing"]

every_backend = pytest.mark.parametrize("backend", BACKENDS)
every_process_backend = pytest.mark.parametrize("backend", PROCESSES)


def listed(function, *iterables, constants=None, **options):
    return list(parallel_map(function, iterables, constants, **{"n_jobs": 2, "whole": True, **options}))


def same(value):
    return value


def run_script(tmp_path, text, **options):
    """Start a Python script in a session of its own, as a terminal does."""
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(text))
    root = str(Path(jpipe.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": root, "JOBLIB_TEMP_FOLDER": str(tmp_path / "spill")}
    return subprocess.Popen(
        [sys.executable, "-u", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
        cwd=tmp_path,
        **options,
    )


def processes_of_session(session):
    """The live processes of a session, by their command lines."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(fields[3]) == session and fields[0] != "Z":
                    found.append((entry / "cmdline").read_text().replace("\0", " "))
            except OSError:
                continue
    return found


# ---- exceptions


class Unfit(Exception):
    """An exception of the user's own, with more than a message."""

    def __init__(self, reason, number):
        super().__init__(reason, number)
        self.number = number


def picky(number):
    if number in (30, 31, 90):
        raise Unfit("too round", number)
    return number


@every_backend
@pytest.mark.parametrize("options", [{}, {"whole": False}, {"ordered": False}], ids=["whole", "lazy", "unordered"])
def test_the_first_failing_items_own_exception_reaches_the_caller(backend, options):
    with pytest.raises(Unfit) as caught:
        listed(picky, range(100), backend=backend, **options)
    assert caught.value.number == 30
    assert caught.value.args == ("too round", 30)
    assert "in item 30: picky(30)" in caught.value.__notes__
    if backend != "threading":
        assert 'raise Unfit("too round", number)' in str(caught.value.__cause__)
        assert "jpipe" not in str(caught.value.__cause__).replace(__file__, "")
    assert listed(same, range(10), backend=backend) == list(range(10))


def test_one_job_names_the_item_too():
    with pytest.raises(Unfit) as caught:
        listed(picky, range(100), n_jobs=1)
    assert "in item 30: picky(30)" in caught.value.__notes__


@every_process_backend
def test_an_exception_that_does_not_pickle_arrives_readable(backend):
    class Locked(Exception):
        def __init__(self, first, second):
            super().__init__(f"{first} and {second}")
            self.lock = threading.Lock()

    def fail(number):
        raise Locked("this", number)

    with pytest.raises(StepError, match=r"item 0 failed: .*Locked: this and 0") as caught:
        listed(fail, range(3), backend=backend)
    assert 'raise Locked("this", number)' in str(caught.value.__cause__)
    assert listed(same, range(10), backend=backend) == list(range(10))


@every_process_backend
def test_results_and_arguments_that_do_not_pickle_name_their_item(backend):
    def lock_at_five(number):
        return threading.Lock() if number == 5 else number

    with pytest.raises(TypeError, match="cannot pickle") as caught:
        listed(lock_at_five, range(10), backend=backend)
    assert any("in item 5" in note for note in caught.value.__notes__)
    results = parallel_map(lock_at_five, [range(10)], n_jobs=2, backend=backend)
    assert list(itertools.islice(results, 5)) == [0, 1, 2, 3, 4]
    with pytest.raises(TypeError, match="cannot pickle"):
        next(results)

    arguments = [1, 2, threading.Lock(), 4]
    with pytest.raises(TypeError, match="cannot pickle") as caught:
        listed(same, arguments, backend=backend, batch_size=4)
    assert any("in item 2" in note for note in caught.value.__notes__)
    with pytest.raises(TypeError, match="cannot pickle") as caught:
        listed(lambda number: arguments[number], range(3), backend=backend)
    assert any('backend="threading"' in note for note in caught.value.__notes__)


@every_backend
def test_what_a_generator_raises_comes_after_the_results_before_it(backend):
    def numbers():
        yield from range(5)
        raise ConnectionError("no more numbers")

    taken = []
    with pytest.raises(ConnectionError, match="no more numbers"):
        taken.extend(parallel_map(same, [numbers()], n_jobs=2, backend=backend))
    assert taken == [0, 1, 2, 3, 4]


def test_a_failure_does_not_wait_for_long_items_before_it():
    def slow_first(number):
        if number == 0:
            time.sleep(60)
        raise KeyError(number)

    begin = time.monotonic()
    with pytest.raises(KeyError, match="1"):
        listed(slow_first, range(2))
    assert time.monotonic() - begin < 20


# ---- killed workers


@every_process_backend
def test_a_killed_worker_names_its_item_and_later_maps_work(backend):
    def fatal(number):
        time.sleep(0.02)
        if number == 7:
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    with pytest.raises(WorkerLostError, match="worker process of item 7 was killed"):
        listed(fatal, range(30), backend=backend)
    assert listed(same, range(10), backend=backend) == list(range(10))

    taken = []
    with pytest.raises(WorkerLostError):
        taken.extend(parallel_map(fatal, [range(30)], n_jobs=2, backend=backend))
    assert taken == list(range(len(taken)))


def test_a_worker_that_leaves_by_itself_is_lost_too():
    def leave(number):
        os._exit(3)

    with pytest.raises(WorkerLostError, match="item"):
        listed(leave, range(4))


FORKED = """
    import os, signal, sys, threading, time
    {load}
    from jpipe.errors import WorkerLostError
    from jpipe.parallel import p_map, p_imap

    def fatal(number):
        time.sleep(0.02)
        if number == 7:
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    def picky(number):
        if number == 3:
            raise LookupError(number)
        return os.getppid()

    lock = threading.Lock()
    try:
        p_map(fatal, range(30), num_cpus=2, disable=True)
    except WorkerLostError as error:
        print(error.message)
    try:
        p_map(picky, range(30), num_cpus=2, disable=True)
    except LookupError as error:
        print(repr(error), error.__notes__)
    print(set(p_map(lambda _: os.getppid(), range(30), num_cpus=2, disable=True)) == {{os.getpid()}})
    print(p_map(lambda n: lock.locked() or n, range(3), num_cpus=2, disable=True))
    print(p_map(lambda n: set(p_map(lambda _: os.getpid(), [1, 2])) == {{os.getpid()}}, range(2), num_cpus=2))
    print([next(results := p_imap(lambda n: time.sleep(n), [0, 60, 60], num_cpus=2, disable=True)), results.close()])
    print("joblib.parallel" in sys.modules, threading.active_count(), os.listdir(os.environ["JOBLIB_TEMP_FOLDER"]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux only")
@pytest.mark.parametrize("load", ["pass", "import joblib, numpy; numpy.ones((200, 200)) @ numpy.ones((200, 200))"])
def test_forked_workers_keep_the_same_promises(tmp_path, load):
    with run_script(tmp_path, FORKED.format(load=load)) as process:
        out, err = process.communicate(timeout=60)
    assert "Traceback" not in err, err
    assert out.splitlines() == [
        "the worker process of item 7 was killed before it finished",
        "LookupError(3) ['in item 3: picky(3)']",
        "True",
        "[0, 1, 2]",
        "[True, True]",
        "[None, None]",
        f"{'joblib' in load} 1 []",
    ]
    assert processes_of_session(process.pid) == []


CONFIGURED = """
    import os, time
    import joblib, numpy, threadpoolctl
    from jpipe.parallel import p_map

    numpy.ones((300, 300)) @ numpy.ones((300, 300))
    table = numpy.ones(10**6)

    def parent_and_threads(_):
        time.sleep(0.02)
        nested = set(joblib.Parallel(n_jobs=2)(joblib.delayed(os.getpid)() for _ in range(4)))
        assert nested == {os.getpid()}
        return os.getppid(), type(table).__name__, *(pool["num_threads"] for pool in threadpoolctl.threadpool_info())

    found = set(p_map(parent_and_threads, range(8), num_cpus=os.cpu_count(), disable=True))
    print(found == {(os.getpid(), "ndarray", 1)})
    with joblib.parallel_config("threading", n_jobs=2):
        print(set(p_map(lambda _: os.getpid(), range(8), disable=True)) == {os.getpid()})
"""


@pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux only")
def test_forked_workers_compute_on_their_share_of_cores_unless_joblib_was_configured(tmp_path):
    with run_script(tmp_path, CONFIGURED) as process:
        out, err = process.communicate(timeout=60)
    assert out.splitlines() == ["True", "True"], err


# ---- interruption


INTERRUPTED = """
    import os, sys, time
    {load}
    from jpipe.parallel import p_map

    def slow(number, table=None):
        os.write(1, b"begun\\n")
        time.sleep(100)

    try:
        p_map(slow, range(10), num_cpus=2, disable=True)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    print(sum(p_map(abs, range(-5, 0), num_cpus=2, disable=True)), flush=True)
"""


@pytest.mark.skipif(os.name == "nt", reason="no process groups")
@pytest.mark.parametrize("load", ["import joblib; joblib.parallel_config('loky')", "pass"], ids=["loky", "forked"])
def test_ctrl_c_stops_at_once_and_leaves_nobody_behind(tmp_path, load):
    with run_script(tmp_path, INTERRUPTED.format(load=load)) as process:
        assert process.stdout.readline() == "begun\n"
        assert process.stdout.readline() == "begun\n"
        os.killpg(process.pid, signal.SIGINT)
        begin = time.monotonic()
        assert process.stdout.readline() == "interrupted\n"
        assert time.monotonic() - begin < 2
        assert process.stdout.readline() == "15\n"
        process.communicate(timeout=60)
    assert process.returncode == 0
    deadline = time.monotonic() + 10
    while processes_of_session(process.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert processes_of_session(process.pid) == []
    assert list((tmp_path / "spill").rglob("*")) == []


@pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux only")
def test_forked_workers_end_with_a_parent_that_was_killed(tmp_path):
    with run_script(tmp_path, INTERRUPTED.format(load="pass")) as process:
        assert process.stdout.readline() == "begun\n"
        process.kill()
        process.wait()
        deadline = time.monotonic() + 10
        while processes_of_session(process.pid) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert processes_of_session(process.pid) == []


# ---- files


@every_process_backend
def test_no_file_is_left_after_any_end(backend, tmp_path):
    spill = tmp_path / "spill"
    table = np.zeros(300_000)
    options = {"backend": backend, "temp_folder": str(spill)}

    def look(number, table, fatal=-1):
        assert table.size == 300_000
        if number == fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        if number == 50:
            raise ValueError(number)
        return np.full(300_000, number)

    assert len(listed(look, range(10), constants={"table": table}, **options)) == 10
    assert list(spill.iterdir()) == []
    with pytest.raises(ValueError, match="50"):
        listed(look, range(45, 60), constants={"table": table}, **options)
    assert list(spill.iterdir()) == []
    with pytest.raises(WorkerLostError):
        listed(look, range(10), constants={"table": table, "fatal": 4}, **options)
    assert list(spill.iterdir()) == []
    results = parallel_map(look, [range(40)], {"table": table}, n_jobs=2, **options)
    next(results)
    results.close()
    assert list(spill.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="no flock")
def test_files_of_a_killed_process_are_removed_by_the_next_map(tmp_path):
    spill = tmp_path / "spill"
    script = """
        import joblib, numpy as np, sys, time
        from jpipe.parallel.map import parallel_map
        results = parallel_map(lambda n, table: n, [range(10**9)], {"table": np.zeros(10**6)}, n_jobs=2)
        print(next(results), flush=True)
        time.sleep(100)
    """
    with run_script(tmp_path, script) as process:
        assert process.stdout.readline() == "0\n"
        (left,) = spill.iterdir()
        listed(same, range(3), temp_folder=str(spill))
        assert list(spill.iterdir()) == [left], "a folder in use was removed"
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    deadline = time.monotonic() + 10
    while processes_of_session(process.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    listed(same, range(3), temp_folder=str(spill))
    assert list(spill.iterdir()) == []
