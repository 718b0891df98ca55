"""A colleague's run is one's cache: results go to an address and come from there, checked, and nothing else does."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import yaml

from jpipe.decide.remote_cache import remote_of
from jpipe.errors import ExitCode, JpipeError, RemoteCacheError
from jpipe.settings import settings_for
from jpipe.store import BlobPlace, NewRecord, NoteKind, PutOptions, SigningKey, Store
from jpipe.store.remote.address import Address
from jpipe.store.remote.push import push
from jpipe.store.remote.remote import Remote

if TYPE_CHECKING:
    from conftest import Project

ROOT = Path(__file__).parents[1]
KEY = "5e" * 32
STUDY = """
    import numpy as np
    from jpipe import map, pipeline, step

    @step
    def numbers(n: int) -> list[int]:
        return list(range(n))

    @step
    def square(x: int) -> int:
        return x * x

    @step
    def large(n: int):
        return np.arange(300_000) + n

    @step
    def total(xs, array) -> int:
        return sum(xs) + int(array[-1])

    @pipeline
    def main(n: int = 4):
        return total(map(square, numbers(n)), large(n))
"""


@pytest.fixture
def team(project: Project, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Project]:
    """Clones of one study by name, each with a cache and a signing key of its own, that share an address."""
    key = project.root / "team.key"
    key.write_text(KEY + "\n", "utf-8")
    key.chmod(0o600)

    def clone(name: str) -> Project:
        one = type(project)(project.root / name)
        address = (project.root / "bucket").as_uri()
        settings = f'[tool.jpipe]\nremote = "{address}"\nremote_key = "{key.as_posix()}"\njobs = 1\n'
        one.write({"pipeline.py": STUDY, "pyproject.toml": settings})
        return one

    monkeypatch.setenv("PYTHONWARNINGS", "error::UserWarning")
    return clone


def own_key(name: str) -> dict[str, str]:
    return {
        "XDG_CONFIG_HOME": str(Path(os.environ["XDG_CONFIG_HOME"]) / name),
        "APPDATA": os.environ["XDG_CONFIG_HOME"],
    }


def test_what_a_colleague_computed_is_not_computed_again(team: Callable[[str], Project]) -> None:
    ann, ben, cleo = team("ann"), team("ben"), team("cleo")
    first = ann.run(json=False, env=own_key("ann"))
    assert "records went to" in first.stderr

    plan = ben.plan(env=own_key("ben"))
    assert (plan["up_to_date"], plan["fresh"], plan["remote"]) == (True, 7, 7)
    # To ask changed nothing.
    assert "7 of the cached come from the remote cache" in ben.command("plan", env=own_key("ben")).stdout
    assert not any((ben.cache / "v1" / "blobs").rglob("*")), "nothing needs the large array yet"
    ran = ben.run(env=own_key("ben"))
    assert ran.counts == (0, 7)
    ben.edit("pipeline.py", "array[-1])", "array[-1]) + 1")
    changed = ben.run(json=False, env=own_key("ben"))
    assert "1 ran, 6 cached" in changed.stderr
    assert ben.command("show", env=own_key("ben")).stdout == "300018\n"

    pulled = json.loads(cleo.command("cache", "pull", "--json", env=own_key("cleo")).stdout)
    assert pulled["pulled"]["nbytes"] > 2_400_000
    assert pulled["refused"] == []
    offline = {**own_key("cleo"), "JPIPE_REMOTE": "off"}
    assert cleo.run(env=offline).counts == (0, 7)
    assert cleo.command("show", env=offline).stdout == "300017\n"
    assert (
        json.loads(cleo.command("cache", "pull", "--all", "--json", env=own_key("cleo")).stdout)["pulled"]["results"]
        == 1
    )


def test_a_poisoned_result_is_computed_again_and_mended(team: Callable[[str], Project]) -> None:
    ann, ben = team("ann"), team("ben")
    ann.run(env=own_key("ann"))
    (blob,) = (path for path in (ann.root.parent / "bucket" / "v1" / "blobs").rglob("*") if path.is_file())
    blob.chmod(0o600)
    blob.write_bytes(blob.read_bytes()[:-10_000])
    ben.edit("pipeline.py", "array[-1])", "array[-1]) + 1")
    ran = ben.run(json=False, env=own_key("ben"))
    assert "an entry of" in ran.stderr and "was refused: its bytes are not what its name stands for" in ran.stderr
    assert ben.command("show", env=own_key("ben")).stdout == "300018\n"
    checked = team("cleo").command("cache", "pull", "--json", env=own_key("cleo"))
    assert (checked.exit_code, json.loads(checked.stdout)["refused"]) == (0, []), "ben's run put a sound one there"


def test_without_an_answer_a_run_goes_on(team: Callable[[str], Project]) -> None:
    ann = team("ann")
    (ann.root / "a file").touch()
    nowhere = {"JPIPE_REMOTE": (ann.root / "a file" / "below").as_uri()}
    ran = ann.run(json=False, env=nowhere)
    assert (ran.exit_code, ran.stderr.count("the remote cache does not answer")) == (0, 1)
    assert "7 ran" in ran.stderr
    asked = ann.command("plan", "--set", "n=5", env=nowhere)
    assert (asked.exit_code, asked.stderr.count("does not answer")) == (0, 1)
    pushed = ann.command("cache", "push", env=nowhere)
    assert pushed.exit_code == 2 and "NotADirectoryError" in pushed.stderr


def test_what_cannot_be_meant_is_refused_with_the_remedy(team: Callable[[str], Project], tmp_path: Path) -> None:
    ann = team("ann")
    keys = {"readable": (KEY, 0o644), "short": ("5e" * 10, 0o600)}
    for name, (text, mode) in keys.items():
        (ann.root / name).write_text(text, "utf-8")
        (ann.root / name).chmod(mode)
    wrong = [
        ({"JPIPE_REMOTE": "bucket/study"}, "write an address such as s3://bucket/study"),
        ({"JPIPE_REMOTE_KEY": "nowhere.key"}, "secrets.token_hex(32)"),
        ({"JPIPE_REMOTE_KEY": str(ann.root / "short")}, "is not a jpipe key"),
        ({"JPIPE_REMOTE": "nosuch://x/y"}, "cannot be used"),
        *([({"JPIPE_REMOTE_KEY": str(ann.root / "readable")}, "chmod 640")] if os.name == "posix" else []),
    ]
    for env, remedy in wrong:
        with pytest.raises(JpipeError) as refused:
            remote = remote_of(Store.open(tmp_path / "cache", key=TEAM), settings_for(ann.root, {}, env))
            assert remote is not None
            remote.bring([FAMILY])
        assert remedy in f"{refused.value} {refused.value.hint}", env
        assert refused.value.exit_code == ExitCode.USAGE
    for env, words, remedy in [
        ({"JPIPE_REMOTE": "off"}, ["cache", "push"], "no remote cache is set"),
        ({"JPIPE_REMOTE": "http://127.0.0.1/x"}, ["cache", "push"], "can only be read"),
        ({}, ["run", "--cache-dir", "s3://bucket/x"], "an address goes into the setting remote"),
    ]:
        answer = ann.command(*words, env=env)
        assert (answer.exit_code, remedy in answer.stderr) == (2, True), (env, answer.stderr)
    assert not list(ann.root.glob("s3*"))


# -- the bucket itself -------------------------------------------------------------------------------------------------

FAMILY, OTHER = b"f" * 32, b"o" * 32
TEAM = SigningKey(bytes.fromhex(KEY))


def cache(folder: Path, bucket: Path, own: bytes, team: SigningKey = TEAM) -> Store:
    store = Store.open(folder, key=SigningKey(own * 32))
    store.remote = Remote(store.disk, store.saving, store.family, Address(bucket.as_uri()), team)
    return store


def key_of(number: int) -> bytes:
    return number.to_bytes(32, "big")


def put(store: Store, family: bytes, values: dict[int, Any]) -> None:
    records = [
        NewRecord(key_of(number), store.put(value, options=PutOptions(max_nbytes=1000)))
        for number, value in values.items()
    ]
    store.publish(family, records)


def has(store: Store, family: bytes) -> dict[int, Any]:
    """What the cache gives after it asked the remote one."""
    assert store.remote is not None
    store.remote.bring([family])
    found = {}
    for key in store.family(family).keys():
        for record in store.family(family).find(key):
            if store.has(record.where):
                with contextlib.suppress(LookupError):
                    found[int.from_bytes(key, "big")] = store.load(record.where)
    return found


def objects(bucket: Path, kind: str) -> list[Path]:
    return sorted(path for path in (bucket / "v1" / kind).rglob("*") if path.is_file())


@pytest.fixture
def bucket(tmp_path: Path) -> Path:
    """Small and large results of two families, of the team's key."""
    ann = cache(tmp_path / "ann", tmp_path / "bucket", b"a")
    put(ann, FAMILY, {1: "one", 2: np.arange(5000), 3: "three"})
    put(ann, OTHER, {1: "another one", 4: np.ones(5000)})
    assert ann.remote is not None
    assert push(ann.remote, [FAMILY, OTHER]).results == 5
    return tmp_path / "bucket"


def flipped(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.chmod(0o600)
    path.write_bytes(data)


def pack_of(bucket: Path, family: bytes) -> Path:
    (pack,) = (bucket / "v1" / "packs" / family.hex()).iterdir()
    return pack


def blob_with(bucket: Path, family: bytes) -> Path:
    """The large result of a family: 2 has numbers from 0, 4 has ones."""
    first = np.arange(5000) if family == FAMILY else np.ones(5000)
    (blob,) = (path for path in objects(bucket, "blobs") if first.tobytes() in path.read_bytes())
    return blob


def rename_to_its_bytes(path: Path) -> None:
    """What somebody does who knows how packs are named and has no key."""
    from blake3 import blake3

    path.rename(path.with_name(blake3(path.read_bytes()).hexdigest(20) + ".pack"))


def signed_by_another(bucket: Path) -> None:
    shutil.rmtree(bucket)
    other = cache(bucket.parent / "mallory", bucket, b"m", SigningKey(b"m" * 32))
    put(other, FAMILY, {1: "evil", 2: "evil"})
    assert other.remote is not None
    push(other.remote, [FAMILY])


def local_pack_of_the_same_key(bucket: Path) -> None:
    """A pack of a cache whose own key is the team's was not meant for the address."""
    other = Store.open(bucket.parent / "shared", key=TEAM)
    put(other, FAMILY, {1: "not meant for this"})
    (pack,) = (bucket.parent / "shared").rglob("*.pack")
    there = pack_of(bucket, FAMILY)
    there.unlink()
    shutil.copy(pack, there)
    rename_to_its_bytes(there)


SMALL = {1: "one", 3: "three"}
TAMPERINGS: dict[str, tuple[Callable[[Path], object], dict[int, Any], str]] = {
    "a bit of a record": (lambda b: flipped(pack_of(b, FAMILY), 90), {}, "changed after it was pushed"),
    "a bit of a small result": (lambda b: flipped(pack_of(b, FAMILY), -2), {}, "changed after it was pushed"),
    "a bit, renamed": (
        lambda b: (flipped(pack_of(b, FAMILY), 90), rename_to_its_bytes(pack_of(b, FAMILY))), {}, "signature is wrong"),
    "a small result, renamed": (
        lambda b: (flipped(pack_of(b, FAMILY), -2), rename_to_its_bytes(pack_of(b, FAMILY))), {}, "a value is damaged"),
    "cut off": (
        lambda b: os.truncate(pack_of(b, FAMILY), 300), {}, "cut off"),
    "emptied, renamed": (
        lambda b: (os.truncate(pack_of(b, FAMILY), 0), rename_to_its_bytes(pack_of(b, FAMILY))), {}, "cut off"),
    "another step's": (
        lambda b: shutil.copy(pack_of(b, OTHER), pack_of(b, FAMILY).parent), {**SMALL, 2: None}, "signature is wrong"),
    "under another name": (
        lambda b: shutil.copy(pack_of(b, FAMILY), pack_of(b, FAMILY).with_name("0" * 40 + ".pack")), {**SMALL, 2: None},
        "changed after it was pushed"),
    "another key": (signed_by_another, {}, "another key"),
    "a shared cache's": (local_pack_of_the_same_key, {}, "another key"),
    "a bit of an array": (lambda b: flipped(blob_with(b, FAMILY), 5000), SMALL, "not what its name stands for"),
    "an array's pickle": (lambda b: flipped(blob_with(b, FAMILY), -3), SMALL, "not what its name stands for"),
    "another array": (
        lambda b: shutil.copy(blob_with(b, OTHER), blob_with(b, FAMILY)), SMALL, "not what its name stands for"),
    "a short array": (lambda b: os.truncate(blob_with(b, FAMILY), 40), SMALL, "not what its name stands for"),
    "no array": (lambda b: blob_with(b, FAMILY).unlink(), SMALL, "it is not there"),
    "strange names": (
        lambda b: (pack_of(b, FAMILY).parent / "x.pack").write_text("x"), {**SMALL, 2: None}, ""),
}  # fmt: skip


@pytest.mark.parametrize("form", TAMPERINGS)
def test_a_tampered_bucket_gives_nothing_wrong_and_heals(bucket: Path, tmp_path: Path, form: str) -> None:
    tamper, left, why = TAMPERINGS[form]
    for path in objects(bucket, "."):
        path.chmod(0o600)
    tamper(bucket)
    ben = cache(tmp_path / "ben", bucket, b"b")
    assert ben.remote is not None
    got = has(ben, FAMILY)
    assert {number: None if isinstance(value, np.ndarray) else value for number, value in got.items()} == left
    if 2 in got:
        assert np.array_equal(got[2], np.arange(5000))
    refused = list(ben.remote.refused.values())
    assert [why in refusal.why for refusal in refused] == [True] * bool(why)
    wrong = {problem.kind for problem in ben.verify().problems if not problem.harmless}
    assert wrong <= {"missing blob"}, "nothing of it is in this cache"

    put(
        ben,
        FAMILY,
        {number: value for number, value in {1: "one", 2: np.arange(5000), 3: "three"}.items() if number not in left},
    )
    push(ben.remote, [FAMILY])
    assert has(cache(tmp_path / "cleo", bucket, b"c"), FAMILY).keys() == {1, 2, 3}


def test_what_was_pushed_and_pulled_moves_once(bucket: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moved: list[str] = []
    for method in ("read", "fetch", "write", "send"):
        before = getattr(Address, method)

        def counted(self: Address, *arguments: Any, _before: Any = before, _method: str = method) -> Any:
            moved.append(_method)
            return _before(self, *arguments)

        monkeypatch.setattr(Address, method, counted)
    for _ in range(2):
        ben = cache(tmp_path / "ben", bucket, b"b")
        assert has(ben, FAMILY).keys() == {1, 2, 3}
        assert ben.remote is not None and push(ben.remote, [FAMILY]).results == 0
    assert sorted(moved) == ["fetch", "read"]

    put(ben, FAMILY, {number: f"value {number}" for number in range(10, 200)})
    ben.merge([FAMILY])
    assert push(ben.remote, [FAMILY]).results == 190, "and not what came from there"
    assert sorted(moved) == ["fetch", "read", "write"]
    ben.clear()
    assert has(cache(tmp_path / "ben", bucket, b"b"), FAMILY).keys() == {1, 2, 3, *range(10, 200)}, "it comes again"


def test_an_interrupted_push_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ann = cache(tmp_path / "ann", tmp_path / "bucket", b"a")
    put(ann, FAMILY, {number: np.full(3000, number) for number in range(40)})
    assert ann.remote is not None
    sent: list[str] = []
    send = Address.send

    def until_it_breaks(self: Address, path: str, name: str) -> None:
        if len(sent) >= 25:
            raise RemoteCacheError("gone")
        sent.append(name)
        send(self, path, name)

    monkeypatch.setattr(Address, "send", until_it_breaks)
    with pytest.raises(RemoteCacheError, match="gone"):
        push(ann.remote, [FAMILY])
    assert has(cache(tmp_path / "ben", tmp_path / "bucket", b"b"), FAMILY) == {}, "no record names what is not there"
    there = len(objects(tmp_path / "bucket", "blobs"))
    monkeypatch.setattr(Address, "send", lambda self, path, name: (sent.append(name), send(self, path, name)))
    again = cache(tmp_path / "ann", tmp_path / "bucket", b"a")
    assert again.remote is not None and push(again.remote, [FAMILY]).results == 40
    assert len(sent) == 25 + 40 - there
    assert len(has(cache(tmp_path / "cleo", tmp_path / "bucket", b"c"), FAMILY)) == 40


def test_results_of_code_that_was_not_seen_stay_at_home(tmp_path: Path) -> None:
    ann = cache(tmp_path / "ann", tmp_path / "bucket", b"a")
    put(ann, FAMILY, {1: "one"})
    put(ann, OTHER, {1: "one"})
    ann.write_note(NoteKind.MORE, FAMILY, b"")
    assert ann.remote is not None
    sent = push(ann.remote, [FAMILY, OTHER])
    assert (sent.results, sent.unseen) == (1, 1)
    assert not (tmp_path / "bucket" / "v1" / "packs" / FAMILY.hex()).exists()


def test_a_value_comes_although_nobody_asked_for_its_record(bucket: Path, tmp_path: Path) -> None:
    ann = Store.open(tmp_path / "ann", key=SigningKey(b"a" * 32))
    (record,) = ann.family(FAMILY).find(key_of(2))
    assert isinstance(record.where, BlobPlace)
    ben = cache(tmp_path / "ben", bucket, b"b")
    assert np.array_equal(ben.load(record.where), np.arange(5000))
    with pytest.raises(LookupError):
        ben.load(BlobPlace(b"x" * 32))
    assert ben.remote is not None and not ben.remote.refused, "nobody promised that one"


# -- a real server -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def s3() -> Iterator[dict[str, str]]:
    """The environment of a process that uses an S3 server of this machine, with a bucket ``team``."""
    for module in ("moto.server", "s3fs"):
        pytest.importorskip(module)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    code = f"import sys; from moto.server import main; main(['-H', '127.0.0.1', '-p', '{port}'])"
    server = subprocess.Popen([sys.executable, "-W", "ignore", "-c", code], stderr=subprocess.DEVNULL)
    env = {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "JPIPE_REMOTE": "s3://team/study",
        "JPIPE_REMOTE_OPTIONS": f"endpoint_url={url}",
        "PYTHONWARNINGS": "default",
    }
    try:
        make = f"import s3fs; s3fs.S3FileSystem(endpoint_url={url!r}).mkdir('team')"
        for _ in range(60):
            done = subprocess.run(
                [sys.executable, "-c", make], env={**os.environ, **env}, capture_output=True, check=False
            )
            if done.returncode == 0:
                break
            time.sleep(0.5)
        else:
            pytest.fail(f"no S3 server: {done.stderr!r}")
        yield env
    finally:
        server.kill()
        server.wait()


@pytest.mark.slow
def test_a_bucket_on_a_real_s3_server(team: Callable[[str], Project], s3: dict[str, str]) -> None:
    ann, ben, cleo = team("ann"), team("ben"), team("cleo")
    assert "records went to s3://team/study" in ann.run(json=False, env={**s3, **own_key("ann")}).stderr
    assert ben.plan(env={**s3, **own_key("ben")})["remote"] == 7
    assert ben.run(env={**s3, **own_key("ben")}).counts == (0, 7)
    assert cleo.command("cache", "pull", env={**s3, **own_key("cleo")}).exit_code == 0
    assert cleo.run(env={**own_key("cleo"), "JPIPE_REMOTE": "off"}).counts == (0, 7)
    assert cleo.command("show", env={**own_key("cleo"), "JPIPE_REMOTE": "off"}).stdout == "300017\n"

    ben.edit("pipeline.py", "array[-1])", "array[-1]) + 1")
    many = ben.run("--set", "n=200", json=False, env={**s3, **own_key("ben")})
    assert "199 ran, 4 cached" in many.stderr and "records went to" in many.stderr
    listed = _s3(s3, "print(len(fs.find('team/study/v1/packs')))")
    assert int(listed.stdout) < 12, "small results go together"

    tamper = """
        for name in fs.find('team/study'):
            data = fs.cat_file(name)
            fs.pipe_file(name, data[:-9] + bytes(9))
    """
    _s3(s3, tamper)
    dora = team("dora")
    again = dora.run(json=False, env={**s3, **own_key("dora")})
    assert "7 ran" in again.stderr and again.stderr.count("was refused") >= 4
    assert dora.command("show", env={**s3, **own_key("dora")}).stdout == "300017\n"

    no_bucket = ann.command("cache", "push", env={**s3, **own_key("ann"), "JPIPE_REMOTE": "s3://nobody/x"})
    assert (no_bucket.exit_code, "bucket does not exist" in no_bucket.stderr) == (2, True)
    begun = time.monotonic()
    nobody = ann.run("--set", "n=5", json=False, env={**s3, "JPIPE_REMOTE_OPTIONS": "endpoint_url=http://127.0.0.1:9"})
    assert (nobody.exit_code, nobody.stderr.count("does not answer")) == (0, 1)
    assert time.monotonic() - begun < 60


def _s3(env: dict[str, str], code: str) -> subprocess.CompletedProcess[str]:
    import textwrap

    url = env["JPIPE_REMOTE_OPTIONS"].partition("=")[2]
    source = f"import s3fs\nfs = s3fs.S3FileSystem(endpoint_url={url!r})\n{textwrap.dedent(code)}"
    run = partial(subprocess.run, capture_output=True, encoding="utf-8", check=True)
    return run([sys.executable, "-c", source], env={**os.environ, **env})


def job_of(name: str, is_main: bool, values: dict[str, str]) -> tuple[dict[str, str], list[str]]:
    """The environment and the commands of the job that the page shows for a service, with what the service fills in."""
    page = (ROOT / "docs" / "how-to" / "share-a-remote-cache.md").read_text("utf-8")
    (block,) = re.findall(rf"^## {name}$.*?^```yaml$(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    for told, filled in {**values, "${{ github.ref == 'refs/heads/main' }}": str(is_main).lower()}.items():
        block = block.replace(told, filled)
    assert "${{" not in block, "everything is filled in that the service would"
    job = yaml.load(block, yaml.BaseLoader)  # all that a job is given is text
    if "results" in job:
        return job["results"]["variables"], job["results"]["script"]
    steps = [step for step in job["jobs"]["results"]["steps"] if "run" in step]
    keys = {name: value for step in steps for name, value in step.get("env", {}).items()}
    return {**job["jobs"]["results"]["env"], **keys}, [step["run"] for step in steps]


@pytest.mark.skipif(os.name == "nt", reason="the recipes are for POSIX shells")
@pytest.mark.parametrize("service", ["GitHub Actions", "GitLab"])
def test_the_recipes_for_continuous_integration_share_results(project: Project, service: str) -> None:
    """With a folder in place of the bucket, and without what installs; the second checkout computes nothing."""
    (project.root / "work" / "bucket").mkdir(parents=True)
    for name, ran in (("first", 7), ("second", 0)):
        checkout = type(project)(project.root / "work" / name)
        checkout.write({"pipeline.py": STUDY})
        values = {
            "s3://our-bucket/study": (project.root / "work" / "bucket").as_uri(),
            "/tmp/team.key": str(project.root / "work" / f"{name}.key"),
            "${{ github.workspace }}": str(checkout.root),
            "${{ secrets.RESULTS_KEY }}": KEY,
            "${{ secrets.AWS_ACCESS_KEY_ID }}": "id",
            "${{ secrets.AWS_SECRET_ACCESS_KEY }}": "secret",
        }
        variables, commands = job_of(service, name == "first", values)
        environment = {**os.environ, **own_key(name), "RESULTS_KEY": KEY, **variables}
        for command in (line for line in commands if not line.startswith("pip ")):
            called = command.replace("jpipe run", f"{shlex.quote(sys.executable)} -m jpipe run --json -j1")
            done = subprocess.run(
                ["sh", "-c", called], cwd=checkout.root, env=environment, capture_output=True, text=True
            )
            assert done.returncode == 0, done.stderr
        end = json.loads(done.stdout.splitlines()[-1])
        assert (end["event"], end["ran"], end["cached"]) == ("run_end", ran, 7 - ran)
