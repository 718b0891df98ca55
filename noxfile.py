"""What a developer of jpipe runs: the demo, the tests, the checks, the benchmarks and the documentation."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import nox
from nox.command import CommandFailed

ROOT = Path(__file__).parent
MINORS = range(11, 20)
"""Python 3.11 and up."""

IN_PARALLEL = ("-n", "2", "--dist", "loadfile")
"""Tests wait for processes much of the time. Those of one file stay together, so that their fixtures are made once."""

EVERYDAY = "not nightly and not slow and not timing"

BOUND_TO_PYTHON = (
    "tests/test_chained_maps.py",
    "tests/test_fingerprint.py",
    "tests/test_layout.py",
    "tests/test_rebuilder.py",
    "tests/test_run.py",
    "tests/test_typed_code.py",
)
"""What depends on syntax, bytecode, annotations and how processes start."""

FEW = ("hypothesis>=6.100", "ipython>=8.20", "jsonschema>=4.20", "pytest>=8.2", "pytest-xdist>=3.6")
"""What these tests need beside jpipe: installing everything takes longer than they do."""

TRACED_HOOKS = """\
import sys; sys.addaudithook = lambda hook, add=sys.addaudithook: add(setattr(hook, "__cantrace__", True) or hook)
"""
"""Python keeps the tracer out of audit hooks that do not ask for it. As a .pth file, this reaches every process."""

KNOWN_GOOD = ROOT / "constraints" / "test.txt"
"""Versions of all that the tests need, so that a release of a dependency breaks nobody's first run of them."""

PEERS = ("diskcache", "exca", "checkpointer", "pipefunc")
"""Other tools for the benchmarks; one that does not install is left out of the tables."""

nox.options.sessions = ["tests", "lint"]
nox.options.default_venv_backend = "virtualenv"
nox.options.reuse_existing_virtualenvs = True
nox.options.error_on_missing_interpreters = False


def found_pythons() -> list[str]:
    """The versions of Python that this machine has, the one that runs nox first.

    pyenv keeps interpreters where ``PATH`` does not lead, so their folders are added to its end. It also puts commands
    on ``PATH`` that run nothing, so each candidate is asked.
    """
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    kept = sorted(map(str, pyenv.glob("versions/3.*/bin")))
    os.environ["PATH"] = os.pathsep.join([os.environ.get("PATH", ""), *kept])
    own = f"3.{sys.version_info.minor}"
    others = [version for version in (f"3.{minor}" for minor in MINORS) if version != own and runs(version)]
    return [own, *others]


def runs(version: str) -> bool:
    """Whether some ``pythonX.Y`` on ``PATH`` is a finished CPython of that version."""
    question = "import sys, ensurepip; print(sys.implementation.name, sys.version_info.releaselevel)"
    for folder in os.environ["PATH"].split(os.pathsep):
        command = shutil.which(f"python{version}", path=folder)
        if command is None:
            continue
        answer = subprocess.run([command, "-c", question], capture_output=True, text=True, check=False)
        if answer.stdout.split() == ["cpython", "final"]:
            return True
    return False


PYTHONS = found_pythons()


@nox.session
def demo(session: nox.Session) -> None:
    """The main job on real data: the digits example, run twice."""
    session.install(".[examples]")
    for _ in range(2):
        session.run("jpipe", "run", "examples/digits/pipeline.py", *session.posargs)


@nox.session(python=PYTHONS, download_python="never")
def tests(session: nox.Session) -> None:
    """The tests, against the installed package, on every Python from 3.11 up that is found.

    The Python that runs nox has them all, the others those of what a new Python may change: `nox -s pythons` gives all
    to all. Tests kill processes and race them against each other, so what fails beside others is tried once more alone.
    """
    is_own = session.python == PYTHONS[0]
    install_known_good(session, *((".[test]",) if is_own else (".", *FEW)))
    chosen = ["-m", EVERYDAY, *(session.posargs or ([] if is_own else BOUND_TO_PYTHON))]
    try:
        session.run("pytest", "-n", "2", *chosen)
    except CommandFailed:
        session.run("pytest", "--last-failed", *chosen)


def install_known_good(session: nox.Session, *wanted: str) -> None:
    """jpipe and what its tests need, in known versions where this Python and system have builds of them."""
    try:
        session.install(*wanted, "-c", str(KNOWN_GOOD))
    except CommandFailed:
        session.warn(f"the versions in {KNOWN_GOOD.name} do not all install here: taking those that pip finds")
        session.install(*wanted)


@nox.session(python=PYTHONS[1:], download_python="never")
def pythons(session: nox.Session) -> None:
    """All tests of every day on the Pythons that `tests` gives a part of them."""
    session.install(".[test]")
    session.run("pytest", "-n", "2", "-m", EVERYDAY, *session.posargs)


@nox.session(python=PYTHONS[0], download_python="never")
def slow(session: nox.Session) -> None:
    """The tests that kill processes, wait for timeouts or drive the command hundreds of times."""
    session.install(".[test]")
    session.run("pytest", "-m", "slow and not nightly", *session.posargs)


@nox.session(python=PYTHONS[0], download_python="never")
def engines(session: nox.Session) -> None:
    """The same pipelines on loky, threading, dask and ray; clusters, batch systems, buckets, two hosts."""
    session.install(".[test,ray,remote]", "moto[server]", "dask-jobqueue", "submitit")
    chosen = ("tests/test_engines.py", "tests/test_cluster.py", "tests/test_remote_cache.py", "tests/test_two_hosts.py")
    session.run("pytest", *(session.posargs or chosen))


@nox.session(python=PYTHONS[0], download_python="never")
def timing(session: nox.Session) -> None:
    """The tests that judge durations as ratios; they want an idle machine."""
    session.install(".[test]")
    session.run("pytest", "-m", "timing and not nightly", *session.posargs)


@nox.session(python=PYTHONS[0], download_python="never")
def coverage(session: nox.Session) -> None:
    """The tests once more, counting branches, worker processes included; fails below the bound in pyproject.toml.

    A process that is killed while it writes what it measured leaves a damaged file, which is told and left out. Tests
    that fail under the tracer are tried once more without it.
    """
    session.install(".[test]")
    folder = "pathlib.Path(sysconfig.get_path('purelib'), 'traced_hooks.pth')"
    session.run("python", "-c", f"import pathlib, sysconfig; {folder}.write_text({TRACED_HOOKS!r})", silent=True)
    session.env["COVERAGE_FILE"] = str(Path(session.create_tmp()) / "measured")
    chosen = ["-m", "not nightly and not timing", *session.posargs]
    session.run("coverage", "erase")
    try:
        session.run("coverage", "run", "-m", "pytest", *chosen, *IN_PARALLEL)
    except CommandFailed:
        session.run("pytest", "--last-failed", *chosen)
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report")


@nox.session(python=min(PYTHONS), download_python="never")
def minimums(session: nox.Session) -> None:
    """The tests with the lowest version of each dependency that pyproject.toml allows."""
    constraints = Path(session.create_tmp()) / "lowest.txt"
    constraints.write_text("\n".join(lowest_dependencies()) + "\n", "utf-8")
    session.install(".[test]", "-c", str(constraints))
    session.run("pytest", "-m", "not nightly and not timing", *IN_PARALLEL, *session.posargs)


@nox.session(python=PYTHONS[0], download_python="never")
def newest(session: nox.Session) -> None:
    """The tests of every day with the newest release of each dependency, those before a release included."""
    session.install("--pre", "--upgrade", "--upgrade-strategy", "eager", ".[test]")
    session.run("pytest", "-m", EVERYDAY, *IN_PARALLEL, *session.posargs)


def lowest_dependencies() -> list[str]:
    """``name==version`` for each ``name>=version`` that jpipe itself needs."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return [dependency.replace(">=", "==") for dependency in project["dependencies"]]


@nox.session
def lint(session: nox.Session) -> None:
    """Style, types and the floors of the house."""
    session.install("-e", ".[test]", "nox", "ruff>=0.9", "types-networkx", "types-tqdm")
    session.run("ruff", "check", ".")
    session.run("mypy")
    session.run("lint-imports")


@nox.session(python=PYTHONS[0], download_python="never")
def browser(session: nox.Session) -> None:
    """The pages in a real Chromium (``apt install chromium``), light and dark, wide and narrow, and through axe.

    `nox -s browser -- --update-pictures` keeps how they look now in tests/pictures, to be looked at and committed.
    """
    session.install(".[test]", "playwright>=1.45", "axe-playwright-python>=0.1.4")
    session.run("pytest", "tests/test_browser.py", "--basetemp", session.create_tmp(), *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """The benchmarks against other tools; `nox -s bench -- --small` takes a minute."""
    session.install(".[examples]", "psutil>=5.9")
    for peer in PEERS:
        session.run("python", "-m", "pip", "install", "--quiet", peer, success_codes=[0, 1])
    session.run("python", "-m", "benchmarks", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation as a web site in site/; a warning is an error."""
    session.install(".[docs]")
    session.run("sphinx-build", "-W", "--keep-going", "-q", "-E", "docs", "site", *session.posargs)


@nox.session(python=PYTHONS[0], download_python="never")
def package(session: nox.Session) -> None:
    """The sdist, and the wheel made of it, in dist/; tried where nothing else is: a first pipeline runs, once."""
    dist, empty = ROOT / "dist", Path(session.create_tmp()).resolve() / "empty"
    for folder in (dist, empty):
        shutil.rmtree(folder, ignore_errors=True)
    session.install("build")
    session.run("python", "-m", "build", "--outdir", str(dist), str(ROOT))
    session.run("python", "-m", "venv", str(empty / "venv"))
    python = str(empty / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python")
    session.run(python, "-m", "pip", "install", "--quiet", *map(str, dist.glob("*.whl")), external=True)
    with session.chdir(empty):
        for command in (["init"], ["run"], ["status", "--check"], ["run", "--frozen"]):
            session.run(python, "-I", "-m", "jpipe", *command, external=True)


@nox.session
def nightly(session: nox.Session) -> None:
    """Long fault injections and large random searches: an hour or two."""
    session.install(".[test]")
    session.run("pytest", "-m", "nightly", *session.posargs, env={"HYPOTHESIS_PROFILE": "nightly"})


@nox.session(python=PYTHONS[0], download_python="never")
def mutants(session: nox.Session) -> None:
    """Changes of jpipe's own code, one at a time, and whether a test notices; says which survived. An hour."""
    session.install("-e", ".[test]")
    session.run("python", "tests/mutants.py", *session.posargs)


@nox.session
def joblib_suite(session: nox.Session) -> None:
    """joblib's own tests of Memory, with jpipe's store behind it: of the newest joblib and of the lowest allowed."""
    session.install(".[test]")
    session.run("pytest", "tests/joblib_suite", "tests/test_store_joblib.py", *session.posargs)
    session.install(*(dependency for dependency in lowest_dependencies() if dependency.startswith("joblib==")))
    session.run("pytest", "tests/joblib_suite", "tests/test_store_joblib.py", *session.posargs)
