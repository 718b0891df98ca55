"""A cache that others had in hand: links, pipes and giants in it, another process at work in it, clocks that jump."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from jpipe.cli import command_line
from jpipe.decide.instant import answer
from jpipe.decide.rebuilder import is_expired
from jpipe.errors import CacheError, CacheFolderError, ExitCode
from jpipe.history.journal_writer import Journal, Opening
from jpipe.history.run_index import append_row, journal_folder
from jpipe.model.mermaid import mermaid_label
from jpipe.store import NewRecord, NoteKind, SigningKey, Store
from jpipe.store.care import verify as verifying
from jpipe.store.care.roots import living_since
from jpipe.store.disk import system
from jpipe.store.work_claims import WorkClaims
from jpipe.system import safe_paths as inside
from jpipe.worker.current_item import CurrentItem, died_on

if TYPE_CHECKING:
    from conftest import Project

pytestmark = pytest.mark.usefixtures("one_job")

KEY = SigningKey(b"k" * 32)
FAMILY, OTHER, NAME = b"f" * 32, b"o" * 32, b"n" * 32
ROOMS = ["families", "blobs", "notes", "roots", "locks", "pins", "tmp", "quarantine", "answers"]
DEEP = [
    "families/66",
    "families/66/" + "66" * 31,
    "families/6f",
    "blobs/*",
    "notes/journals",
    "notes/steps",
    "notes/steps/6e",
    "notes/current",
    "roots/" + "70" * 16,
]
MIB = 1 << 20


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "fsync", lambda descriptor: None)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store.open(tmp_path / "cache", key=KEY)
    use(store, FAMILY)
    return store


@pytest.fixture
def mine(tmp_path: Path) -> Iterator[Path]:
    """A folder of the user's, with files of every name that jpipe would take for its own; unharmed in the end."""
    mine = tmp_path / "mine"
    for name in ("thesis.txt", "keys", "0" * 62, "a" * 40 + ".pack", "host-1-ff", "runs.jsonl", f"run-{'0' * 16}",
                 "66/" + "0" * 62, "66" * 31 + "/" + "a" * 40 + ".pack", "current/1@x", "journals/runs.jsonl",
                 "deep/deeper/photo.jpg"):  # fmt: skip
        (mine / name).parent.mkdir(parents=True, exist_ok=True)
        (mine / name).write_text(name)
        os.utime(mine / name, (1e9, 1e9))
    before = tree(mine)
    yield mine
    assert tree(mine) == before


def tree(folder: Path) -> dict[str, tuple[str, float]]:
    """Everything in a folder, with contents and times."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): (path.read_text(), path.stat().st_mtime) for path in files}


def use(store: Store, family: bytes) -> None:
    """All that a run does with a cache."""
    store.saving.quiet = True
    pieces = [NewRecord(bytes([n]) * 32, store.put(value)) for n, value in enumerate([1, "x" * 20_000, np.ones(MIB)])]
    store.sync(store.publish(family, pieces).paths)
    store.write_note(NoteKind.STEP, NAME, b"note")
    store.forget_note(NoteKind.STEP, NAME)
    store.write_note(NoteKind.STEP, NAME, b"note")
    store.mark_reached(b"p" * 16, b"r" * 16, {family: [b"a" * 32]})
    store.pin()
    claims = WorkClaims(store.disk, "step")
    claims.take(family, [b"a" * 32])
    claims.release()
    for number in range(100):
        append_row(journal_folder(store.root), {"run": str(number), "padding": "x" * 3000})
    Journal(journal_folder(store.root), Opening("1", "p")).close()
    with CurrentItem(store.root) as current:
        current.begin(b"a" * 32)
    asked = answer.Asked("pipeline.py", None, (), (), str(store.root))
    answer.forget(asked)
    try:
        row = str(store.root.parent / "row")
        Path(row).write_text("what the last run gave", "utf-8")
        answer.write(asked, answer.Facts(), {"last_run": answer.last_run_at(row)}, KEY)
    except OSError:
        return


def keep_in_order(store: Store) -> None:
    """All that removes something."""
    for work in (
        lambda: died_on(store.root),
        lambda: living_since(store.disk),
        lambda: store.merge([FAMILY, OTHER]),
        lambda: store.prune(0),
        lambda: store.verify(repair=True),
        store.size,
        lambda: list(store.notes(NoteKind.STEP)),
        lambda: store.clear([FAMILY]),
        store.clear,
    ):
        try:
            work()
        except OSError as error:
            assert error.errno in (errno.ENOTDIR, errno.ELOOP, errno.ENOENT), error


def replace_by_link(store: Store, place: str, target: Path) -> Path:
    """A link in the place of something in the cache."""
    path = next((store.root / "v1").glob(place), store.root / "v1" / place)
    shutil.rmtree(path, ignore_errors=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)
    return path


@pytest.mark.parametrize("place", ROOMS)
@pytest.mark.parametrize("what", ["a link", "a file", "a link to nothing"])
def test_a_room_that_is_no_real_folder_is_refused_with_the_remedy(
    store: Store, mine: Path, place: str, what: str
) -> None:
    path = replace_by_link(store, place, mine if what == "a link" else mine / "not there")
    if what == "a file":
        path.unlink()
        path.write_text("a file")
    with pytest.raises(CacheFolderError, match=rf"v1/{place} should be a folder and is not") as caught:
        Store.open(store.root, key=KEY)
    subprocess.run(str(caught.value.hint), shell=True, check=True)
    assert Store.open(store.root, key=KEY).put(1).content


@pytest.mark.parametrize("place", [*ROOMS, *DEEP])
def test_nothing_is_written_or_removed_behind_a_link_that_appears(store: Store, mine: Path, place: str) -> None:
    other = Store.open(store.root, key=KEY)
    replace_by_link(store, place, mine)
    for one in (store, other):
        use(one, FAMILY)
        use(one, OTHER)
        keep_in_order(one)


@pytest.mark.parametrize("place", DEEP[::3])
def test_a_cache_that_comes_with_a_link_deep_inside_harms_nothing(store: Store, mine: Path, place: str) -> None:
    replace_by_link(store, place, mine)
    opened = Store.open(store.root, key=KEY)
    use(opened, FAMILY)
    keep_in_order(opened)
    use(opened, OTHER)
    keep_in_order(opened)


def test_a_folder_that_becomes_a_link_between_two_looks_is_not_followed(store: Store, mine: Path) -> None:
    """The check and the deed are one: somebody swaps the folder for a link as fast as they can."""
    room, aside = store.root / "v1" / "tmp", store.root / "v1" / "aside"
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            room.rename(aside)
            room.symlink_to(mine)
            room.unlink()
            aside.rename(room)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        for number in range(300):
            for name in ("thesis.txt", "keys"):
                for deed in (inside.unlink, lambda path: inside.replace(path, f"{path}.new")):
                    with pytest.raises(OSError):
                        deed(store.disk.folder.path("tmp", name))
            list(inside.entries(store.disk.folder.path("tmp"))) if number == 0 and room.is_dir() else None
    finally:
        stop.set()
        thread.join()


def giant(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


KINDS: dict[str, Callable[[Path], None]] = {
    "a pipe": os.mkfifo,
    "a link to a device": lambda path: path.symlink_to("/dev/zero"),
    "a giant": giant,
}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_file_in_the_place_of_files_is_a_miss(project: Project, kind: str) -> None:
    project.write("""
        import numpy as np
        from jpipe import map, pipeline, step

        @step
        def small(i):
            return np.full(200_000, i) if i == 7 else i

        @pipeline
        def main():
            return map(small, range(10))
        """)
    assert project.run("-j1").counts == (10, 0)
    for path in list((project.cache / "v1").rglob("*")):
        if path.is_file():
            path.unlink()
            KINDS[kind](path)
    for words in (["log"], ["history"], ["cache", "list"], ["cache", "verify"], ["run", "-j1"], ["cache", "prune"]):
        done = project.command(*words)
        assert done.exit_code != ExitCode.BUG and "Traceback" not in done.stderr, (words, done.stderr)
        if words[0] == "run":
            assert done.exit_code == 0, done.stderr
    assert project.run("-j1").exit_code == 0
    assert project.command("cache", "clear", "-y").exit_code == 0
    assert project.run("-j1").exit_code == 0


def test_verify_does_not_call_damaged_what_a_run_writes_meanwhile(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    check, packs = verifying._check_blobs, verifying.pack_files

    def run_meanwhile(*arguments: Any) -> Any:
        result = check(*arguments)
        store.publish(OTHER, [NewRecord(b"z" * 32, store.put(np.arange(MIB)))])
        return result

    def prune_meanwhile(disk: Any) -> Any:
        found = list(packs(disk))
        store.clear([FAMILY])
        return found

    monkeypatch.setattr(verifying, "_check_blobs", run_meanwhile)
    assert store.verify().sound
    assert store.verify(repair=True).sound
    reader = Store.open(store.root, key=KEY)
    assert reader.load(reader.family(OTHER).find(b"z" * 32)[0].where)[5] == 5
    monkeypatch.setattr(verifying, "pack_files", prune_meanwhile)
    assert store.verify(repair=True).sound


def test_verify_still_finds_what_is_gone_or_damaged(store: Store) -> None:
    blobs = sorted(path for path in (store.root / "v1" / "blobs").rglob("*") if path.is_file() and not path.suffix)
    blobs[0].unlink()
    blobs[1].chmod(0o600)
    blobs[1].write_bytes(b"x" + blobs[1].read_bytes()[1:])
    found = store.verify()
    assert sorted(problem.kind for problem in found.problems if not problem.harmless) == [
        "damaged blob", "missing blob", "missing blob"]  # fmt: skip
    store.verify(repair=True)
    assert store.verify().sound


@pytest.mark.parametrize(
    ("age", "expires", "expired"),
    [
        *[(10, 3600, False), (3600, 3600, True), (1e9, 3600, True)],
        *[(-10, 3600, False), (-1e7, 3600, True), (-1e7, None, False)],
    ],
)
def test_results_of_a_time_when_the_clock_was_wrong_expire(
    store: Store, age: float, expires: float | None, expired: bool
) -> None:
    record = store.family(FAMILY).find(bytes([0]) * 32)[0]
    assert is_expired(record, expires, record.created + age) is expired


def test_a_clock_that_jumps_ends_no_item(project: Project) -> None:
    project.write("""
        import time
        from jpipe import map, pipeline, step

        @step(timeout=60)
        def slow(i):
            time.sleep(1.5)
            return i

        @pipeline
        def main():
            now = time.time
            time.time = lambda: now() + 1_000_000  # in this process: the clock was set meanwhile
            return map(slow, range(2))
        """)
    done = project.run("-j2", "--backend", "loky")
    assert done.counts == (2, 0), done.stderr


@pytest.mark.parametrize("address", ["s3://bucket/study", "gs://b", "https://host/cache", "azure+abfs://x/y"])
def test_a_cache_at_an_address_is_refused_instead_of_made_here(
    project: Project, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project.root)
    with pytest.raises(CacheFolderError, match="looks like an address"):
        Store.open(Path(address), key=KEY)
    monkeypatch.setenv("JPIPE_CACHE_DIR", address)
    for words in (["run"], ["status"], ["cache", "list"], ["log"]):
        assert command_line.call(words) == ExitCode.USAGE
    assert [path.name for path in project.root.iterdir()] == ["jpipe.toml"]


def refusals(folder: Path) -> dict[str, tuple[OSError, str]]:
    def failed(number: int, path: str) -> OSError:
        return OSError(number, os.strerror(number), path)

    return {
        "forbidden": (failed(errno.EACCES, inside.inside(folder, "v1", "blobs", "ab")), "chmod u+rwX"),
        "disk": (failed(errno.EIO, inside.inside(folder, "v1", "notes")), "the cache cannot be used"),
        "descriptors": (failed(errno.EMFILE, "/anything"), "ulimit -n"),
    }


@pytest.mark.parametrize("what", ["forbidden", "disk", "descriptors"])
def test_what_the_system_refuses_is_said_and_no_bug(
    project: Project, what: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    error, told = refusals(project.cache)[what]

    def refused(*_: Any) -> None:
        try:
            raise error
        finally:
            if what == "descriptors":
                raise RuntimeError("what a library makes of it")

    monkeypatch.chdir(project.root)
    Store.open(project.cache)
    monkeypatch.setattr("jpipe.cli.cache.by_step", refused)
    assert command_line.call(["cache", "list"]) == ExitCode.USAGE
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("room", ["v1", "notes", "families", "blobs"])
def test_a_room_that_may_not_be_read_is_said_with_the_remedy(
    store: Store, room: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: access(path, mode) and not path.endswith(room))
    with pytest.raises(CacheFolderError, match=f"{room} cannot be read") as caught:
        Store.open(store.root, key=KEY)
    assert "chmod u+rwx" in str(caught.value.hint)


def test_the_teams_key_has_to_be_there_and_a_home_that_is_a_file_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "home").write_text("a file")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home" / ".config"))
    with pytest.raises(CacheError, match=r"signing key .* cannot be read: Not a directory"):
        Store.open(tmp_path / "cache")
    monkeypatch.setenv("JPIPE_KEY_FILE", str(tmp_path / "team.key"))
    with pytest.raises(CacheError, match="there is no such file"):
        Store.open(tmp_path / "cache")
    assert not (tmp_path / "team.key").exists()


def test_a_cache_that_is_cleared_while_a_run_uses_it_costs_nothing_but_time(project: Project) -> None:
    project.write("""
        import time
        import numpy as np
        from jpipe import map, pipeline, step

        @step(batch_size=1)
        def large(i):
            time.sleep(0.05)
            return np.full(200_000, i)

        @step
        def total(arrays):
            return float(sum(array.sum() for array in arrays))

        @pipeline
        def main():
            return total(map(large, range(40)))
        """)
    running = project.start("run", "-j2")
    for _ in range(4):
        while running.poll() is None and not list((project.cache / "v1" / "blobs").glob("*/*")):
            continue
        shutil.rmtree(project.cache, ignore_errors=True)
    _, stderr = running.communicate(timeout=120)
    assert running.returncode == 0, stderr
    assert project.run("-j2").exit_code == 0


def test_names_cannot_tell_a_terminal_what_to_do_through_a_graph() -> None:
    assert mermaid_label('a\x1b[31m"b"\n<i>\x9b#\u202e') == "a\\x1b[31m#quot;b#quot;\\n#lt;i#gt;\\x9b#35;\\u202e"
    assert mermaid_label("größe ×3") == "größe ×3"
