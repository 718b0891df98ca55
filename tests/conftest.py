"""What every test may use: a project on disk, whose pipeline the real command runs in an environment of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import sysconfig
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hypothesis
import jsonschema
import pytest

import jpipe

hypothesis.settings.register_profile("default", deadline=None, derandomize=bool(os.environ.get("CI")))
hypothesis.settings.register_profile("nightly", deadline=None, max_examples=2000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

sys.path.append(str(Path(__file__).parents[1]))
"""Worker processes unpickle functions of ``tests.test_...`` by name. At the end, so that the installed jpipe wins."""

for _name, _usual in {"SIGINT": signal.default_int_handler, "SIGHUP": signal.SIG_DFL}.items():
    # A shell starts background jobs with the one ignored, and nohup with the other. jpipe rightly leaves it at that;
    # tests of stopping a run want them heard.
    _number = getattr(signal, _name, None)
    if _number is not None and signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _usual)

SLOW = {
    "test_benchmarks",
    "test_executed_code",
    "test_failures",
    "test_failures_alone",
    "test_fingerprint_edits",
    "test_joblib_traps",
    "test_mapping_failures",
    "test_migration",
    "test_store_outside",
}
"""Modules whose tests take minutes together; `nox -s slow` runs them."""

EVENT_SCHEMA = jsonschema.Draft202012Validator(
    json.loads((Path(jpipe.__file__).parent / "render" / "events.schema.json").read_text("utf-8"))
)
"""Every event that a test causes is held against what ``jpipe schema`` promises."""

TIMEOUT = 180.0
"""Seconds after which a command counts as hung."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """How the browser's pictures are taken anew after a change that was meant."""
    parser.addoption("--update-pictures", action="store_true", help="keep how pages look now as how they should look")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of slow modules."""
    for item in items:
        if item.path.stem in SLOW:
            item.add_marker("slow")


@dataclass(frozen=True)
class Result:
    """What a command did.

    Parameters
    ----------
    exit_code, stdout, stderr
        As the shell sees them.
    events
        The JSON objects on stdout, one a line, where they were asked for.
    """

    exit_code: int
    stdout: str
    stderr: str
    events: list[dict[str, Any]] = field(default_factory=list)

    def of(self, event: str) -> list[dict[str, Any]]:
        """The events of one kind: ``of("item_end")``."""
        return [one for one in self.events if one["event"] == event]

    @property
    def steps(self) -> dict[str, dict[str, Any]]:
        """Each step's ``step_end``; a second one for a step is an error."""
        ends = self.of("step_end")
        names = [end["step"] for end in ends]
        assert len(set(names)) == len(names), f"more than one step_end for a step: {names}"
        return dict(zip(names, ends, strict=True))

    @property
    def end(self) -> dict[str, Any]:
        """The one ``run_end``."""
        (end,) = self.of("run_end")
        return end

    @property
    def ran(self) -> dict[str, int]:
        """How many items ran, by step; steps of which none ran are left out."""
        return {name: end["ran"] for name, end in self.steps.items() if end["ran"]}

    @property
    def counts(self) -> tuple[int, int]:
        """Of the whole run: items that ran, items from the cache."""
        return self.end["ran"], self.end["cached"]


class Project:
    """A folder with a pipeline file.

    Parameters
    ----------
    root
        The folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        (root / "jpipe.toml").touch()

    @property
    def cache(self) -> Path:
        """Where its results are kept."""
        return self.root / "cache"

    def write(self, files: Mapping[str, str] | str) -> None:
        """Write files by name, dedented; a text alone is ``pipeline.py``."""
        for name, text in ({"pipeline.py": files} if isinstance(files, str) else files).items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            self._put(path, textwrap.dedent(text).lstrip("\n"), same_second=False)

    def edit(self, file: str, old: str, new: str, *, same_second: bool = False) -> None:
        """Replace one passage of a file, which must be there exactly once.

        Parameters
        ----------
        same_second
            Keep the file's time, as a quick editor may, so that CPython cannot tell its ``.pyc`` from the new source
            when the length is the same too.
        """
        path = self.root / file
        text = path.read_text("utf-8")
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {file}"
        self._put(path, text.replace(old, new), same_second=same_second)

    @staticmethod
    def _put(path: Path, text: str, *, same_second: bool) -> None:
        before = path.stat().st_mtime_ns if path.exists() else None
        path.write_text(text, "utf-8", newline="\n")
        if before is not None:
            after = before if same_second else max(path.stat().st_mtime_ns, before + 2_000_000_000)
            os.utime(path, ns=(after, after))

    def run(self, *arguments: str, json: bool = True, **keywords: Any) -> Result:
        """``jpipe run``; keywords are those of `command`."""
        return self.command("run", *arguments, *(["--json"] if json else []), **keywords)

    def plan(self, *arguments: str, **keywords: Any) -> dict[str, Any]:
        """The document that ``jpipe plan --json`` prints."""
        result = self.command("plan", *arguments, "--json", **keywords)
        assert result.exit_code == 0, result.stderr
        document: dict[str, Any] = json.loads(result.stdout)
        return document

    def command(self, *arguments: str, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Result:
        """``python -m jpipe`` with these arguments, to its end, in a new process.

        Parameters
        ----------
        env
            Environment variables on top of the test's own.
        cwd
            Where it is typed; default the project.
        """
        return self.python("-m", "jpipe", *arguments, env=env, cwd=cwd)

    def python(self, *arguments: str, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Result:
        """A Python process in the project, to its end."""
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=cwd or self.root,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=TIMEOUT,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr, _events(done.stdout))

    def start(self, *arguments: str, env: Mapping[str, str] | None = None, **keywords: Any) -> subprocess.Popen[str]:
        """``python -m jpipe`` with these arguments, still going: for tests that interrupt or kill it."""
        return subprocess.Popen(
            [sys.executable, "-m", "jpipe", *arguments],
            cwd=self.root,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            **keywords,
        )


def _events(stdout: str) -> list[dict[str, Any]]:
    """The lines of stdout that are events."""
    events = [json.loads(line) for line in stdout.splitlines() if line.startswith('{"v":')]
    for event in events:
        if "event" in event:
            EVENT_SCHEMA.validate(event)
    return events


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """An empty project in a folder of its own, whose name has a space and a letter beyond ASCII."""
    return Project(tmp_path / "my projét")


@pytest.fixture(scope="module")
def shared_project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project for the tests of one file, which only look at what it holds."""
    return Project(tmp_path_factory.mktemp("shared") / "my projét")


@pytest.fixture(scope="module")
def one_job() -> Iterator[None]:
    """Items run in the main process: for files whose questions are not about workers, which take longer to start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JPIPE_JOBS", "1")
        yield


@pytest.fixture(autouse=True, scope="session")
def own_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No colour, setting or key of whoever runs the tests; workers import the same jpipe as the tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(("JPIPE_", "TQDM_")) or name in {"NO_COLOR", "FORCE_COLOR", "COLUMNS", "PYTHONHASHSEED"}:
                patch.delenv(name)
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
        home = Path(jpipe.__file__).parents[1]
        if home != Path(sysconfig.get_path("purelib")):
            patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(home), os.environ.get("PYTHONPATH")])))
        yield


@pytest.fixture(autouse=True, scope="session")
def no_idle_workers() -> Iterator[None]:
    """joblib's idle workers end with the tests: a process of pytest-xdist leaves so that they would be killed."""
    yield
    _end_idle_workers()


@pytest.fixture
def own_workers() -> Iterator[None]:
    """joblib's workers end with the test, so that what one test kills is not what another one measured."""
    yield
    _end_idle_workers()


def _end_idle_workers() -> None:
    if "joblib" in sys.modules:
        from joblib.externals.loky import reusable_executor

        if reusable_executor._executor is not None:
            reusable_executor._executor.shutdown(wait=True)
