"""Results as a file in the form that its ending names."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jpipe.compare.arrays import is_array
from jpipe.compare.tables import is_table
from jpipe.errors import UsageError
from jpipe.render.value_text import plain_value, value_text
from jpipe.report.picture import png_bytes
from jpipe.report.thumbnails import pixels_of_array
from jpipe.system.figures import is_figure, is_image

__all__ = ["ENDINGS", "export"]


def export(path: Path, values: Mapping[str, Any]) -> None:
    """Write results.

    Parameters
    ----------
    path
        Where to; the ending says the form.
    values
        By label. Several become the rows of a table, the members of an archive, or a list.

    Raises
    ------
    UsageError
        For an ending that is not known, values that have no such form, or a file that cannot be written.
    """
    write = ENDINGS.get(path.suffix.lower())
    if write is None:
        raise UsageError(f"-o {path}: no form goes by that ending", hint=f"end it in {', '.join(ENDINGS)}")
    try:
        write(path, values)
    except OSError as error:
        hint = "name a file in a folder that exists"
        raise UsageError(f"cannot write {path}: {error.strerror or error}", hint=hint) from None
    except ImportError as error:
        raise UsageError(f"-o {path} needs a package that is not installed: {error}") from None


def _csv(path: Path, values: Mapping[str, Any]) -> None:
    table = _table(path, values)
    if hasattr(table, "write_csv"):
        table.write_csv(path)
    else:
        table.to_csv(path, index=type(table.index).__name__ != "RangeIndex")


def _parquet(path: Path, values: Mapping[str, Any]) -> None:
    table = _table(path, values)
    if hasattr(table, "write_parquet"):
        table.write_parquet(path)
    else:
        table.to_parquet(path)


def _npy(path: Path, values: Mapping[str, Any]) -> None:
    import numpy as np

    np.save(path, np.asarray(_one(values)), allow_pickle=False)


def _npz(path: Path, values: Mapping[str, Any]) -> None:
    import numpy as np

    single: Any = _one(values) if len(values) == 1 else values
    parts: Mapping[Any, Any] = {"value": single}
    if isinstance(single, Mapping):
        parts = single
    elif isinstance(single, (list, tuple)):
        parts = dict(enumerate(single))
    arrays: dict[str, Any] = {str(name): np.asarray(value) for name, value in parts.items()}
    if any(array.dtype == object for array in arrays.values()):
        raise _refused(path, single)
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)


def _png(path: Path, values: Mapping[str, Any]) -> None:
    value = _one(values)
    if is_figure(value):
        value.savefig(path, format="png", dpi=200)
    elif is_image(value):
        value.save(path, format="PNG")
    elif is_array(value) and getattr(value, "ndim", 0) in (2, 3):
        path.write_bytes(png_bytes(pixels_of_array(value, most=None)))
    elif isinstance(getattr(value, "path", None), (str, Path)) and str(value.path).lower().endswith(".png"):
        shutil.copyfile(value.path, path)
    else:
        raise _refused(path, value)


def _json(path: Path, values: Mapping[str, Any]) -> None:
    plain = [plain_value(value) for value in values.values()]
    path.write_text(json.dumps(plain[0] if len(plain) == 1 else plain, indent=2) + "\n", "utf-8")


def _pickle(path: Path, values: Mapping[str, Any]) -> None:
    path.write_bytes(pickle.dumps(_one(values) if len(values) == 1 else list(values.values())))


def _text(path: Path, values: Mapping[str, Any]) -> None:
    path.write_text("\n".join(value_text(value, 120) for value in values.values()) + "\n", "utf-8")


ENDINGS: dict[str, Callable[[Path, Mapping[str, Any]], None]] = {
    ".csv": _csv,
    ".parquet": _parquet,
    ".npy": _npy,
    ".npz": _npz,
    ".png": _png,
    ".json": _json,
    ".pkl": _pickle,
    ".txt": _text,
}


def _table(path: Path, values: Mapping[str, Any]) -> Any:
    """A table: one as it is, else a row for each item, and of a list for each of its elements."""
    single: Any = _one(values) if len(values) == 1 else None
    if single is not None and is_table(single):
        return single.to_frame() if not hasattr(single, "columns") else single
    import pandas as pd

    if is_array(single) and single.ndim in (1, 2):
        return pd.DataFrame(single)
    rows = single if isinstance(single, (list, tuple)) else [single] if single is not None else list(values.values())
    if all(isinstance(row, Mapping) for row in rows):
        table = pd.DataFrame(list(rows))
    elif all(isinstance(row, (int, float, str, bool, type(None))) or getattr(row, "shape", None) == () for row in rows):
        table = pd.DataFrame({"value": list(rows)})
    else:
        raise _refused(path, single if single is not None else rows[0])
    return table.set_index(pd.Index(list(values), name="item")) if single is None else table


def _one(values: Mapping[str, Any]) -> Any:
    if len(values) != 1:
        raise UsageError(f"{len(values)} items do not go into one such file", hint="--item N chooses one")
    return next(iter(values.values()))


def _refused(path: Path, value: Any) -> UsageError:
    hint = "end it in .pkl, or in .txt for its text"
    return UsageError(f"a {type(value).__name__} cannot be written as {path.suffix}", hint=hint)
