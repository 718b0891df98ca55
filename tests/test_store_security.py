"""Whoever can write into the cache cannot have code of theirs run, and cannot have other files changed."""

from __future__ import annotations

import os
import pickle
import shutil
import stat
import struct
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from blake3 import blake3

from jpipe.errors import CacheError, CacheFolderError
from jpipe.store import BlobPlace, CorruptEntry, MissingEntry, NewRecord, SigningKey, Store
from jpipe.store.format.blob import _COUNTS, _ENTRY, _HEADER
from jpipe.store.format.pack import PackBuilder

pytestmark = pytest.mark.usefixtures("one_job")

KEY = SigningKey(b"k" * 32)
FAMILY = b"f" * 32
MIB = 1 << 20


class Attack:
    """Leaves a trace when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.trace),)


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    return tmp_path / "code of the attacker ran"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "cache", key=KEY)


def attackers(store: Store) -> Store:
    """The same folder, in the hands of somebody without the key."""
    return Store.open(store.root, key=SigningKey(b"a" * 32))


def files(store: Store, room: str) -> list[Path]:
    return sorted(path for path in (store.root / "v1" / room).rglob("*") if path.is_file())


def overwrite(path: Path, data: bytes) -> None:
    path.chmod(0o600)
    path.write_bytes(data)


def test_records_of_another_key_do_not_count(store: Store, trace: Path) -> None:
    plant(store, trace, SigningKey(b"a" * 32))
    assert store.family(FAMILY).find(b"a" * 32) == ()
    assert not trace.exists()
    assert [problem.kind for problem in store.verify().problems] == ["foreign pack"]


def plant(store: Store, trace: Path, key: SigningKey) -> Path:
    """A pack with a value of the attacker's, signed with a key of theirs."""
    stored = store.put("harmless")
    payload = b"\0" + pickle.dumps(Attack(trace))
    builder = PackBuilder(FAMILY)
    builder.add(NewRecord(b"a" * 32, stored), payload, blake3(payload).digest(), 0.0)
    folder = Path(store.disk.family_folder(FAMILY))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ("0" * 40 + ".pack")
    path.write_bytes(b"".join(builder.chunks(key)))
    return path


def test_the_planted_value_would_run_if_it_were_signed(store: Store, trace: Path) -> None:
    """The attack of these tests works when nothing stands in its way."""
    plant(store, trace, KEY)
    store.load(store.family(FAMILY).find(b"a" * 32)[0].where)
    assert trace.exists()


def test_a_value_planted_into_a_signed_pack_is_not_unpickled(store: Store, trace: Path) -> None:
    attack = b"\0" + pickle.dumps(Attack(trace))
    store.publish(FAMILY, [NewRecord(b"a" * 32, store.put("x" * (len(attack) * 2)))])
    record = store.family(FAMILY).find(b"a" * 32)[0]
    (pack,) = files(store, "families")
    data = bytearray(pack.read_bytes())
    start = record.where.offset  # type: ignore[union-attr]
    data[start : start + len(attack)] = attack
    overwrite(pack, bytes(data))
    with pytest.raises(CorruptEntry):
        store.load(record.where)
    assert not trace.exists()


def test_a_pickle_planted_into_a_blob_is_not_unpickled(store: Store, trace: Path) -> None:
    for value in (np.arange(MIB), "x" * 100_000):
        place = store.put(value).where
        assert isinstance(place, BlobPlace)
        path = Path(store.disk.blobs.path(place.id))
        attack = pickle.dumps(Attack(trace))
        data = path.read_bytes()
        _, offset, length = _HEADER.unpack_from(data)
        overwrite(path, data[: offset + length - len(attack)] + attack)
        with pytest.raises(CorruptEntry):
            Store.open(store.root, key=KEY).load(place)
    assert not trace.exists()


def test_a_record_counts_for_its_own_key_and_family_only(store: Store) -> None:
    store.publish(FAMILY, [NewRecord(b"a" * 32, store.put("secret result"))])
    (pack,) = files(store, "families")
    other = Path(store.disk.family_folder(b"g" * 32))
    other.mkdir(parents=True)
    shutil.copy(pack, other / pack.name)
    assert Store.open(store.root, key=KEY).family(b"g" * 32).find(b"a" * 32) == ()


def test_a_forged_seal_does_not_vouch_for_a_blob(store: Store) -> None:
    place = store.put(np.arange(MIB)).where
    assert isinstance(place, BlobPlace)
    path = Path(store.disk.blobs.path(place.id))
    data = bytearray(path.read_bytes())
    data[5000] ^= 1
    overwrite(path, bytes(data))
    forger = attackers(store)
    from jpipe.store.disk.seals import Seals, identity_of

    folder, _, name = store.disk.blobs.path(place.id).rpartition("/")
    Seals(forger.disk.writer, forger.disk.key).write(folder, name, place.id, identity_of(path.stat()), durable=True)
    with pytest.raises(CorruptEntry):
        Store.open(store.root, key=KEY).load(place)


@pytest.mark.parametrize(
    ("offset", "length", "count", "first"),
    [
        (64, 2**63, 0, (64, 8)),
        (2**63, 64, 0, (64, 8)),
        (64, 200, 2**32 - 1, (64, 8)),
        (64, 200, 1, (2**63, 2**63)),
        (64, 200, 1, (0, 64)),
        (64, 200, 1, (64, 2**62)),
    ],
)
def test_lying_sizes_are_refused_before_memory_is_asked_for(
    store: Store, offset: int, length: int, count: int, first: tuple[int, int]
) -> None:
    control = (_COUNTS.pack(1, 1, count) + _ENTRY.pack(*first)).ljust(200, b"\0")
    blob = blake3(control).digest()
    path = Path(store.disk.blobs.path(blob))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_HEADER.pack(b"jpipebl1", offset, length) + control)
    with pytest.raises(CorruptEntry):
        store.load(BlobPlace(blob))


def test_lying_packs_are_refused_before_memory_is_asked_for(store: Store) -> None:
    folder = Path(store.disk.family_folder(FAMILY))
    folder.mkdir(parents=True)
    for number, sizes in enumerate([(2**63, 0, 1), (100, 2**63, 1), (100, 0, 2**32 - 1), (0, 0, 0)]):
        header = struct.pack("<8s8sQQI4x32s", b"jpipepk1", KEY.id, *sizes, b"")
        (folder / f"{number:040}.pack").write_bytes(header + bytes(100))
    assert len(store.verify().problems) == 4
    assert store.family(FAMILY).find(b"a" * 32) == ()
    assert store.verify().problems == (), "what is damaged is set aside when it is met"


def test_nothing_of_the_arguments_stands_on_disk_in_clear(store: Store) -> None:
    from joblib import Memory

    from jpipe.store import joblib_memory

    joblib_memory.register()

    def login(user: str, password: str) -> int:
        return len(user + password)

    memory = Memory(str(store.root.parent / "joblib-cache"), backend="jpipe", verbose=0)
    cached = memory.cache(login)
    assert cached("ada", password="hunter2hunter2") == 17
    shelved = cached.call_and_shelve("ada", password="hunter2hunter2")
    assert shelved.metadata["input_args"]["password"] == "'hunter2hunter2'"
    for path in (store.root.parent / "joblib-cache").rglob("*"):
        assert not path.is_file() or b"hunter2" not in path.read_bytes()
        assert "login" not in path.name


def test_only_the_user_may_read_what_is_kept(store: Store) -> None:
    store.publish(FAMILY, [NewRecord(b"a" * 32, store.put(np.ones(MIB)))])
    for path in (store.root / "v1").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) in ((0o700,) if path.is_dir() else (0o400, 0o600))


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_a_folder_that_others_can_write_to_is_refused_with_the_remedy(store: Store, mode: int) -> None:
    for path in (store.root, store.root / "v1"):
        path.chmod(mode)
        with pytest.raises(CacheFolderError, match=rf"{mode:o}") as caught:
            Store.open(store.root, key=KEY)
        subprocess.run(str(caught.value.hint), shell=True, check=True)
        Store.open(store.root, key=KEY)


def test_a_parent_that_everybody_can_write_to_is_refused_unless_sticky(tmp_path: Path) -> None:
    parent = tmp_path / "it's shared"
    parent.mkdir()
    parent.chmod(0o777)
    with pytest.raises(CacheFolderError, match="replace the cache") as caught:
        Store.open(parent / "cache", key=KEY)
    parent.chmod(0o1777)
    Store.open(parent / "cache", key=KEY)
    parent.chmod(0o777)
    subprocess.run(str(caught.value.hint), shell=True, check=True)
    Store.open(parent / "cache", key=KEY)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to others")
def test_a_folder_of_another_user_is_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in (store.root, store.root / "v1"):
        os.chown(path, 12345, 12345)
    Store.open(store.root, key=KEY)
    monkeypatch.setenv("SUDO_UID", "12345")
    with pytest.raises(CacheFolderError, match="sudo"):
        Store.open(store.root, key=KEY)
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    with pytest.raises(CacheFolderError, match="another user"):
        Store.open(store.root, key=KEY)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    Store.open(store.root, key=KEY)


def test_a_team_may_share_a_cache_with_a_key_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key_file = tmp_path / "team.key"
    key_file.write_bytes(b"t" * 32)
    key_file.chmod(0o640)
    monkeypatch.setenv("JPIPE_KEY_FILE", str(key_file))
    team = Store.open(tmp_path / "cache")
    published = team.publish(FAMILY, [NewRecord(b"a" * 32, team.put(np.ones(MIB)))])
    assert stat.S_IMODE(team.root.stat().st_mode) == 0o2770
    assert stat.S_IMODE((team.root / "v1" / published.paths[0]).stat().st_mode) == 0o440
    member = Store.open(tmp_path / "cache")
    assert member.load(member.family(FAMILY).find(b"a" * 32)[0].where).sum() == MIB
    monkeypatch.delenv("JPIPE_KEY_FILE")
    with pytest.raises(CacheFolderError):
        Store.open(tmp_path / "cache")


def test_links_in_the_place_of_folders_and_files_are_not_followed(store: Store, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    precious = victim / ("0" * 62)
    precious.write_text("precious")
    (store.root / "v1" / "blobs" / "ab").symlink_to(victim)
    shutil.rmtree(store.root / "v1" / "families")
    (store.root / "v1" / "families").symlink_to(victim)
    (store.root / "v1" / "tmp" / "x-1-x").symlink_to(precious)
    with pytest.warns(UserWarning, match="not kept"):
        store.publish(FAMILY, [NewRecord(b"a" * 32, store.put(1))])
    store.prune(0)
    store.verify(repair=True)
    store.clear()
    assert [path.name for path in victim.iterdir()] == [precious.name]
    assert precious.read_text() == "precious"


def test_a_link_to_a_cache_elsewhere_is_fine(store: Store, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(store.root)
    assert Store.open(tmp_path / "link", key=KEY).root == store.root


class TestTheKey:
    """The signing key is made once, kept private, and refused when it is not private."""

    def test_is_made_once_for_all_processes(self, tmp_path: Path) -> None:
        script = "from jpipe.store import SigningKey; print(SigningKey.load().secret.hex())"
        environment = {**os.environ, "XDG_CONFIG_HOME": str(tmp_path / "a"), "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-S", "-c", script]
        processes = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) for _ in range(12)]
        assert len({process.communicate()[0] for process in processes}) == 1
        key = tmp_path / "a" / "jpipe" / "key"
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        assert stat.S_IMODE(key.parent.stat().st_mode) == 0o700
        assert [path.name for path in key.parent.iterdir()] == ["key"]

    @pytest.mark.parametrize("mode", [0o644, 0o660, 0o604])
    def test_is_refused_when_others_can_see_it(self, tmp_path: Path, mode: int) -> None:
        key = tmp_path / "my key"
        SigningKey.load(key)
        key.chmod(mode)
        with pytest.raises(CacheError, match=f"{mode:o}") as caught:
            SigningKey.load(key)
        subprocess.run(str(caught.value.hint), shell=True, check=True)
        SigningKey.load(key)

    @pytest.mark.parametrize("content", [b"", b"short", b"x" * 33])
    def test_is_refused_when_it_is_no_key(self, tmp_path: Path, content: bytes) -> None:
        key = tmp_path / "key"
        key.write_bytes(content)
        key.chmod(0o600)
        with pytest.raises(CacheError, match="32 bytes"):
            SigningKey.load(key)
        assert key.read_bytes() == content

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to others")
    def test_is_refused_when_it_is_another_users(self, tmp_path: Path) -> None:
        key = tmp_path / "key"
        SigningKey.load(key)
        os.chown(key, 12345, 12345)
        with pytest.raises(CacheError, match="12345"):
            SigningKey.load(key)

    def test_never_shows_itself(self) -> None:
        assert "kkkk" not in repr(KEY)
        assert "kkkk" not in repr(Store)

    def test_losing_it_only_empties_the_cache(self, store: Store) -> None:
        store.publish(FAMILY, [NewRecord(b"a" * 32, store.put(1))])
        new = Store.open(store.root, key=SigningKey(b"n" * 32))
        assert new.family(FAMILY).find(b"a" * 32) == ()
        new.publish(FAMILY, [NewRecord(b"a" * 32, new.put(2))])
        assert new.load(new.family(FAMILY).find(b"a" * 32)[0].where) == 2
        assert store.load(store.family(FAMILY).find(b"a" * 32)[0].where) == 1


def test_a_cache_that_came_with_a_repository_is_all_misses(store: Store, trace: Path, tmp_path: Path) -> None:
    plant(store, trace, SigningKey(b"a" * 32))
    blob = store.put(np.ones(MIB)).where
    clone = tmp_path / "clone"
    shutil.copytree(store.root, clone)
    script = f"""
        from pathlib import Path
        from jpipe.store import Store
        store = Store.open(Path({str(clone)!r}))
        print(store.family(b"f" * 32).find(b"a" * 32))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "()"
    assert not trace.exists()
    assert isinstance(blob, BlobPlace)
    with pytest.raises(MissingEntry):
        Store.open(clone, key=KEY).load(BlobPlace(b"z" * 32))
