"""Where the items of a plain map run: in forks of the process only where nothing that forks would share is reached."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is forked")

SCRIPT = """
    import json, os, sys, time, warnings
    import jpipe
    from jpipe.parallel import p_map
    {before}

    def work(i):
        time.sleep(0.02)
        {body}

    if __name__ == "__main__":
        {main}
        print(json.dumps(found))
"""


def run(folder: Path, body: str, before: str = "", main: str = "found = p_map(work, range(8), num_cpus=2)") -> Any:
    """What a script prints that maps `work` over eight numbers with two workers."""
    script = textwrap.dedent(SCRIPT).format(
        before=textwrap.dedent(before).strip(),
        body=textwrap.indent(textwrap.dedent(body), "    ").strip(),
        main=textwrap.indent(textwrap.dedent(main), "    ").strip(),
    )
    (folder / "script.py").write_text(script)
    ran = subprocess.run([sys.executable, "script.py"], cwd=folder, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout.splitlines()[-1])


WHERE = "found = [os.getpid(), p_map(work, range(8), num_cpus=2)]"
"""Which processes are the parents of those that run the items."""


def test_a_plain_function_runs_in_forks(tmp_path: Path) -> None:
    own, parents = run(tmp_path, "return os.getppid()", main=WHERE)
    assert set(parents) == {own}


REACHED = {
    "socket": ("import socket\nLINK = socket.socketpair()", "LINK"),
    "generator": ("def numbers():\n    yield from range(100)\nNEXT = numbers()", "NEXT"),
    "iterator in a list": ("NEXT = [map(abs, range(100))]", "NEXT"),
    "counter": ("import itertools\nNEXT = itertools.count()", "NEXT"),
    "numpy generator": ("import numpy as np\nRNG = np.random.default_rng()", "RNG"),
    "random generator": ("import random\nRNG = random.Random()", "RNG"),
    "connection": ("import sqlite3\nDB = sqlite3.connect('data.db')", "DB"),
    "open file": ("FILE = open('script.py')", "FILE"),
    "open file in an object": ("class Box:\n    pass\nBOX = Box()\nBOX.file = open('script.py')", "BOX.file"),
    "open file behind a helper": ("FILE = open('script.py')\ndef helper():\n    return FILE", "helper"),
    "thread": ("import threading\nthreading.Thread(target=time.sleep, args=(20,), daemon=True).start()", "None"),
    "pipe": ("import os\nEND, _ = os.pipe()\nPIPE = os.fdopen(END)", "PIPE"),
}


@pytest.mark.parametrize("kind", REACHED)
def test_what_forks_would_share_is_not_reached_by_forks(tmp_path: Path, kind: str) -> None:
    before, name = REACHED[kind]
    main = f"warnings.simplefilter('ignore')\n{WHERE}"
    own, parents = run(tmp_path, f"{name}; return os.getppid()", before, main)
    assert own not in parents, "an item ran in a fork of the script"


def test_lines_of_an_open_file_are_read_once_each(tmp_path: Path) -> None:
    (tmp_path / "data.txt").write_text("".join(f"{i}\n" for i in range(8)))
    main = "warnings.simplefilter('ignore')\nfound = p_map(work, range(8), num_cpus=2)"
    assert run(tmp_path, "return int(FILE.readline())", "FILE = open('data.txt', 'r+')", main) == [*range(8)]


@pytest.mark.parametrize(
    "draw",
    ["np.random.random()", "float(np.random.normal())", "__import__('random').random()"],
    ids=["numpy", "numpy normal", "python"],
)
def test_every_item_draws_numbers_of_its_own_and_a_second_map_others(tmp_path: Path, draw: str) -> None:
    main = "np.random.random()\nfound = [p_map(work, range(8), num_cpus=2) for _ in range(2)]"
    first, second = run(tmp_path, f"return {draw}", "import numpy as np", main)
    assert len({*first, *second}) == 16


def test_what_was_printed_before_is_not_printed_again_by_workers(tmp_path: Path) -> None:
    main = "print('once')\nfound = p_map(work, range(4), num_cpus=2)"
    assert run(tmp_path, "return i", main=main) == [0, 1, 2, 3]
    ran = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert ran.stdout.count("once") == 1


AROUND = {
    "daemonic process": """
        import multiprocessing
        with multiprocessing.get_context("fork").Pool(1) as pool:
            found = pool.apply(p_map, (work, range(8)), {"num_cpus": 2})
    """,
    "daemonic spawned process": """
        import multiprocessing
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            found = pool.apply(p_map, (work, range(8)), {"num_cpus": 2})
    """,
    "ignored SIGCHLD": """
        import signal
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        found = p_map(work, range(8), num_cpus=2)
    """,
    "start method spawn": """
        import multiprocessing
        multiprocessing.set_start_method("spawn")
        found = p_map(work, range(8), num_cpus=2)
    """,
    "no semaphores": """
        import _multiprocessing
        class Refused:
            SEM_VALUE_MAX = 1
            def __init__(self, *arguments, **options):
                raise OSError(30, "Read-only file system")
        _multiprocessing.SemLock = Refused
        found = p_map(work, range(8), num_cpus=2)
    """,
    "a thread": """
        import threading
        found = []
        thread = threading.Thread(target=lambda: found.extend(p_map(work, range(8), num_cpus=2)))
        thread.start()
        thread.join()
    """,
}


@pytest.mark.parametrize("around", AROUND)
def test_it_works_wherever_it_is_called(tmp_path: Path, around: str) -> None:
    assert run(tmp_path, "return i * i", main=AROUND[around]) == [i * i for i in range(8)]


def test_a_child_that_an_item_forks_is_no_second_worker(tmp_path: Path) -> None:
    body = """
        child = os.fork()
        if child == 0:
            open(f"child-{i}", "w").close()
            sys.exit(7) if i % 2 else None
            return i
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    """
    assert run(tmp_path, body) == [0, 7] * 4
    assert len(list(tmp_path.glob("child-*"))) == 8


@pytest.mark.parametrize("package", ["pandas", "polars"])
def test_the_length_of_a_table_is_not_the_number_of_its_columns(tmp_path: Path, package: str) -> None:
    pytest.importorskip(package)
    before = f"import {package}\nTABLE = {package}.DataFrame({{c: [1, 2] for c in 'abcde'}})"
    body = "return i if isinstance(i, str) else i.name"
    main = "found = [list(map(work, TABLE)), p_map(work, TABLE, num_cpus=2), jpipe.map(work, TABLE)]"
    plain, p_mapped, mapped = run(tmp_path, body, before, main)
    assert plain == p_mapped == mapped == [*"abcde"]


def test_no_more_workers_than_items(tmp_path: Path) -> None:
    main = "found = p_map(work, range(2), num_cpus=16)"
    assert len(set(run(tmp_path, "time.sleep(0.3); return os.getpid()", main=main))) == 2
