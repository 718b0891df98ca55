"""Pickle values for another process of this machine, with their large arrays in files that are mapped there.

`pack` gives bytes; `unpack` gives the value back. An array of ``max_nbytes`` or more is left out of the bytes wherever
it sits (in a dict, a dataclass, a DataFrame): its memory is written to a file of a `SpillFolder` once, and the bytes
hold only where. An array that is already a view of a file on disk is never written again.
"""

from __future__ import annotations

import importlib
import io
import os
import pickle
import sys
import threading
from dataclasses import dataclass
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any

from jpipe.system.by_value import reduced as reduced_code

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from jpipe.parallel.spill import SpillFolder

__all__ = ["Packed", "Packer", "is_importable", "unpack"]

Reduced = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Packed:
    """A value on its way to another process.

    Parameters
    ----------
    data
        The pickle, without the large arrays.
    files
        Paths of the files with the large arrays, which have to stay until the value was unpacked.
    mapped
        Bytes in those files.
    """

    data: bytes
    files: tuple[str, ...] = ()
    mapped: int = 0


class Packer:
    """Packs values; equal arrays share one file.

    Parameters
    ----------
    folder
        Where large arrays go, or None to keep them in the pickle.
    max_nbytes
        Size from which an array is large, bytes; None for never.
    mmap_mode
        How they arrive: ``"c"`` copy-on-write, ``"r"`` read-only, None as a copy in memory (and the file is removed).
    by_content
        Whether arrays are told apart by content. Otherwise by identity, for arrays that nobody changes
        while they are packed.
    by_value
        Whether functions and classes that the other process cannot import are sent whole.
    """

    def __init__(
        self,
        folder: SpillFolder | None,
        max_nbytes: int | None,
        mmap_mode: str | None = "c",
        *,
        by_content: bool = False,
        by_value: bool = True,
    ) -> None:
        self._folder = folder if max_nbytes is not None else None
        self._max_nbytes = max_nbytes or 0
        self._mmap_mode = mmap_mode
        self._by_content = by_content
        self._by_value = by_value
        self._known: dict[Any, tuple[str, Any]] = {}
        self._used: dict[str, int] = {}

    def pack(self, value: Any) -> Packed:
        """Pickle a value, its large arrays into files.

        Raises
        ------
        Exception
            Whatever pickling raises for a value that cannot be pickled.
        """
        self._used = {}
        if not self._by_value:
            try:
                return self._packed(value, pickle.Pickler)
            except (pickle.PicklingError, AttributeError, TypeError):
                self._used = {}
        return self._packed(value, _by_value_pickler())

    def forget(self, file: str) -> None:
        """The file is about to be removed."""
        for key, (path, _) in list(self._known.items()):
            if path == file:
                del self._known[key]

    def _packed(self, value: Any, base: type[pickle.Pickler]) -> Packed:
        stream = io.BytesIO()
        pickler = _pickler_class(base)(stream, protocol=pickle.HIGHEST_PROTOCOL)
        pickler.reduce_array = self._reduce
        pickler.reach = reach = _Reach()
        with _reaching:
            try:
                pickler.dump(value)
            finally:
                reach.undo()
        return Packed(stream.getvalue(), tuple(self._used), sum(self._used.values()))

    def _reduce(self, array: np.ndarray[Any, Any]) -> Reduced | None:
        if self._mmap_mode is not None:
            mapped = _reduce_mapped(array)
            if mapped is not None:
                return mapped
        if self._folder is None or array.dtype.hasobject or array.nbytes < max(self._max_nbytes, 1):
            return None
        order, raw = _raw_bytes(array)
        key = _digest(raw) if self._by_content else id(array)
        known = self._known.get(key)
        path = known[0] if known else self._folder.write(raw)
        if path is None:
            return None
        # The array is kept alive, or another one could get its id.
        self._known[key] = (path, None if self._by_content else array)
        self._used[path] = array.nbytes
        if self._mmap_mode is None:
            return _read_file, (path, array.dtype, array.shape, order)
        return _map_file, (path, array.dtype, array.shape, order, self._mmap_mode)


def unpack(data: bytes) -> Any:
    """The value that `Packer.pack` made these bytes of."""
    return pickle.loads(data)


_classes: dict[type[pickle.Pickler], Any] = {}


def _pickler_class(base: type[pickle.Pickler]) -> Any:
    """A subclass of a pickler that asks about arrays."""
    if base not in _classes:
        _classes[base] = _with_arrays(base)
    return _classes[base]


def _with_arrays(base: type[pickle.Pickler]) -> Any:
    class ArrayPickler(base):  # type: ignore[valid-type, misc]
        """Asks `reduce_array` about each array, and `reach` to see to each function and class."""

        reduce_array: Callable[[Any], Reduced | None]
        reach: Callable[[Any], None]

        def reducer_override(self, value: Any) -> Any:
            numpy = sys.modules.get("numpy")
            if numpy is not None and type(value) in (numpy.ndarray, numpy.memmap):
                reduced = self.reduce_array(value)
                if reduced is not None:
                    return reduced
            elif isinstance(value, FunctionType | type):
                self.reach(value)
            elif type(value) is CodeType:
                return reduced_code(value)
            inherited = getattr(super(), "reducer_override", None)
            return NotImplemented if inherited is None else inherited(value)

    return ArrayPickler


_reaching = threading.RLock()
"""cloudpickle's register of modules is one for the whole process."""


class _Reach:
    """Has cloudpickle send whole what the other process cannot import."""

    def __init__(self) -> None:
        self._registered: list[Any] = []

    def __call__(self, value: Any) -> None:
        name = getattr(value, "__module__", None)
        cloudpickle = sys.modules.get("cloudpickle")
        if cloudpickle is None or not isinstance(name, str) or name == "__main__" or is_importable(name):
            return
        if name not in cloudpickle.list_registry_pickle_by_value():
            cloudpickle.register_pickle_by_value(sys.modules[name])
            self._registered.append(sys.modules[name])

    def undo(self) -> None:
        """Leave cloudpickle as it was."""
        for module in self._registered:
            sys.modules["cloudpickle"].unregister_pickle_by_value(module)


def _by_value_pickler() -> type[pickle.Pickler]:
    """The pickler that joblib was told to use (``LOKY_PICKLER``, ``set_loky_pickler``), else cloudpickle's."""
    reduction = sys.modules.get("joblib.externals.loky.backend.reduction")
    name = reduction.get_loky_pickler_name() if reduction is not None else os.environ.get("LOKY_PICKLER")
    pickler: type[pickle.Pickler] = importlib.import_module(name or "cloudpickle").Pickler
    return pickler


_importable: dict[str, bool] = {}


def is_importable(name: str) -> bool:
    """Whether importing `name` gives the module of that name that this process has.

    Not so for modules that were loaded from a path outside of ``sys.path``: a pipeline file, a test of pytest in
    importlib mode.
    """
    if name not in _importable:
        _importable[name] = _finds_itself(name)
    return _importable[name]


def _finds_itself(name: str) -> bool:
    module = sys.modules.get(name)
    if module is None or name in sys.builtin_module_names:
        return True
    path: Any = None
    spec = None
    parts = name.split(".")
    for depth in range(1, len(parts) + 1):
        spec = _find(".".join(parts[:depth]), path)
        if spec is None:
            return False
        path = spec.submodule_search_locations
    origin = getattr(module, "__file__", None)
    return origin is None or spec is None or spec.origin in (origin, None, "frozen", "built-in")


def _find(name: str, path: Any) -> Any:
    for finder in sys.meta_path:
        find = getattr(finder, "find_spec", None)
        spec = None if find is None else find(name, path)
        if spec is not None:
            return spec
    return None


def _digest(raw: memoryview) -> bytes:
    # Only generators of large arrays need it.
    import blake3

    return blake3.blake3(raw).digest()


def _raw_bytes(array: np.ndarray[Any, Any]) -> tuple[str, memoryview]:
    """The order of an array and its memory as bytes, copied only when it is not contiguous."""
    import numpy as np

    order = "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"
    plain = np.asarray(array.T if order == "F" else array, order="C")
    return order, plain.reshape(-1).view(np.uint8).data.cast("B")


def _reduce_mapped(array: np.ndarray[Any, Any]) -> Reduced | None:
    """How to map the same bytes of the same file, for a view of a file that both processes see alike.

    A copy-on-write map is left out: its changes are in this process only.
    """
    import numpy as np

    root: Any = array
    while isinstance(getattr(root, "base", None), np.ndarray):
        root = root.base
    name = getattr(root, "filename", None)
    if not isinstance(root, np.memmap) or name is None or root.mode == "c" or array.dtype.hasobject:
        return None
    if array.size == 0 or not os.path.exists(name):
        return None
    start = array.__array_interface__["data"][0]
    steps = [stride * (length - 1) for stride, length in zip(array.strides, array.shape, strict=True)]
    low = start + sum(step for step in steps if step < 0)
    high = start + sum(step for step in steps if step > 0) + array.itemsize
    offset = root.offset + low - root.__array_interface__["data"][0]
    mode = "r" if root.mode == "r" else "r+"
    return _map_view, (str(name), mode, offset, high - low, array.dtype, array.shape, array.strides, start - low)


def _map_view(
    name: str, mode: Any, offset: int, length: int, dtype: Any, shape: Any, strides: Any, start: int
) -> np.ndarray[Any, Any]:
    import numpy as np

    raw = np.memmap(name, np.uint8, mode, offset, (length,))
    view: np.ndarray[Any, Any] = np.ndarray.__new__(np.memmap, shape, dtype, raw, start, strides)
    return view


def _map_file(path: str, dtype: Any, shape: Any, order: Any, mode: Any) -> np.ndarray[Any, Any]:
    import numpy as np

    return np.memmap(path, dtype, mode, 0, shape, order)


def _read_file(path: str, dtype: Any, shape: Any, order: Any) -> np.ndarray[Any, Any]:
    import numpy as np

    flat: np.ndarray[Any, Any] = np.fromfile(path, np.uint8).view(dtype)
    os.unlink(path)
    return flat.reshape(shape, order=order)
