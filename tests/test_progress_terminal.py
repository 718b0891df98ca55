"""Bars in a real pseudo-terminal: what is on the screen after each frame, as a terminal shows it."""

from __future__ import annotations

import os
import re
import struct
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pty = pytest.importorskip("pty", reason="pseudo-terminals are a matter of Unix")
fcntl = pytest.importorskip("fcntl")
termios = pytest.importorskip("termios")

RUN = """
    import os, sys, time
    from jpipe.model.events import *
    from jpipe.model.outcomes import Outcome
    from jpipe.render.progress import Progress, mode_for
    from jpipe.render.terminal import Paper
    from jpipe.render.run_text import Wishes

    paper = Paper()
    show = Progress(paper, mode_for(sys.argv[1], paper))
    steps = {"load": 10, "score": 50, "check": 50}
    show(RunStarted("main", "r", 3, 110, 2, "cache", expected_seconds={"score": 0.04}, steps=steps))
    show(ItemsKnown("load", 10, 0))
    show(StepEnded("load", Outcome.CACHED, 10, 0, 10, 0, 0, 0.0))
    for step in ("score", "check"):
        show(ItemsKnown(step, 10, 40))
        show(StepStarted(step))
    for i in range(40):
        time.sleep(0.02)
        show(ChunkEnded("score", 1, 0, 1, 0.04))
        show(ChunkEnded("check", 1, 0, 2, 0.04))
        if i == 20:
            show(Notice("a notice in the middle of it", "which stays"))
    for step in ("score", "check"):
        show(StepEnded(step, Outcome.RAN, 50, 40, 10, 0, 0, 1.6))
    show(RunEnded(Outcome.RAN, 80, 30, 0, 0, 1.7))
"""


STOPS = """
    import time
    from jpipe import pipeline, step

    @step
    def nap(i: int) -> int:
        time.sleep(0.2)
        if i == 2:
            breakpoint()
        return i

    @pipeline
    def main(n: int = 4):
        return [nap(i) for i in range(n)]
"""


NOISY = """
    import os, sys, time, warnings
    from jpipe import pipeline, step
    from tqdm import tqdm

    @step
    def noisy(i: int) -> int:
        for _ in tqdm(range(3), desc="NOISE"):
            time.sleep(0.05)
            print("NOISE on stdout")
            print("NOISE on stderr", file=sys.stderr)
        warnings.warn("NOISE as a warning")
        os.system("printf NOISE; echo NOISE from a shell >&2")
        return i

    @step
    def total(values: list[int]) -> int:
        return sum(values)

    @pipeline
    def main(n: int = 6):
        return total([noisy(i) for i in range(n)])
"""


class Screen:
    """As much of a terminal as bars use: printing, line feeds, cursor up, erase below, and breaking of long lines."""

    def __init__(self, columns: int) -> None:
        self.columns = columns
        self.lines: list[str] = [""]
        self.row = self.column = 0
        self.broken = 0

    def feed(self, text: str) -> None:
        for token in re.findall(r"\x1b\[\d*[A-Za-z]|\x1b\[[\d;]*m|[^\x1b]", text):
            self._take(token)

    def _take(self, token: str) -> None:
        if token == "\r":
            self.column = 0
        elif token == "\n":
            self.row += 1
            while len(self.lines) <= self.row:
                self.lines.append("")
        elif token.endswith("A") and token[0] == "\x1b":
            self.row = max(0, self.row - int(token[2:-1] or 1))
        elif token == "\x1b[J":
            self.lines = [*self.lines[: self.row], self.lines[self.row][: self.column]]
        elif token[0] == "\x1b":
            assert token.endswith("m"), f"an escape code that bars should not need: {token!r}"
        else:
            self._put(token)

    def _put(self, character: str) -> None:
        if self.column >= self.columns:
            self.broken += 1
            self._take("\n")
            self.column = 0
        line = self.lines[self.row].ljust(self.column)
        self.lines[self.row] = line[: self.column] + character + line[self.column + 1 :]
        self.column += 1

    @property
    def shown(self) -> list[str]:
        return [line.rstrip() for line in self.lines]


def simulated(mode: str, columns: int, tmp_path: Path, **environment: str) -> Iterator[str]:
    """What `RUN` writes to its terminal, piece by piece."""
    (tmp_path / "run.py").write_text(textwrap.dedent(RUN), "utf-8")
    return frames(["run.py", mode], columns, tmp_path, **environment)


def frames(arguments: list[str], columns: int, folder: Path, **environment: str) -> Iterator[str]:
    """What a Python process in `folder` writes to its terminal, piece by piece."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    own = {**os.environ, "TERM": "xterm", **environment}
    command = [sys.executable, *arguments]
    with subprocess.Popen(command, cwd=folder, stdin=slave, stdout=slave, stderr=slave, env=own) as run:
        os.close(slave)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                data = os.read(master, 65536)
            except OSError:  # what Linux says when the last writer is gone
                break
            if not data:
                break
            yield data.decode("utf-8", "replace")
        assert run.wait(10) == 0
    os.close(master)


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_bars_stay_in_their_lines_and_leave_only_what_is_to_stay(columns: int, tmp_path: Path) -> None:
    screen = Screen(columns)
    seen: list[list[str]] = []
    for text in simulated("bars", columns, tmp_path):
        screen.feed(text)
        seen.append(screen.shown)
    assert not any("%|" in line for line in screen.shown)
    assert [line for line in screen.shown if "notice" in line or "stays" in line] != []
    assert any(line.startswith("main finished in 1.7s") for line in screen.shown)
    bars = [[line for line in shown if "%|" in line] for shown in seen]
    assert max(map(len, bars)) == 3, "one for each running step and one for the run"
    assert all(len(line) < columns for lines in bars for line in lines)
    assert screen.broken == 0, "lines are broken between words before the terminal does it anywhere"


def test_cached_items_fill_a_bar_but_do_not_count_for_its_rate(tmp_path: Path) -> None:
    text = "".join(simulated("bars", 100, tmp_path))
    shown = re.findall(r"score: +(\d+)%.*? (\d+)/50 \[(\d\d):(\d\d)<[\d:?]+, +([\d.]+) item/s", text)
    assert shown, "the bar of score was drawn"
    percent, done, *_, rate = shown[-1]
    assert int(percent) == int(done) * 100 // 50 or int(percent) == round(int(done) * 2)
    assert int(shown[0][1]) >= 10, "the ten cached ones are there from the start"
    assert 5 < float(rate) < 70, "about 40 items a second run; with the cached ones it would begin in the hundreds"


def test_workers_have_a_bar_each_with_the_number_of_their_items(tmp_path: Path) -> None:
    screen = Screen(100)
    last: dict[str, tuple[int, int]] = {}
    for text in simulated("workers", 100, tmp_path):
        screen.feed(text)
        for line in screen.shown:
            found = re.match(r" *(worker \d): +\d+%\|.*\| (\d+)/(\d+) \[", line)
            if found:
                last[found[1]] = int(found[2]), int(found[3])
    assert set(last) == {"worker 1", "worker 2"}
    assert all(30 <= count <= share <= 42 for count, share in last.values()), last


def test_a_real_run_whose_steps_print_and_draw_bars_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "pipeline.py").write_text(textwrap.dedent(NOISY), "utf-8")
    for jobs in ("1", "2"):
        screen = Screen(80)
        for text in frames(["-m", "jpipe", "run", "-j", jobs, "-f", "noisy"], 80, tmp_path):
            screen.feed(text)
        shown = "\n".join(screen.shown)
        assert "NOISE" not in shown and "%|" not in shown, shown
        assert re.search(r"^  ✓ noisy      6 ran ", shown, re.MULTILINE), shown
        assert re.search(r"^main finished in .* · [67] ran, [01] from cache", shown, re.MULTILINE), shown
        assert screen.broken == 0


def test_auto_is_bars_in_a_terminal_and_lines_in_one_that_cannot_draw(tmp_path: Path) -> None:
    assert "%|" in "".join(simulated("auto", 80, tmp_path))
    dumb = "".join(simulated("auto", 80, tmp_path, TERM="dumb"))
    assert "%|" not in dumb and "\x1b" not in dumb and "score: done, 40 ran, 10 cached" in dumb


def test_a_debugger_in_a_run_without_workers_has_the_screen_for_itself(tmp_path: Path) -> None:
    pexpect = pytest.importorskip("pexpect")
    (tmp_path / "pipeline.py").write_text(textwrap.dedent(STOPS), "utf-8")
    command = pexpect.spawn(
        sys.executable, ["-m", "jpipe", "run", "-j", "1"], cwd=str(tmp_path), timeout=60, encoding="utf-8", echo=False
    )
    command.expect(r"\(Pdb\) ")
    with pytest.raises(pexpect.TIMEOUT):
        command.expect("item/s", timeout=2)
    command.sendline("p 6 * i")
    command.expect("12")
    command.sendline("c")
    command.expect("finished in")
    command.expect(pexpect.EOF)
    command.close()
    assert command.exitstatus == 0


def test_auto_is_lines_on_github_even_in_a_terminal(tmp_path: Path) -> None:
    text = "".join(simulated("auto", 80, tmp_path, GITHUB_ACTIONS="true"))
    assert "%|" not in text
