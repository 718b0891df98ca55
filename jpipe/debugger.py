"""Call an item under a debugger: at the raise, or from its first line."""

from __future__ import annotations

import asyncio
import bdb
import importlib
import os
import pdb
import sys
from collections.abc import Callable
from types import ModuleType, TracebackType
from typing import Any

from jpipe.debugging import PreparedItem
from jpipe.system.error_record import ErrorRecord, record_error
from jpipe.system.ownership import JPIPE_FOLDER

__all__ = ["Debugged", "debug"]



class Debugged:
    """What became of an item under the debugger: its `value`, or the `error` that it raised; none where it was left."""

    def __init__(self, value: Any = None, error: ErrorRecord | None = None, *, was_left: bool = False) -> None:
        self.value = value
        self.error = error
        self.was_left = was_left


class _Tracer(pdb.Pdb):
    """pdb, which tells whether it was left before the function returned."""

    was_left = False

    def set_quit(self) -> None:
        self.was_left = True
        super().set_quit()


def debug(item: PreparedItem, *, trace: bool = False) -> Debugged:
    """Call an item in this process, with nothing captured; where it raises, open the debugger there.

    Parameters
    ----------
    trace
        Stop at the function's first line.

    Notes
    -----
    ``PYTHONBREAKPOINT`` chooses the debugger, as for ``breakpoint()``: ``ipdb.set_trace`` means ipdb, ``0`` none.
    """
    debugger = _chosen(os.environ.get("PYTHONBREAKPOINT", ""))
    args, kwargs = item.spread()
    item.seed()
    try:
        value = _traced(debugger, item.function, args, kwargs) if trace else item.function(*args, **kwargs)
        return Debugged(asyncio.run(_waited(value)) if hasattr(value, "__await__") else value)
    except bdb.BdbQuit:
        return Debugged(was_left=True)
    except Exception as error:
        record = record_error(error)
        sys.stderr.write(record.traceback)
        if debugger is not None:
            _post_mortem(debugger, error, record)
        return Debugged(error=record)


async def _waited(value: Any) -> Any:
    return await value


def _chosen(name: str) -> ModuleType | None:
    """The debugger that PYTHONBREAKPOINT means."""
    if name == "0":
        return None
    module = name.rpartition(".")[0]
    if module:
        try:
            found = importlib.import_module(module)
        except ImportError:
            sys.stderr.write(f"PYTHONBREAKPOINT={name} cannot be imported: pdb is used\n")
            return pdb
        if hasattr(found, "post_mortem"):
            return found
    return pdb


def _traced(debugger: ModuleType | None, function: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]) -> Any:
    runcall = getattr(debugger, "runcall", None)
    if debugger is not pdb and runcall is not None:
        return runcall(function, *args, **kwargs)
    opened = _Tracer()
    value = opened.runcall(function, *args, **kwargs)
    if opened.was_left:
        raise bdb.BdbQuit
    return value


def _post_mortem(debugger: ModuleType, error: BaseException, record: ErrorRecord) -> None:
    tb = error.__traceback__
    while tb is not None and tb.tb_next is not None and tb.tb_frame.f_code.co_filename.startswith(JPIPE_FOLDER):
        tb = tb.tb_next
    if debugger is pdb:
        _opened_at_users_line(tb, record)
    else:
        debugger.post_mortem(tb)


def _opened_at_users_line(tb: TracebackType | None, record: ErrorRecord) -> None:
    """pdb, at the innermost frame of the user's own code: the raise itself is often deep in a library."""
    below = 0
    for frame in reversed(record.frames):
        if frame[3]:
            break
        below += 1
    opened = pdb.Pdb()
    if 0 < below < len(record.frames):
        opened.rcLines.append(f"up {below}")
    opened.reset()
    opened.interaction(None, tb)
