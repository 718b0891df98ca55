"""Which of the user's own code runs in this process: told by the interpreter, each code object once.

`sys.monitoring` (Python 3.12 and newer) reports when a function begins or a generator goes on, in every thread. A code
object that was reported is left alone until the tracer is asked to start anew, so what runs often costs nothing.
"""

from __future__ import annotations

import linecache
import sys
import traceback
import warnings
from types import CodeType, ModuleType
from typing import Any

from jpipe.system.ownership import SOURCES, Owner, is_kind, is_users, module_file, owner_of

__all__ = ["TOO_OLD", "Code", "CodeTracer", "tracer"]

Code = tuple[str, str]
"""`(absolute file, qualified name)` of a code object."""
_NAME = "jpipe"
TOO_OLD = "this Python does not tell what runs: 3.12 and newer do"
_TOOLS = (4, 3)
"""Numbers that `sys.monitoring` gives to no kind of tool."""
_USERS = (Owner.USER, Owner.CELL)
_LINES = (linecache.getlines.__code__, linecache.updatecache.__code__)
"""Whoever wants source text of a module calls one of these, with the file as the first argument."""
_SHOWING = (traceback.__file__, warnings.__file__)
"""Those want lines of code that ran, to show them."""


class CodeTracer:
    """Notes which of the user's code runs.

    Attributes
    ----------
    is_active
        Whether it notes anything.
    obstacle
        Why it cannot, where it has tried to begin and does not.
    saw_imports
        Whether it was active before the first module of the user's was imported.
    everything
        All that it noted up to the last question.
    taken
        The code that was reported between the last two questions, packages' too, which look at what they are given.
    """

    def __init__(self) -> None:
        self.is_active = False
        self.obstacle: str | None = None
        self.saw_imports = False
        self.everything: set[Code] = set()
        self.taken: list[CodeType] = []
        self._seen: list[CodeType] = []
        self._thrown: dict[int, CodeType] = {}
        self._owners: dict[str, Owner] = {}
        self._lines: set[str] = set()

    def start(self) -> bool:
        """Begin to note; says whether it does, which it cannot on older Pythons or where its numbers are taken."""
        if self.is_active:
            return True
        monitoring: Any = getattr(sys, "monitoring", None)
        tool = None if monitoring is None else next((n for n in _TOOLS if monitoring.get_tool(n) is None), None)
        if tool is None:
            self.obstacle = TOO_OLD if monitoring is None else "other tools take all that Python can tell of what runs"
            return False
        append, thrown, disable = self._seen.append, self._thrown, monitoring.DISABLE
        (all_lines, new_lines), note_lines = _LINES, self._note_lines

        def began(code: CodeType, offset: int) -> Any:
            if code is all_lines or code is new_lines:
                note_lines(sys._getframe(1))
                return None
            append(code)
            return disable

        def thrown_into(code: CodeType, offset: int, error: BaseException) -> None:
            thrown[id(code)] = code

        self.saw_imports = not any(map(_is_own, list(sys.modules.values())))
        monitoring.use_tool_id(tool, _NAME)
        events = monitoring.events
        for event in (events.PY_START, events.PY_RESUME):
            monitoring.register_callback(tool, event, began)
        # A generator that an error is thrown into, or that is closed, goes on too; Python tells of that each time.
        monitoring.register_callback(tool, events.PY_THROW, thrown_into)
        monitoring.set_events(tool, events.PY_START | events.PY_RESUME | events.PY_THROW)
        self.is_active = True
        return True

    def restart(self) -> None:
        """Report again what was reported before."""
        self.take()
        monitoring: Any = sys.monitoring  # type: ignore[attr-defined]
        monitoring.restart_events()

    def take_lines(self) -> bool:
        """Whether code has asked for lines of the user's source since the last question, other than to show them."""
        asked = [self._lines.pop() for _ in range(len(self._lines))]
        return any(map(is_users, asked))

    def _note_lines(self, frame: Any) -> None:
        file = frame.f_locals.get(frame.f_code.co_varnames[0])
        while frame is not None and frame.f_code.co_filename == linecache.__file__:
            frame = frame.f_back
        if isinstance(file, str) and (frame is None or frame.f_code.co_filename not in _SHOWING):
            self._lines.add(file)

    def take(self) -> set[Code]:
        """The user's code that was reported since the last question."""
        while self._thrown:
            self._seen.append(self._thrown.popitem()[1])
        count = len(self._seen)
        found: set[Code] = set()
        self.taken = []
        for code in self._seen[:count]:
            file = code.co_filename
            owner = self._owners.get(file)
            if owner is None:
                owner = self._owners[file] = owner_of(file)
            if owner in _USERS:
                found.add((file, code.co_qualname))
            if owner is not Owner.JPIPE and owner is not Owner.PYTHON:
                self.taken.append(code)
        del self._seen[:count]
        self.everything |= found
        return found


def _is_own(module: object) -> bool:
    """Whether a loaded module is the user's; the script that Python was started with may be a command."""
    file = module_file(module) if is_kind(module, ModuleType) else None  # type: ignore[arg-type]
    return file is not None and file.endswith(SOURCES) and is_users(file)


tracer = CodeTracer()
"""This process's."""
