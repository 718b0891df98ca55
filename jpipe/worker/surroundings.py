"""The state that keys were made of, on its way to the processes that compute with it.

A worker imports the user's files anew. What a script set after that, and what is different whenever a file is imported,
is not there: variables of modules, attributes of classes, the environment, the current folder, warning filters, the
settings of numerical packages. The main process packs them before the first item runs, with the first chunk. A worker
takes them over; where it cannot, it refuses the chunk, and the main process does it.
"""

from __future__ import annotations

import contextlib
import contextvars
import io
import os
import pickle
import platform
import sys
import threading
import time
import types
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from jpipe.digest import digest
from jpipe.parallel.process_lifetime import is_worker
from jpipe.system import main_module
from jpipe.system.ownership import is_kind
from jpipe.system.package_settings import apply_settings, settings_here

__all__ = ["Surroundings", "Variable", "adopt", "difference", "pack", "put_filters", "umask", "variables_now"]

LARGE = 1 << 20
"""Values whose pickled form is larger are not sent, only compared, bytes."""
_OF_WORKERS = ("OMP_", "MKL_", "OPENBLAS_", "BLIS_", "VECLIB_", "NUMBA_NUM", "NUMEXPR_", "KMP_", "LOKY_", "JOBLIB_")
"""Variables that whoever starts workers sets for them: how many threads each may use."""
Variable = tuple[str, str, Any]
"""(module, qualified name in it, value) of what the fingerprints reached."""


class Surroundings(NamedTuple):
    """What a worker has to have in common with the main process.

    Parameters
    ----------
    token
        Tells these from others.
    pid, thread, host
        The main process, and its thread.
    process
        Pickled: the environment, the folder, warning filters and what belongs to the interpreter.
    variables
        Pickled: values by module and name, and the settings of packages.
    """

    token: bytes
    pid: int
    thread: int
    host: str
    process: bytes
    variables: bytes

    def for_cluster(self) -> Surroundings:
        """The same without the variables of the environment that the steps do not reach: some are secrets."""
        process: _Process = pickle.loads(self.process)
        reached = {name: value for name, value in process.environment.items() if name in process.reached}
        return self._replace(host="", process=pickle.dumps(process._replace(environment=reached), 5))

    def in_folder(self, folder: str) -> Surroundings:
        """The same with another current folder, where the machine does not have this one."""
        process: _Process = pickle.loads(self.process)
        return self._replace(process=pickle.dumps(process._replace(folder=folder), 5))


class _Process(NamedTuple):
    environment: Mapping[str, str]
    reached: tuple[str, ...]
    folder: str | None
    optimize: int
    filters: list[Any]
    recursion: int
    digits: int
    umask: int | None


class _Values(NamedTuple):
    sent: dict[tuple[str, str], bytes]
    compared: dict[tuple[str, str], bytes]
    settings: dict[str, Any]


class Refused(Exception):
    """This process cannot work with the state that the keys were made of; the message says what differs."""


def pack(variables: Iterable[Variable], reached: Iterable[str]) -> Surroundings:
    """The state of this process.

    Parameters
    ----------
    variables
        What the fingerprints reached.
    reached
        Names of the environment variables that they reached.
    """
    sent: dict[tuple[str, str], bytes] = {}
    compared: dict[tuple[str, str], bytes] = {}
    for module, name, value in variables:
        if module == "__main__":  # functions of it travel by value, with what they use
            continue
        value = _told(value)
        pickled = _pickled(value)
        if pickled is not None:
            sent[module, name] = pickled
        elif (found := _content(value)) is not None:
            compared[module, name] = found
    process = _Process(
        dict(os.environ),
        tuple(sorted(reached)),
        _folder(),
        sys.flags.optimize,
        _picklable(warnings.filters),
        sys.getrecursionlimit(),
        sys.get_int_max_str_digits(),
        umask(),
    )
    values = _Values(sent, compared, settings_here())
    packed = pickle.dumps(process, 5), pickle.dumps(values, 5)
    return Surroundings(os.urandom(8), os.getpid(), threading.get_ident(), platform.node(), *packed)


_thread = threading.local()
"""The token of what a thread of the main process took over last."""
_adopted: tuple[bytes, bytes] = b"", b""
"""The tokens of what this worker took over last: before modules were imported, and after."""


def adopt(given: Surroundings | None, *, imported: bool) -> None:
    """Take over the state of the main process, in a worker.

    Parameters
    ----------
    imported
        Whether the user's modules are imported by now: then the variables in them follow.

    Raises
    ------
    Refused
        When that is impossible.
    """
    global _adopted
    if given is not None and given.pid == os.getpid() and imported:
        _take_settings_of_thread(given)
    if given is None or given.pid == os.getpid() or _adopted[imported] == given.token:
        return
    if imported:
        _take_values(pickle.loads(given.variables))
        _adopted = _adopted[0], given.token
    else:
        _take_process(pickle.loads(given.process), is_own=given.host == platform.node() and is_worker())
        _adopted = given.token, b""


def difference(given: Surroundings | None, *, imported: bool) -> str | None:
    """`adopt`; what stands in its way."""
    try:
        adopt(given, imported=imported)
    except Refused as refused:
        return str(refused)
    return None


def _take_settings_of_thread(given: Surroundings) -> None:
    """Take over, in another thread of the main process, what each thread has of its own."""
    if threading.get_ident() != given.thread and getattr(_thread, "token", None) != given.token:
        values: _Values = pickle.loads(given.variables)
        apply_settings(values.settings, of_thread=True)
        for (module, name), pickled in values.sent.items():
            if is_kind(getattr(*_holder(module, name), None), _OF_THREADS):
                _take_value(module, name, pickled)
        _thread.token = given.token


def _take_process(wanted: _Process, *, is_own: bool) -> None:
    if wanted.optimize != sys.flags.optimize:
        raise Refused("a worker's interpreter checks assertions differently (python -O)")
    if wanted.folder is not None and _folder() != wanted.folder:
        try:
            os.chdir(wanted.folder)
        except OSError as error:
            raise Refused(f"a worker has no folder {wanted.folder}") from error
    names = {name for name in {*wanted.environment, *os.environ} if not name.startswith(_OF_WORKERS)}
    for name in names if is_own else wanted.reached:
        value = wanted.environment.get(name)
        if os.environ.get(name) != value:
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
            if name == "TZ" and hasattr(time, "tzset"):
                time.tzset()
    if wanted.filters and wanted.filters != warnings.filters:
        put_filters(wanted.filters)
    if sys.getrecursionlimit() != wanted.recursion:
        with contextlib.suppress(RecursionError):
            sys.setrecursionlimit(wanted.recursion)
    if sys.get_int_max_str_digits() != wanted.digits:
        sys.set_int_max_str_digits(wanted.digits)
    if is_own and wanted.umask is not None:
        os.umask(wanted.umask)


def put_filters(filters: Sequence[Any]) -> None:
    """Let these be the warning filters."""
    warnings.filters[:] = filters  # type: ignore[index]
    with warnings.catch_warnings():  # makes Python forget what the filters before said of warnings that were shown
        pass


def _take_values(wanted: _Values) -> None:
    apply_settings(wanted.settings)
    for (module, name), pickled in wanted.sent.items():
        _take_value(module, name, pickled)
    for (module, name), content in wanted.compared.items():
        holder, last = _holder(module, name)
        if _content(_own(holder, last)) != content:
            raise Refused(f"{module}.{name} was changed, and is too large to be sent")


def _take_value(module: str, name: str, pickled: bytes) -> None:
    holder, last = _holder(module, name)
    mine = _own(holder, last)
    if mine is not _MISSING and _pickled(_told(mine)) == pickled:
        return
    try:
        _set(holder, last, mine, main_module.loads(pickled))
    except Exception as error:
        raise Refused(f"a worker cannot set {module}.{name}: {error}") from error


_MISSING = object()
_OF_THREADS = (contextvars.ContextVar, threading.local)


class _Unset:
    """Stands for the value of a context variable that has none."""


def _told(value: Any) -> Any:
    """What of a variable travels: of those that are another in each thread, what they hold here."""
    if is_kind(value, contextvars.ContextVar):
        return value.get(_Unset)
    return dict(vars(value)) if is_kind(value, threading.local) else value


def _own(holder: Any, name: str) -> Any:
    """What something has under a name; a method or a property of a class as the class holds it."""
    found = vars(holder).get(name, _MISSING) if is_kind(holder, type) else _MISSING
    return getattr(holder, name, _MISSING) if found is _MISSING else found


def _holder(module: str, name: str) -> tuple[Any, str]:
    """What has the variable, and its name there."""
    *outer, last = name.split(".")
    try:
        holder: Any = sys.modules.get(module) or __import__(module, fromlist=[""])
        for part in outer:
            holder = holder[int(part)] if part.isdigit() else getattr(holder, part)
    except (ImportError, AttributeError, IndexError, TypeError) as error:
        raise Refused(f"a worker finds no {module}.{name}") from error
    return holder, last


def _set(holder: Any, name: str, mine: Any, value: Any) -> None:
    """Give a variable its value; an object that others may hold too is changed in place where that is possible."""
    kind = type(mine)
    if kind is contextvars.ContextVar:
        if value is _Unset:
            raise Refused(f"{name} is set in a worker")
        mine.set(value)
    elif is_kind(mine, threading.local):
        vars(mine).clear()
        vars(mine).update(value)
    elif kind is type(value) and kind in (dict, set):
        mine.clear()
        mine.update(value)
    elif kind is type(value) and kind in (list, bytearray):
        mine[:] = value
    elif kind is types.FunctionType:
        setattr(holder, name, value)
    elif kind is type(value) and type(getattr(mine, "__dict__", None)) is dict and not hasattr(kind, "__setstate__"):
        mine.__dict__.clear()
        mine.__dict__.update(value.__dict__)
    else:
        setattr(holder, name, value)


class _Limited(io.RawIOBase):
    """Takes a pickle up to a size."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self._size = 0

    def write(self, data: Any) -> int:
        view = memoryview(data)
        self._size += view.nbytes
        if self._size > LARGE:
            raise OverflowError
        self.parts.append(bytes(view))
        return view.nbytes


def _pickled(value: Any) -> bytes | None:
    """The pickled form of a value; None where it has none, or a large one."""
    # A function that goes by value has a copy of the globals of its module.
    for dump in (_dump,) if _functions_of(value) else (_dump, main_module.dump):
        limited = _Limited()
        try:
            dump(value, limited)
        except OverflowError:
            return None
        except Exception:
            continue
        pickled = b"".join(limited.parts)
        if dump is main_module.dump or b"__main__" not in pickled:
            return pickled
    return None


def _dump(value: Any, file: Any) -> None:
    pickle.Pickler(file, 5).dump(value)


def variables_now(variables: Iterable[Variable], reached: Iterable[str]) -> tuple[Any, ...]:
    """What the variables and the environment say now: equal while nothing was changed."""
    return (
        [
            (module, name, _pickled(_told(_own(*_holder(module, name)))) or id(value))
            for module, name, value in variables
        ],
        [(name, os.environ.get(name)) for name in reached],
    )


def _functions_of(value: Any) -> list[types.FunctionType]:
    """The functions of a method or a property as a class holds it."""
    if not hasattr(type(value), "__get__"):
        return []
    parts = (value, *(getattr(value, name, None) for name in ("__func__", "fget", "fset", "fdel")))
    return [part for part in parts if is_kind(part, types.FunctionType)]


def _content(value: Any) -> bytes | None:
    if functions := _functions_of(value):
        from jpipe.fingerprint.source.bytecode import code_digest

        return b"".join(code_digest(function.__code__) for function in functions)
    try:
        return digest(value).content
    except Exception:
        return None


def _picklable(filters: Iterable[Any]) -> list[Any]:
    found = list(filters)
    try:
        pickle.dumps(found)
    except Exception:
        return []
    return found


def umask() -> int | None:
    """Which rights new files are not given; None where asking would change it for a moment, for other threads too."""
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as file:
            return next((int(line.split()[1], 8) for line in file if line.startswith("Umask:")), None)
    except OSError:
        return None


def _folder() -> str | None:
    try:
        return os.getcwd()
    except OSError:
        return None
