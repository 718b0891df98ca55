"""What items print: logging of any make, colours, progress bars, and which of them warned or were retried."""

from __future__ import annotations

import importlib.util
import json
from typing import TYPE_CHECKING

import pytest

from jpipe.model.warned import is_warning
from jpipe.worker.terminal_text import as_seen

if TYPE_CHECKING:
    from conftest import Project

CONFIGURED = {
    "logging": """
        import logging
        logging.basicConfig(format="%(levelname)s %(message)s", level="INFO")
        log = logging.getLogger("study")
    """,
    "dictConfig": """
        import logging.config
        handler = {"class": "logging.StreamHandler", "formatter": "f", "stream": "ext://sys.stdout"}
        form = {"format": "\\x1b[31m%(levelname)s\\x1b[0m %(message)s"}
        logging.config.dictConfig(
            {"version": 1, "formatters": {"f": form}, "handlers": {"h": handler},
             "root": {"handlers": ["h"], "level": "INFO"}}
        )
        log = logging.getLogger("study")
    """,
    "structlog": """
        import structlog
        structlog.configure(processors=[structlog.processors.add_log_level, structlog.dev.ConsoleRenderer(colors=True)])
        log = structlog.get_logger()
    """,
    "loguru": """
        import sys
        from loguru import logger as log
        log.remove()
        log.add(sys.stderr, format="<red>{level}</red> {message}", colorize=True)
    """,
    "a stream kept": """
        import sys

        class Log:
            stream = sys.stderr
            def info(self, text): self.stream.write(f"INFO {text}\\n")
            def warning(self, text): self.stream.write(f"WARNING {text}\\n")

        log = Log()
    """,
}
STEP = """
from pathlib import Path
import warnings
from jpipe import pipeline, step

@step(retries=1)
def fit(n):
    log.info(f"fitting {n}")
    if n == 1:
        log.warning("careful")
    if n == 2:
        warnings.warn("odd")
    if n == 3 and not Path("tried").exists():
        Path("tried").touch()
        raise OSError("once")
    return n

@pipeline
def main():
    return [fit(n) for n in range(5)]
"""


@pytest.mark.parametrize("make", CONFIGURED)
@pytest.mark.parametrize("backend", ["preloaded", pytest.param("loky", marks=pytest.mark.slow)])
def test_logging_is_kept_with_items_and_those_that_warned_are_found(make: str, backend: str, project: Project) -> None:
    if make in ("structlog", "loguru") and importlib.util.find_spec(make) is None:
        pytest.skip(f"{make} is not installed")
    project.write({"setup.py": CONFIGURED[make], "pipeline.py": "from setup import log\n" + STEP})
    run = project.run("-j2", "--backend", backend, json=False)
    assert "5 ran" in run.stderr and "2 items warned, 1 retried · jpipe log fit --warnings" in run.stderr, run.stderr
    items = json.loads(project.command("log", "fit", "--json").stdout)["items"]
    for item in items:
        told = [line for line in item["output"].splitlines() if f"fitting {item['item']}" in line]
        assert len(told) == 1 and "info" in told[0].lower() and "\x1b" not in item["output"], item
    chosen = project.command("log", "fit", "--warnings").stdout
    assert [n for n in range(5) if f"fit[n={n}]" in chosen] == [1, 2, 3]
    assert "tried 2 times" in chosen and "careful" in chosen and "UserWarning: odd" in chosen
    assert [item["item"] for item in items if item["warned"]] == [1, 2]
    project.edit("pipeline.py", "    return n\n", "    return n  # the number\n")
    assert project.run("-j2").ran == {}, "where a log goes has no part in a result"


def test_a_file_may_wrap_the_streams_for_itself(project: Project) -> None:
    project.write("""
        import io, sys

        sys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8", write_through=True)
        sys.stderr = io.TextIOWrapper(sys.stderr.buffer, encoding="utf-8", write_through=True)
        sys.stdout.flush()
        print("imported", sys.stdout.isatty(), sys.stderr.fileno() > 0, file=sys.stderr)
        kept = sys.stderr

        from jpipe import pipeline, step

        @step
        def fit(n):
            print("in", n)
            print("kept", n, file=kept)
            return n

        @pipeline
        def main():
            print("laid out", file=kept)
            return [fit(n) for n in range(3)]
    """)
    for words in (["-j1"], ["-j2", "-f", "fit"]):
        run = project.run(*words, json=False)
        assert (run.exit_code, "3 ran" in run.stderr, run.stdout) == (0, True, ""), run.stderr
        assert run.stderr.count("imported") >= 1 and "laid out" in run.stderr and "kept" not in run.stderr
        text = project.command("log", "fit").stdout
        assert all(f"{word} {n}" in text for word in ("in", "kept") for n in range(3)), text


def test_a_count_tells_of_what_was_only_printed(project: Project) -> None:
    project.write("""
        from jpipe import pipeline, step
        from tqdm import tqdm

        @step
        def fit(n):
            for _ in tqdm(range(20), desc="epochs", mininterval=0, ascii=True):
                pass
            return n

        @pipeline
        def main():
            return [fit(n) for n in range(3)]
    """)
    run = project.run("-j1", json=False)
    assert "3 items printed · jpipe log fit\n" in run.stderr
    text = project.command("log", "fit").stdout
    assert text.count("epochs:") == 3 == text.count("100%"), text
    assert "no item of it warned or was tried again" in project.command("log", "fit", "--warnings").stdout
    shown = project.run("-f", "fit", "-j1", "-s", json=False).stderr
    assert "printed" not in shown and shown.count("epochs:") == 3


@pytest.mark.parametrize(
    ("written", "seen"),
    [
        ("plain\ntext\n", "plain\ntext\n"),
        ("windows\r\nlines\r\n", "windows\r\nlines\r\n"),
        ("\r  0%|   |\r 50%|## |\r100%|###|\ndone\n", "100%|###|\ndone\n"),
        ("\r 50%|# |\r          \rdone\n", "done\n"),
        ("abc\rx", "xbc"),
        ("abc\r\x1b[Kx", "x"),
        ("1\x08\x082", "2"),
        ("\x1b[31mred\x1b[0m \x1b[1;32mgreen\x1b[m", "red green"),
        ("\x1b]0;title\x07text \x1b]8;;https://x\x1b\\link\x1b]8;;\x1b\\", "text link"),
        ("\router 0\n\rinner 0\x1b[A\n\rinner 9\x1b[A\router 1\n", "outer 1\ninner 9"),
        ("\x1b[9999Aup\n", "up\n"),
        ("über\r\x1b[33mÜ\x1b[0m", "Über"),
    ],
)
def test_what_is_kept_is_what_a_terminal_shows_in_the_end(written: str, seen: str) -> None:
    assert as_seen(written) == seen


@pytest.mark.parametrize(
    ("output", "is_one"),
    [
        ("a.py:3: UserWarning: odd\n", True),
        ("a.py:3: RuntimeWarning: divide by zero\n", True),
        ("WARNING:root:careful\n", True),
        ("2026-01-01 12:00 | ERROR    | study:fit:5 - bad\n", True),
        ("2026-01-01 [warning  ] careful    n=3\n", True),
        ('{"event": "careful", "level": "warning"}\n', True),
        ("0 warnings, 0 errors\n", False),
        ("warning-free\n", False),
        ("INFO fine\n", False),
        ("", False),
    ],
)
def test_warnings_are_told_from_other_lines(output: str, is_one: bool) -> None:
    assert is_warning(output) is is_one
