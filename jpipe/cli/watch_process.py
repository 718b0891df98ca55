"""A process that waits for a save: it has imported the packages, and runs once with the user's code of then.

``jpipe watch`` starts one ahead of each run, so that between an edit and its result there is only the step's own time.
Nothing of the user's runs before the word is given: their modules are imported as they stand at that moment, and a
process runs only once. After the word, lines on its stdin hand its run over to the next one.
"""

from __future__ import annotations

import contextlib
import json
import os
import site
import sys
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

from jpipe.parallel.process_lifetime import die_with_parent
from jpipe.parallel.static_packages import packages_of

__all__ = ["ELSEWHERE", "READY", "command_for", "main"]

READY = '{"event": "ready"}'
"""What it says when it waits for the word."""
ELSEWHERE = "elsewhere"
"""The event with which it tells, once its run is planned, what of it other runs are at."""
_OWN = ("jpipe.api", "jpipe.cli.run", "jpipe.render.progress", "jpipe.render.jsonlines", "jpipe.define.loader")


def command_for(file: Path, jobs: int) -> list[str]:
    """The command line of a process that waits to run a pipeline file."""
    asked = json.dumps({"file": str(file.resolve()), "jobs": jobs, "parent": os.getpid(), "path": sys.path})
    code = "import sys, json; asked = json.loads(sys.argv[1]); sys.path[:] = asked.pop('path'); "
    # -B: of two saves within a second Python would take the bytecode of the first for that of the second.
    return [sys.executable, "-B", "-c", f"{code}from jpipe.cli.watch_process import main; main(**asked)", asked]


def main(file: str, jobs: int, parent: int) -> None:
    """Import, say so, wait for a line of JSON on stdin with the arguments of ``jpipe run``, and run.

    A watcher that is gone closes stdin, and then nothing runs.
    """
    if os.name != "nt":
        die_with_parent(parent)
    installed = _installed()
    _prepare(file, jobs)
    print(READY, flush=True)
    line = sys.stdin.readline()
    if not line:
        return
    if _installed() != installed:
        # A package was installed meanwhile: what is in memory may be another version than its files say.
        os.execv(sys.executable, [sys.executable, "-B", "-m", "jpipe", "run", *json.loads(line)])
    _listen()
    sys.argv[:] = ["jpipe", "run", *json.loads(line)]
    sys.path.insert(0, "")
    from jpipe.cli.command_line import main as command

    command(["run", *json.loads(line)])


def _listen() -> None:
    """Hear the watcher during the run, and tell it which items other runs are at; steps get an empty stdin."""
    from jpipe.schedule.handover import handover

    told = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")

    def hear() -> None:
        with os.fdopen(told, encoding="utf-8") as lines:
            for line in lines:
                wanted = json.loads(line)
                handover.ask(None if wanted is None else map(bytes.fromhex, wanted))

    def tell(keys: Iterable[bytes]) -> None:
        print(json.dumps({"event": ELSEWHERE, "keys": [key.hex() for key in keys]}), file=out, flush=True)

    handover.tell = tell
    threading.Thread(target=hear, name="jpipe-watch", daemon=True).start()


def _prepare(file: str, jobs: int) -> None:
    """Import what the pipeline's files import at their top that is installed, and have workers' imports begin too."""
    from jpipe.parallel import preload
    from jpipe.worker.preloaded_modules import WORKER_MODULES

    if jobs > 1 and preload.is_possible():
        preload.start([file], WORKER_MODULES, preload.thread_limits(jobs))
    for module in _OWN:
        __import__(module)
    with open(os.devnull, "w", encoding="utf-8") as nowhere, contextlib.redirect_stdout(nowhere):
        for module, names in packages_of([file], [os.path.dirname(file), *sys.path]):
            with contextlib.suppress(BaseException):  # whoever needs it says so
                __import__(module, {}, {}, list(names), 0)


def _installed() -> Sequence[float]:
    """Something that changes when a package is installed, upgraded or removed."""
    times = []
    for folder in (*site.getsitepackages(), site.getusersitepackages()):
        with contextlib.suppress(OSError):
            times.append(os.stat(folder).st_mtime)
    return times
