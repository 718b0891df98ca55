"""Workers on a cluster: what they give is right, whatever they have; who has something else is named and not used."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cloudpickle
import joblib
import pytest
from joblib._parallel_backends import ThreadingBackend

import jpipe
from jpipe.define.loader import load
from jpipe.store import SigningKey

if TYPE_CHECKING:
    from conftest import Project

MANY = """
    import os
    import random
    import time

    import numpy as np
    from jpipe import map, pipeline, step
    from helpers import scaled

    @step(batch_size=1)
    def draw(i: int):
        time.sleep(0.05)
        return round(random.random(), 6), round(float(np.random.rand()), 6), scaled(i)

    @step(batch_size=1)
    def variable(i: int, env=()) -> str:
        return os.environ["STUDY"]

    @step(batch_size=1)
    def read(i: int) -> str:
        time.sleep(0.05)
        with open("data.txt") as file:
            return file.read()

    @step(batch_size=1)
    def large(i: int):
        return np.full(300_000, i)

    @step
    def total(arrays) -> int:
        return int(sum(array.sum() for array in arrays))

    @pipeline
    def main(n: int = 6):
        return map(draw, range(n)), map(variable, range(n)), map(read, range(n)), total(map(large, range(n)))
"""
HELPERS = "def scaled(i):\n    return i * 10\n"


@pytest.fixture
def study(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    project.write({"pipeline.py": MANY, "helpers.py": HELPERS, "data.txt": "right"})
    monkeypatch.setenv("STUDY", "one")
    return project


class Spy(ThreadingBackend):  # type: ignore[misc]  # joblib has no types
    """A backend of somebody's: it keeps a copy of what would cross the network."""

    sent: list[bytes] = []

    def submit(self, func: Any, callback: Any = None) -> Any:
        self.sent.append(cloudpickle.dumps(func.items))
        return super().submit(func, callback)


def test_neither_key_nor_environment_crosses_the_network(
    study: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    key = tmp_path / "key"
    key.write_bytes(b"the signing key of this user....")
    key.chmod(0o600)
    monkeypatch.setenv("JPIPE_KEY_FILE", str(key))
    monkeypatch.setenv("TOKEN_OF_A_SERVICE", "hunter2hunter2")
    monkeypatch.chdir(study.root)
    joblib.register_parallel_backend("spy", Spy)
    Spy.sent.clear()
    main = load(study.root / "pipeline.py")
    run = jpipe.run(main, n_jobs=2, backend="spy")
    assert not run.failures and len(Spy.sent) > 4
    for sent in Spy.sent:
        assert b"signing key" not in sent and b"hunter2" not in sent
    assert SigningKey.load().secret == key.read_bytes()
    assert jpipe.run(main).outcome.value == "cached", "the main process has signed what came back"


# -- a real cluster ----------------------------------------------------------------------------------------------------


@dataclass
class Cluster:
    """A dask scheduler of this machine, with workers of one thread that are told apart by name."""

    address: str
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def worker(self, name: str, *, before: str = "", threads: int = 1, cwd: Path | None = None, **env: str) -> None:
        """Start a worker; `before` is what its process does first."""
        code = f"{before}\nfrom distributed.cli.dask_worker import main; main()"
        words = ["--nthreads", str(threads), "--no-nanny", "--no-dashboard", "--name", name]
        self.processes[name] = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", code, self.address, *words],
            cwd=cwd, env={**os.environ, **env}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def wait(self) -> dict[str, str]:
        """The addresses of the workers by name, once all are there."""
        from distributed import Client

        wanted = set(self.processes) - {"scheduler"}
        with Client(self.address, set_as_default=False) as client:
            for _ in range(300):
                workers = client.scheduler_info(n_workers=-1)["workers"]
                names = {str(one["name"]): address for address, one in workers.items()}
                if names.keys() == wanted:
                    return names
                time.sleep(0.1)
        raise AssertionError(f"{wanted - names.keys()} did not come")

    @classmethod
    @contextlib.contextmanager
    def started(cls) -> Iterator[Cluster]:
        """A scheduler without workers; at the end all processes are killed."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        words = ["--host", "127.0.0.1", "--port", str(port), "--no-dashboard", "--no-show"]
        made = cls(f"tcp://127.0.0.1:{port}")
        made.processes["scheduler"] = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "distributed.cli.dask_scheduler", *words],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            yield made
        finally:
            for process in made.processes.values():
                process.kill()
                process.wait()

    def options(self) -> list[str]:
        """The flags of ``jpipe run``."""
        return ["--backend", "dask", "--backend-option", f"scheduler={self.address}"]


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    pytest.importorskip("distributed")
    with Cluster.started() as made:
        yield made


def shown(study: Project, step: str) -> list[Any]:
    """The results of a step, from the cache."""
    answer = study.command("show", step, "--json")
    assert answer.exit_code == 0, answer.stderr
    return [row["value"] for row in json.loads(answer.stdout)["items"]]


def right(study: Project) -> Any:
    """What it gives on this machine alone."""
    alone = study.run("-j1", "--cache-dir", "alone")
    assert alone.exit_code == 0, alone.stderr
    return study.command("show", "draw", "--json", "--cache-dir", "alone").stdout


@pytest.mark.slow
def test_workers_that_differ_are_named_and_the_values_are_right(
    study: Project, cluster: Cluster, tmp_path: Path
) -> None:
    """One worker is as the main process is, but for folder, variables and threads; each other has something else."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "data.txt").write_text("WRONG", "utf-8")
    cluster.worker("good", threads=3, cwd=elsewhere, STUDY="two")
    cluster.worker("without jpipe", before="import sys; sys.modules['jpipe'] = None")
    cluster.worker("other jpipe", before="import jpipe; jpipe.__version__ = '0.0.1'")
    cluster.worker("other python", before="import jpipe.worker.handshake as p; p._python = lambda: 'CPython 3.99'")
    names = cluster.wait()
    ran = study.run(*cluster.options(), json=False)
    assert ran.exit_code == 0, ran.stderr
    for name, remedy in {
        "without jpipe": "it has no jpipe: install there",
        "other jpipe": "it has jpipe 0.0.1, and this run",
        "other python": "start workers with the same Python",
    }.items():
        line = f"the worker {names[name]} is not used: "
        assert line in ran.stderr or name.startswith("other"), ran.stderr
        assert ran.stderr.count(line) <= 1
        assert line not in ran.stderr or remedy in ran.stderr
    assert "is not used" in ran.stderr and "ran in the main process" not in ran.stderr
    for step, wanted in {"read": "right", "variable": "one"}.items():
        assert set(shown(study, step)) == {wanted}
    assert study.command("show", "draw", "--json").stdout == right(study)
    assert study.run("-j1").counts[0] == 0


@pytest.mark.slow
def test_a_worker_that_lives_on_after_an_edit_computes_with_the_new_code(study: Project, cluster: Cluster) -> None:
    """Also where somebody else's task had imported the old one there."""
    from distributed import Client

    cluster.worker("only", threads=2)
    cluster.wait()
    look = f"import sys; sys.path.insert(0, {str(study.root)!r}); import helpers, pipeline"
    with Client(cluster.address, set_as_default=False) as client:
        client.run(exec, look)
    for factor in (10, 11, 12):
        study.write({"helpers.py": HELPERS.replace("10", str(factor))})
        assert study.run(*cluster.options(), "--set", "n=3", "draw").counts[0] == 3
        assert [value[2] for value in shown(study, "draw")] == [0, factor, 2 * factor]


@pytest.mark.slow
def test_on_a_cluster_timeouts_hold_and_what_ends_its_process_is_named(project: Project, cluster: Cluster) -> None:
    project.write(
        """
        import os
        import time
        from jpipe import map, pipeline, step

        @step(timeout=2)
        def waits(i: int) -> int:
            time.sleep(60 if i == 2 else 0)
            return i

        @step(batch_size=4)
        def dies(i: int) -> int:
            if i == 5:
                os.kill(os.getpid(), 9)
            return i

        @pipeline
        def main():
            return map(waits, range(4)), map(dies, range(8))
        """
    )
    (project.root / "private").mkdir()
    cluster.worker("one", threads=2)
    cluster.wait()
    begun = time.monotonic()
    ran = project.run(*cluster.options(), "-k", "-v", env={"TMPDIR": str(project.root / "private")})
    assert time.monotonic() - begun < 50
    failed = {(one["step"], one["item"]) for one in ran.of("item_end") if one["outcome"] == "failed"}
    assert failed == {("waits", 2), ("dies", 5)}, ran.stderr
    assert "its timeout" in ran.stderr and "SIGKILL" in ran.stderr
    assert ran.counts[0] == 3 + 7


@pytest.mark.slow
@pytest.mark.parametrize("who", ["worker", "scheduler", "main process"])
def test_what_is_killed_never_hangs_a_run_nor_loses_what_was_told(study: Project, cluster: Cluster, who: str) -> None:
    cluster.worker("one")
    cluster.worker("two")
    cluster.wait()
    study.edit("pipeline.py", "time.sleep(0.05)\n    return round", "time.sleep(0.5)\n    return round")
    going = study.start("run", *cluster.options(), "--json", "-v", "--set", "n=40", "draw")
    assert going.stdout is not None
    for _ in range(6):
        while '"item_end"' not in going.stdout.readline():
            pass
    time.sleep(0.2)  # filing waits for a tenth of a second at most
    killed = {**cluster.processes, "worker": cluster.processes["one"], "main process": going}[who]
    killed.kill()
    begun = time.monotonic()
    out, err = going.communicate(timeout=120)
    if who == "worker":
        assert going.returncode == 0, err
        again = study.run("-j1", "--set", "n=40", "draw")
        assert again.counts == (0, 40)
    elif who == "main process":
        assert 6 <= study.plan("--set", "n=40", "draw")["fresh"] < 40
        assert study.run(*cluster.options(), "--set", "n=40", "draw").exit_code == 0
    else:
        assert going.returncode == 1 and time.monotonic() - begun < 30, err
        assert "the scheduler of the cluster does not answer any more" in err + out
        assert 6 <= study.plan("--set", "n=40", "draw")["fresh"] < 40


@pytest.mark.slow
@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can hide a folder from a process"
)
def test_workers_that_do_not_see_the_cache_are_sent_code_and_values(study: Project, cluster: Cluster) -> None:
    if subprocess.run(["unshare", "-m", "true"], check=False).returncode:
        pytest.skip("mounts cannot be unshared here")
    (study.root / "cache").mkdir()
    hidden = (
        "import subprocess, ctypes, os; os.chdir('/'); ctypes.CDLL(None).unshare(0x20000);"
        "subprocess.run(['mount', '--make-rprivate', '/'], check=True);"
        f"subprocess.run(['mount', '-t', 'tmpfs', 'none', {str(study.root)!r}], check=True)"
    )
    cluster.worker("one", before=hidden)
    cluster.worker("two", before=hidden)
    cluster.wait()
    ran = study.run(*cluster.options(), json=False)
    assert ran.exit_code == 0 and ran.stderr.count("does not see the cache") == 1, ran.stderr
    assert "data.txt" in ran.stderr and "ran in the main process because" in ran.stderr
    assert set(shown(study, "read")) == {"right"}
    assert study.command("show", "draw", "--json").stdout == right(study)
    assert shown(study, "total") == [300_000 * 15]
    assert study.run("-j1").counts[0] == 0
    assert study.command("cache", "verify").exit_code == 0


@pytest.mark.slow
def test_a_cluster_that_joblib_is_told_of_serves_a_run_from_python(study: Project, cluster: Cluster) -> None:
    cluster.worker("one")
    cluster.wait()
    script = f"""
        import joblib
        from distributed import Client
        from pipeline import main

        if __name__ == "__main__":
            with Client("{cluster.address}"), joblib.parallel_config("dask"):
                run = main.run()
            print(run[3])
        """
    study.write({"script.py": script})
    done = study.python("script.py")
    assert (done.exit_code, done.stdout.split()[-1:]) == (0, ["4500000"]), done.stderr
    assert study.run("-j1").counts[0] == 0


@pytest.mark.nightly
@pytest.mark.parametrize("package", ["dask_jobqueue", "submitit"])
def test_the_recipes_for_batch_systems_run_with_their_local_ones(project: Project, package: str) -> None:
    pytest.importorskip(package)
    project.write(
        """
        from jpipe import map, pipeline, step

        @step
        def fit(i: int) -> int:
            return i * i

        @step
        def total(xs) -> int:
            return sum(xs)

        @pipeline
        def main(n: int = 8):
            return total(map(fit, range(n)))
        """
    )
    page = Path(__file__).parents[1] / "docs" / "how-to" / "use-a-batch-system.md"
    (recipe,) = (
        text for text in re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL) if package in text
    )
    local = {
        "from dask_jobqueue import SLURMCluster": "from dask_jobqueue.local import LocalCluster",
        'SLURMCluster(cores=8, processes=8, memory="32GB", walltime="04:00:00")': 'LocalCluster(cores=1, memory="1GB")',
        "scale(jobs=4)": "scale(jobs=2)",
        "wait_for_workers(8)": "wait_for_workers(2)",
        'cluster="slurm"': 'cluster="local"',
        "cpus_per_task=16": "cpus_per_task=2",
        "n_jobs=16": "n_jobs=2",
    }
    for there, here in local.items():
        recipe = recipe.replace(there, here)
    project.write({"batch.py": recipe})
    done = project.python("batch.py")
    assert done.stdout.split()[-1].strip("[]") == "140", done.stderr
