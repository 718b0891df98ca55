"""From outside: a running `jpipe run` is killed, files of its cache are damaged, its disk is full. It all heals.

Whatever happened: every value is what the plain script gives, the next run completes, and after it all is cached,
`jpipe cache verify` finds nothing, and nothing of dead processes is left. The long versions run at night.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Project, Result

PIPELINE = """
import time
from pathlib import Path

import jpipe
import numpy as np
from jpipe import File, pipeline, step

SALT = 0

@step
def numbers() -> list[int]:
    return list(range(SALT % 7, SALT % 7 + 40))

@step
def small(i):
    time.sleep(0.004)
    return {"i": i, "v": i * SALT, "text": "x" * i}

@step
def twice(row):
    return row["v"] * 2 + len(row["text"])

@step
def large(i):
    time.sleep(0.01)
    return np.full(180_000 + i, i + SALT, dtype=float)

@step
def shifted(a):
    a += 1
    return {"a": a, "n": len(a), "text": "m" * 30_000}

@step
def doubled(a):
    a *= 2
    return float(a.sum())

@step
def written(part) -> File:
    path = Path("out") / f"{part['n']}-{SALT}.bin"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(part["a"][:5000].tobytes())
    return File(path)

@step
def table(doubles, parts, files, others):
    return {
        "others": others,
        "doubles": list(doubles),
        "sums": [float(part["a"].sum()) for part in parts],
        "texts": [len(part["text"]) for part in parts],
        "files": [float(np.frombuffer(Path(file).read_bytes()).sum()) for file in files],
    }

@pipeline
def main():
    doubles = jpipe.map(twice, jpipe.map(small, numbers()))
    arrays = [large(i) for i in range(6)]
    parts = [shifted(a) for a in arrays]
    return table(doubles, parts, [written(part) for part in parts], [doubled(a) for a in arrays])
"""
ITEMS = 1 + 40 + 40 + 6 + 6 + 6 + 6 + 1
VALUE = "import json, pipeline; print('value', json.dumps(pipeline.main.run()))"


def truth(salt: int) -> dict[str, Any]:
    """What the plain script gives."""
    first = salt % 7
    return {
        "others": [(180_000 + i) * float(i + salt) * 2 for i in range(6)],
        "doubles": [i * salt * 2 + i for i in range(first, first + 40)],
        "sums": [(180_000 + i) * float(i + salt + 1) for i in range(6)],
        "texts": [30_000] * 6,
        "files": [5000 * float(i + salt + 1) for i in range(6)],
    }


class Study:
    """A project whose every result depends on a number in the code."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.number = 0

    def salt(self, salt: int) -> None:
        """Edit the number."""
        self.number = salt
        self.project.write(PIPELINE.replace("SALT = 0", f"SALT = {salt}"))

    def heals(self, told: object) -> None:
        """The next run completes, all is cached after it, and the value is right."""
        went_well(self.project.run("-j2"), told)
        again = self.project.run("-j2")
        assert again.counts == (0, ITEMS), (told, again.stderr)
        value = self.project.python("-c", VALUE)
        assert value.exit_code == 0, (told, value.stderr)
        assert json.loads(value.stdout.partition("value ")[2]) == truth(self.number), told

    def is_sound(self, told: object) -> None:
        """Nothing is damaged, and after a prune nothing is left of dead processes."""
        verified = self.project.command("cache", "verify")
        assert (verified.exit_code, "all sound" in verified.stdout) == (0, True), (told, verified.stdout)
        assert self.project.command("cache", "prune").exit_code == 0
        for room in ("tmp", "pins", "locks"):
            left = [path.name for path in (self.project.cache / "v1" / room).iterdir() if path.suffix != ".claims"]
            assert left == [], (told, room)


@pytest.fixture
def study(project: Project) -> Study:
    return Study(project)


def went_well(result: Result, told: object) -> None:
    assert result.exit_code == 0, (told, result.stderr)
    assert "Traceback" not in result.stderr, (told, result.stderr)


def kill_at_random(study: Study, rng: random.Random, kills: int) -> None:
    done = 0
    while done < kills:
        study.salt(study.number + 1)
        told = []
        for _ in range(min(rng.randrange(2, 6), kills - done)):
            running = study.project.start("run", "-j2", "--json", start_new_session=True)
            time.sleep(rng.random() * rng.choice([0.6, 3.0, 3.0]))
            whom = rng.choice(["the main process", "all processes"])
            if whom == "all processes":
                os.killpg(running.pid, signal.SIGKILL)
            else:
                running.kill()
            stderr = running.communicate(timeout=30)[1]
            assert "Traceback" not in stderr, stderr
            told.append(whom)
            done += 1
        study.heals(told)
        study.is_sound(told)


def test_a_run_that_is_killed_at_random_leaves_nothing_wrong(study: Study) -> None:
    kill_at_random(study, random.Random(1), 5)


@pytest.mark.nightly
def test_a_run_that_is_killed_two_hundred_times_leaves_nothing_wrong(study: Study) -> None:
    kill_at_random(study, random.Random(2), 200)


def damage(path: Path, others: list[Path], rng: random.Random) -> str:
    """Damage a file as disks and people do."""
    how = rng.choice(["flip", "flip", "truncate", "zero", "append", "delete", "swap", "empty"])
    data = bytearray(path.read_bytes())
    before = path.stat()
    path.chmod(0o600)
    start = rng.randrange(len(data) + 1)
    if how == "delete":
        path.unlink()
        return how
    elif how == "flip" and data:
        data[start - 1] ^= 1 << rng.randrange(8)
    elif how == "truncate":
        del data[start:]
    elif how == "zero":
        data[start : start + 4096] = bytes(len(data[start : start + 4096]))
    elif how == "append":
        data += bytes(rng.choice([1, 4096]))
    elif how == "empty":
        data.clear()
    elif how == "swap":
        other = rng.choice(others)
        data, held = bytearray(other.read_bytes()), data
        other.chmod(0o600)
        other.write_bytes(held)
    if rng.random() < 0.5:
        path.unlink(missing_ok=True)
    path.write_bytes(data)
    if rng.random() < 0.7:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    return how


def damage_at_random(study: Study, rng: random.Random, times: int) -> None:
    study.salt(1)
    went_well(study.project.run("-j2"), "the first run")
    done = 0
    while done < times:
        if rng.random() < 0.2:
            study.salt(study.number + 1)
        told = []
        for _ in range(min(rng.choice([1, 1, 1, 3, 6]), times - done)):
            files = sorted(path for path in study.project.cache.rglob("*") if path.is_file())
            path = rng.choice(files)
            told.append((damage(path, files, rng), str(path.relative_to(study.project.cache))))
            done += 1
        if rng.random() < 0.2:
            shutil.rmtree(study.project.root / "out", ignore_errors=True)
        study.heals(told)
        assert study.project.command("cache", "verify", "--repair").exit_code == 0, told
        study.is_sound(told)


def test_files_that_are_damaged_at_random_heal(study: Study) -> None:
    damage_at_random(study, random.Random(1), 12)


@pytest.mark.nightly
def test_files_that_are_damaged_five_hundred_times_heal(study: Study) -> None:
    damage_at_random(study, random.Random(2), 500)


SMALL_DISK = """
    import json, subprocess, sys
    from pathlib import Path
    size, when = sys.argv[1:]
    disk = Path("disk")
    disk.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(disk)], check=True)
    told = []

    def fill():
        with open(disk / "filler", "wb") as filler:
            try:
                while True:
                    filler.write(bytes(65536))
                    filler.flush()
            except OSError:
                pass

    def jpipe(*arguments, python=("-m", "jpipe")):
        done = subprocess.run([sys.executable, *python, *arguments], capture_output=True, text=True, timeout=120)
        told.append([" ".join(arguments), done.returncode, done.stdout, done.stderr])

    if when == "before":
        fill()
    elif when == "after a step":
        jpipe("run", "numbers", "--json")
        fill()
    jpipe("run", "-j2", "--json")
    jpipe(sys.argv[0], python=("-c", VALUE))
    for command in ["verify", "list", "size", "prune"]:
        jpipe("cache", command)
    (disk / "filler").unlink(missing_ok=True)
    subprocess.run(["mount", "-o", "remount,size=200m", str(disk)], check=True)
    jpipe("run", "-j2", "--json")
    jpipe("run", "-j2", "--json")
    jpipe("cache", "verify")
    told.append(sorted(path.name for path in disk.glob("cache/v1/tmp/*")))
    print(json.dumps(told))
"""


def in_own_namespace(study: Study, *command: str) -> list[Any]:
    """What a script prints that may mount disks of its own; they are gone when it ends."""
    done = subprocess.run(
        ["unshare", "-rm", sys.executable, *command],
        cwd=study.project.root,
        env={**os.environ, "JPIPE_CACHE_DIR": "disk/cache"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if "unshare:" in done.stderr or "mount:" in done.stderr:
        pytest.skip(done.stderr)
    assert done.returncode == 0, done.stderr
    told: list[Any] = json.loads(done.stdout)
    return told


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare for a small disk of its own")
@pytest.mark.parametrize(
    ("size", "when"), [("30m", "before"), ("30m", "after a step"), ("2m", "in the run"), ("13m", "in the run")]
)
def test_a_full_disk_loses_no_value_and_is_told_once(study: Study, size: str, when: str) -> None:
    study.salt(3)
    (study.project.root / "small.py").write_text(f"VALUE = {VALUE!r}\n" + textwrap.dedent(SMALL_DISK))
    *commands, left = in_own_namespace(study, "small.py", size, when)
    assert left == []
    for command, exit_code, _, stderr in commands:
        assert exit_code == 0, (command, stderr)
        assert "Traceback" not in stderr, (command, stderr)
    first = next(number for number, command in enumerate(commands) if command[0] == "run -j2 --json")
    (_, _, _, stderr), (_, _, value, _) = commands[first : first + 2]
    assert stderr.count("the disk is full") == 1, stderr
    assert json.loads(value.partition("value ")[2]) == truth(3)
    *_, healed, again, verified = commands
    assert "not kept" not in healed[3]
    assert f'"ran":0,"cached":{ITEMS}' in again[2], again
    assert "all sound" in verified[2]


READ_ONLY = """
    import json, subprocess, sys
    from pathlib import Path
    disk = Path("disk")
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100m", "none", str(disk)], check=True)
    told = []

    def jpipe(*arguments):
        done = subprocess.run([sys.executable, "-m", "jpipe", *arguments], capture_output=True, text=True, timeout=120)
        told.append([" ".join(arguments), done.returncode, done.stdout, done.stderr])

    jpipe("run", "-j2", "--json")
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    jpipe("run", "-j2", "--json")
    text = Path("pipeline.py").read_text()
    Path("pipeline.py").write_text(text.replace('"m" * 30_000', '"n" * 30_000'))
    jpipe("run", "-j2", "--json")
    jpipe("cache", "verify", "--repair")
    jpipe("cache", "prune", "--size", "1")
    jpipe("cache", "clear", "--yes")
    print(json.dumps(told))
"""


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare for a disk of its own")
def test_a_read_only_disk_gives_what_it_has_and_is_told_once(study: Study) -> None:
    study.salt(3)
    (study.project.root / "small.py").write_text(textwrap.dedent(READ_ONLY))
    first, cached, edited, *upkeep, clear = in_own_namespace(study, "small.py")
    assert f'"ran":{ITEMS},"cached":0' in first[2], first
    assert f'"ran":0,"cached":{ITEMS}' in cached[2], cached
    assert "not kept" not in cached[3]
    assert '"ran":13,"cached":93' in edited[2], edited
    assert edited[3].count("it cannot be written to") == 1, edited[3]
    assert [done[1] for done in (first, cached, edited, *upkeep)] == [0] * 5
    assert clear[1] == 2
    assert "cannot be written to" in clear[3]
    for done in (first, cached, edited, *upkeep, clear):
        assert "Traceback" not in done[3], done


def test_a_run_says_for_which_stopped_run_it_waits(project: Project) -> None:
    project.write(
        """
        import time
        from jpipe import map, pipeline, step

        @step(batch_size=1)
        def work(i):
            open(f"started-{i}", "w").close()
            time.sleep(1)
            return i

        @pipeline
        def main():
            return map(work, range(3))
        """
    )
    first = project.start("run", "-j2", start_new_session=True)
    while not list(project.root.glob("started-*")):
        time.sleep(0.01)
    time.sleep(0.2)
    os.killpg(first.pid, signal.SIGSTOP)
    second = project.start("run", "-j2", "--progress", "plain")
    assert second.stderr is not None
    lines = iter(second.stderr.readline, "")
    said = next(line for line in lines if "waits" in line)
    assert f"process {first.pid} on {os.uname().nodename} computes it" in said
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    second.communicate(timeout=60)
    assert second.returncode == 0
    assert project.run("-j2").counts == (0, 3)


def test_what_ran_and_what_was_found_are_the_same_even_of_results_that_are_not(project: Project) -> None:
    """A result that pickles with a loss, and one that differs each time, of two runs at once."""
    project.write(
        """
        import random, time
        from jpipe import pipeline, step

        class Fitted:
            def __init__(self):
                self.kept = self.lost = 1
            def __getstate__(self):
                return {"kept": self.kept}

        @step
        def fit():
            return Fitted()

        @step
        def look(fitted):
            return sorted(vars(fitted))

        @step
        def noise():
            time.sleep(0.5)
            return random.SystemRandom().random()

        @pipeline
        def main():
            fitted = fit()
            return [look(fitted), fitted, noise()]
        """
    )
    script = "import pipeline; a, b, c = pipeline.main.run(); print(a, sorted(vars(b)), c)"
    both = [
        subprocess.Popen([sys.executable, "-c", script], cwd=project.root, stdout=subprocess.PIPE, encoding="utf-8")
        for _ in range(2)
    ]
    said = {process.communicate(timeout=60)[0] for process in both}
    said.add(project.python("-c", script).stdout)
    (line,) = said
    assert line.startswith("['kept'] ['kept'] 0.")


def test_what_was_made_of_an_input_that_changed_meanwhile_is_not_kept(project: Project) -> None:
    project.write(
        {
            "pipeline.py": """
            import time
            from pathlib import Path
            from jpipe import pipeline, step

            @step
            def words():
                text = Path("input.txt").read_text()
                Path("read").touch()
                time.sleep(1)
                return text.split()

            @pipeline
            def main():
                return words()
            """,
            "input.txt": "old",
        }
    )
    running = project.start("run", "--json")
    while not (project.root / "read").exists():
        time.sleep(0.01)
    (project.root / "input.txt").write_text("new!")
    running.communicate(timeout=60)
    assert running.returncode == 0
    assert project.run().counts == (1, 0)
    assert "new!" in project.command("show", "words").stdout
    assert project.run().counts == (0, 1)


def test_an_idle_worker_ends_with_its_killed_main_process(project: Project) -> None:
    """It holds the streams of the command open: whoever reads them would wait for it."""
    project.write(
        """
        import os, time
        from jpipe import map, pipeline, step

        @step(batch_size=1)
        def work(i):
            open(f"{os.getpid()}.worker", "w").close()
            time.sleep(60)

        @pipeline
        def main():
            return map(work, [1, 2, 3, 4])
        """
    )
    for delay in (0.0, 0.1, 0.2, 0.4):
        running = project.start("run", "-j4")
        while not list(project.root.glob("*.worker")):
            time.sleep(0.01)
        time.sleep(delay)
        running.kill()
        running.communicate(timeout=10)
        for path in project.root.glob("*.worker"):
            path.unlink()
