"""Run a pipeline whenever one of its files is saved: one run at a time, the last save counts, one line for each."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import IO, Any

from jpipe.cli.watch_process import ELSEWHERE, READY, command_for
from jpipe.errors import ExitCode
from jpipe.render.humanize import counted, listed, took
from jpipe.render.styled_text import Line, bad, dim, good, line, name, warn
from jpipe.render.terminal import Paper

__all__ = ["Watcher", "wants_run"]

_PATIENCE = 5.0
"""Seconds that a run may take to end when it is stopped."""
_CODE = (".py", ".toml", ".ipynb")


def wants_run(path: str, ran_until: float) -> bool:
    """Whether a file that changed calls for a run: code always, other files unless the run itself wrote them."""
    if path.endswith(_CODE):
        return True
    try:
        return os.stat(path).st_mtime > ran_until
    except OSError:
        return True


class _Child:
    """A process that waits to run, then runs.

    Parameters
    ----------
    file, jobs
        What it is to be ready for.
    """

    def __init__(self, file: Path, jobs: int) -> None:
        self.lines: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self.said = ""
        self._asked: float | None = None
        self.is_ready = threading.Event()
        # A group of its own, so that Ctrl-C in the terminal reaches the watcher alone, which then ends it.
        group: dict[str, Any] = {"start_new_session": True}
        if os.name == "nt":
            group = {"creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)}
        self.process = subprocess.Popen(
            command_for(file, jobs),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            **group,
        )
        self._readers = [
            threading.Thread(target=self._read_events, args=(self.process.stdout,), daemon=True),
            threading.Thread(target=self._read_text, args=(self.process.stderr,), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def run(self, arguments: Sequence[str]) -> None:
        """Give the word."""
        self._say(list(arguments))

    def make_room(self, wanted: Sequence[str] | None) -> None:
        """Have it begin nothing new, and finish the items of these keys alone; None while they are not known."""
        self._say(wanted)

    def _say(self, what: Any) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(OSError, ValueError):
            self.process.stdin.write(json.dumps(what) + "\n")
            self.process.stdin.flush()

    def ended(self) -> int | None:
        """Its exit code, once everything that it said is read."""
        if self.process.poll() is None:
            return None
        for reader in self._readers:
            reader.join(_PATIENCE)
        return self.process.returncode

    def ask_to_end(self) -> None:
        """End it as Ctrl-C would, so that what finished is kept."""
        if self._asked is None and self.process.poll() is None:
            self._asked = time.monotonic()
            with contextlib.suppress(OSError):
                self.process.send_signal(getattr(signal, "CTRL_BREAK_EVENT", signal.SIGINT))

    def is_gone(self) -> bool:
        """Whether it is over; one that was asked to end and does not is ended by force."""
        is_late = self._asked is not None and time.monotonic() - self._asked > _PATIENCE
        if self.process.poll() is None and not is_late:
            return False
        self.drop()
        return True

    def stop(self) -> None:
        """Ask it to end, and wait until it is over."""
        self.ask_to_end()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(_PATIENCE)
        self.drop()

    def drop(self) -> None:
        """End it at once."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.process.stdin is not None and not self.process.stdin.closed:
            with contextlib.suppress(OSError):
                self.process.stdin.close()

    def _read_events(self, stream: IO[str]) -> None:
        for text in stream:
            if text.strip() == READY:
                self.is_ready.set()
                continue
            with contextlib.suppress(ValueError):
                self.lines.put(json.loads(text))

    def _read_text(self, stream: IO[str]) -> None:
        for text in stream:
            self.said += text


class Watcher:
    """Runs a pipeline at the beginning and after each save.

    Parameters
    ----------
    file
        The pipeline file.
    arguments
        Those of ``jpipe run``.
    jobs
        How many workers it will have.
    paper
        Where lines go.
    now
        Seconds, for durations.
    """

    def __init__(
        self, file: Path, arguments: Sequence[str], jobs: int, paper: Paper, now: Callable[[], float] = time.monotonic
    ) -> None:
        color = ["--color", "always"] if paper.color else []
        self._arguments = [*arguments, "--json", "--progress", "off", *color]
        self._file = file
        self._jobs = jobs
        self._paper = paper
        self._now = now
        self._standby = _Child(file, jobs)
        self._is_due = False
        self._running: _Child | None = None
        self._leaving: list[_Child] = []
        """Those that were running when a file was saved: they end, or finish what the run after them needs."""
        self._begun = 0.0
        self._cause = ""
        self._steps: list[dict[str, Any]] = []
        self.ran_until = 0.0

    def saved(self, paths: Iterable[str]) -> None:
        """Files were saved: run with what stands there now; what is running may finish what still counts."""
        names = [os.path.basename(path) for path in paths]
        is_first = not names
        told = "" if is_first else f"{listed(sorted(set(names)), 3)} saved"
        if self._running is not None:
            self._drain()
            self._running.make_room(None)
            self._leaving.append(self._running)
            done = sum(step.get("ran", 0) for step in self._steps)
            kept = f", {counted(done, 'result')} kept" if done else ""
            self._say(line(name(self._cause), warn(f"stopped for the next save{kept}")))
            self._running = None
        self._cause, self._steps = f"{told}  " if told else "", []
        self._begun = self._now()
        self._is_due = True
        self.look()

    def look(self) -> None:
        """Begin a run that is due, as soon as a process is ready for it; tell of one that is over.

        A process that is not ready has read nothing of the user's yet, so more saves meanwhile cost nothing.
        """
        if self._is_due and (self._standby.is_ready.is_set() or self._standby.process.poll() is not None):
            self._is_due = False
            self._running, self._standby = self._standby, _Child(self._file, self._jobs)
            self._running.run(self._arguments)
        self._leaving = [child for child in self._leaving if not child.is_gone()]
        if self._running is None:
            return
        code = self._running.ended()
        self._drain()
        if code is None:
            return
        self._end_leaving()  # it is over, so it needs nothing of them
        seconds = self._now() - self._begun
        said, self._running = self._running.said, None
        self.ran_until = time.time()
        self._say(line(name(self._cause), *_outcome(self._steps, code), dim(f"  {took(seconds)}")))
        if code not in (ExitCode.OK, ExitCode.INTERRUPTED):
            self._paper.stream.write(said)
            self._paper.stream.flush()

    def close(self) -> None:
        """Leave no process behind."""
        self._end_leaving()
        for child in (*self._leaving, *([self._running] if self._running is not None else [])):
            child.stop()
        self._standby.drop()

    def _end_leaving(self) -> None:
        for child in self._leaving:
            child.ask_to_end()

    def _told_elsewhere(self, keys: Sequence[str]) -> None:
        """The run that is going on is planned, and needs these items that others are at."""
        if not keys:
            self._end_leaving()
        elif self._leaving:
            self._say(line(name(self._cause), dim(f"{counted(len(keys), 'item')} of the run before may go on")))
        for child in self._leaving:
            child.make_room(keys)

    def _drain(self) -> None:
        with contextlib.suppress(queue.Empty):
            while self._running is not None:
                event = self._running.lines.get_nowait()
                if event.get("event") == "step_end":
                    self._steps.append(event)
                elif event.get("event") == ELSEWHERE:
                    self._told_elsewhere(event["keys"])

    def _say(self, text: Line) -> None:
        self._paper.write(line(dim(f"{time.strftime('%H:%M:%S')}  "), text))


def _outcome(steps: Sequence[dict[str, Any]], code: int) -> list[Any]:
    """What became of a run: ``✓ score 9 ran, table same``."""
    failed = [f"{step['step']} {step['failed']} failed" for step in steps if step.get("failed")]
    ran = [f"{step['step']} {step['ran']} ran" for step in steps if step.get("ran")]
    if code == ExitCode.OK and not ran:
        return [dim("= up to date")]
    if code == ExitCode.OK:
        same = [step["step"] for step in steps if step.get("cut_off") and not step.get("ran")]
        return [good("✓ "), listed(ran, 6), dim(f", {listed(same, 3)} same" if same else "")]
    if failed:
        return [bad("✗ "), listed([*failed, *ran], 6)]
    return [bad("✗ "), "the pipeline does not load" if code == ExitCode.NOT_LOADED else f"exit code {code}"]
