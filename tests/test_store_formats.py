"""Stores that earlier versions of jpipe wrote can be read, byte for byte as they are kept in `tests/stores`."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from jpipe.store import NewRecord, NoteKind, Store

STORES = Path(__file__).parent / "stores"


def maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make", STORES / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["format-1"])
def test_a_store_of_every_released_format_is_read(name: str, tmp_path: Path) -> None:
    make = maker()
    root = tmp_path / "cache"
    shutil.copytree(STORES / name, root)
    for path in [root, *root.rglob("*")]:
        path.chmod(0o700 if path.is_dir() else 0o600)
    store = Store.open(root, key=make.KEY)
    family = store.family(make.FAMILY)
    for value_name, value in make.VALUES.items():
        (record,) = family.find(make.key_of(value_name))
        np.testing.assert_equal(store.load(record.where), value)
        assert record.content == store.put(value).content, "the digest of a value changed: that needs a new format"
        assert record.arguments == (("x", value_name.encode().ljust(32, b"-")),)
        assert (record.reads, record.seconds, record.peak_memory) == ((make.READ,), 1.5, 4096)
        assert record.extra == b"extra"
        assert (record.parts is None) == (value_name != "small")
    assert store.read_note(NoteKind.MANIFEST, make.FAMILY) == b"a note"
    assert store.verify().sound
    store.publish(make.FAMILY, [NewRecord(b"n" * 32, store.put("new"))])
    assert len(Store.open(root, key=make.KEY).family(make.FAMILY)) == 4
