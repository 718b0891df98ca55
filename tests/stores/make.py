"""Makes the store of the current format that is kept here: ``python tests/stores/make.py``, before a release only."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from jpipe.store import NewRecord, NoteKind, PutOptions, Read, SigningKey, Store
from jpipe.store.disk.cache_folder import FORMAT

KEY = SigningKey(b"golden key of jpipe, not secret!")
FAMILY = b"family".ljust(32, b".")
READ = Read("data/raw.csv", "file", 12, 34, 56, b"d" * 32)
VALUES = {
    "small": {"k": [1, 2.5, "drei"]},
    "array": np.arange(3000.0),
    "mapped": np.arange(4000, dtype="i8") % 7,
}
OPTIONS = {"mapped": PutOptions(max_nbytes=16_384)}


def key_of(name: str) -> bytes:
    """The key of the call whose result is `name`."""
    return name.encode().ljust(32, b".")


def make(root: Path) -> None:
    """Fill a new store at `root`."""
    store = Store.open(root, key=KEY)
    records = [
        NewRecord(
            key_of(name),
            store.put(value, parts=True, options=OPTIONS.get(name, PutOptions())),
            (("x", name.encode().ljust(32, b"-")),),
            (READ,),
            1.5,
            4096,
            b"extra",
        )
        for name, value in VALUES.items()
    ]
    store.publish(FAMILY, records[:2])
    store.publish(FAMILY, records[2:])
    store.write_note(NoteKind.MANIFEST, FAMILY, b"a note")


if __name__ == "__main__":
    folder = Path(__file__).with_name(f"format-{FORMAT}")
    shutil.rmtree(folder, ignore_errors=True)
    make(folder)
