"""What code looks at: what the interpreter tells of opened files, listed folders and other doings."""

from __future__ import annotations

import contextlib
import os
import stat as stats
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

from jpipe.system.memoised import remember
from jpipe.system.ownership import SOURCES, STANDARD_MODULES, Owner, owner_of, top_level
from jpipe.system.safe_paths import busy
from jpipe.system.watch import Watch
from jpipe.system.watched_os import Told, folder_of_descriptor, install, plain_getcwd, plain_stat
from jpipe.system.who_asks import Asker, asker, takes_text

__all__ = ["log_of_children", "note_paths", "program_starts", "telling", "watching"]

program_starts: list[Callable[[], None]] = []
"""What is called before a program is started that may write to the standard streams."""

_watches: dict[int, Watch] = {}
_installed = False
_install = threading.Lock()


class watching:
    """Watch what this thread looks at; what threads of unknown origin look at counts for every active watch.

    Parameters
    ----------
    watch
        That of an item. Without it, what jpipe looks at for its own decisions counts too, and only the paths.
    """

    __slots__ = ("_before", "_thread", "_watch")

    def __init__(self, watch: Watch | None = None) -> None:
        _listen()
        self._watch = watch or Watch()

    def __enter__(self) -> Watch:
        self._thread = threading.get_ident()
        self._before = _watches.get(self._thread)
        _watches[self._thread] = self._watch
        return self._watch

    def __exit__(self, *error: object) -> None:
        self._watch.end()
        if self._before is None:
            del _watches[self._thread]
        else:
            _watches[self._thread] = self._before
            self._before.take(self._watch)


def log_of_children() -> str | None:
    """Where processes that work for the item of this thread are to write what they look at; None outside of items."""
    watch = _watches.get(threading.get_ident())
    log = None if watch is None else watch.before_children()
    if log is not None:
        watch.effects["a process was started"] = None  # type: ignore[union-attr]
    return log


@contextlib.contextmanager
def telling(log: str) -> Iterator[None]:
    """Write what this thread looks at to the file of the process that it works for."""
    _listen()
    thread = threading.get_ident()
    watch = Watch.of_child(log)
    before, _watches[thread] = _watches.get(thread), watch
    try:
        yield
    finally:
        if before is None:
            del _watches[thread]
        else:
            _watches[thread] = before
        watch.end_child()


def _listen() -> None:
    """Have Python and `os` tell of what is looked at, from the first time on."""
    global _installed
    if not _installed:
        with _install:
            if not _installed:
                sys.addaudithook(_audit)
                install(_TOLD)
                _installed = True


def note_paths(paths: Iterator[str] | list[str]) -> None:
    """Let what a run looked at count for the item in which the run took place."""
    watch = _watches.get(threading.get_ident())
    for path in paths if watch is not None else ():
        watch.read(path, relative=False)  # type: ignore[union-attr]


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    # Python tells of many things, many times an item: what nobody listens to ends here.
    if _watches and (handler := _HANDLERS.get(event)) is not None and not busy.now:
        handler(arguments)


def _opened(arguments: tuple[Any, ...]) -> None:
    path, mode, flags = arguments
    # The import system opens with mode "rb" and no flags at all; what is imported counts by its code.
    if isinstance(path, int) or (mode == "rb" and flags == 0):
        return
    who = asker(2)
    for watch in _active(who):
        full, relative = _place(path, watch)
        if full is None:
            continue
        way = _way(mode, flags)
        if way == "read":
            watch.read(full, relative=relative)
            if full.endswith(SOURCES) and takes_text(2):
                watch.take_text(full, by_user=who.is_users)
            if not watch.is_planning and full in watch.opened and not who.is_import:
                remember(full, watch.opened[full], relative, sys._getframe(2))
        elif way == "update":
            watch.update(full, relative=relative)
        else:
            watch.write(full, appends=way == "append")


def _way(mode: str | None, flags: int) -> str:
    """What an open may do: read, write anew, append, or update, which may as well only read."""
    access = flags & (os.O_WRONLY | os.O_RDWR)
    if access == os.O_RDWR:
        return "write" if flags & (os.O_TRUNC | os.O_EXCL) else "update"
    if access == os.O_WRONLY:
        return "append" if flags & os.O_APPEND else "write"
    if flags & os.O_CREAT:
        return "write"
    if mode is not None and flags == 0:
        return "write" if mode[0] in "wx" else "append" if mode[0] == "a" else "update" if "+" in mode else "read"
    return "read"


def _listed(arguments: tuple[Any, ...]) -> None:
    path = arguments[0] if arguments[0] is not None else "."
    if isinstance(path, int):
        path = folder_of_descriptor(path)
    who = asker(2)
    if path is None or who.is_import:
        return
    for watch in _active(who):
        full, relative = _place(path, watch)
        if full is not None:
            watch.list(full, relative=relative)


def _removed(arguments: tuple[Any, ...]) -> None:
    _made(arguments[0], arguments[-1])


def _renamed(arguments: tuple[Any, ...]) -> None:
    _made(arguments[0], arguments[2] if len(arguments) > 2 else -1)
    _made(arguments[1], arguments[3] if len(arguments) > 3 else -1, replaces=True)


def _linked(arguments: tuple[Any, ...]) -> None:
    """What is read under the new name is the file behind it."""
    for watch in _active(asker(2)):
        made, _ = _place(arguments[1], watch, arguments[-1])
        named, relative = _place(arguments[0], watch, arguments[2] if len(arguments) > 3 else -1)
        if len(arguments) == 3 and made is not None and relative:  # the text of a symbolic link
            named = os.path.join(os.path.dirname(made), os.fsdecode(arguments[0]))
        if named is not None and _isfile(named):
            watch.read(os.path.normpath(named), relative=relative)
    _made(arguments[1], arguments[-1])


def _unpickled(arguments: tuple[Any, ...]) -> None:
    module, name = arguments
    if top_level(module) not in STANDARD_MODULES:
        for watch in _active(asker(2)):
            watch.unpickle(module, name)


def _made(path: Any, descriptor: Any, *, replaces: bool = False) -> None:
    who = asker(3)
    for watch in _active(who):
        full, _ = _place(path, watch, descriptor if isinstance(descriptor, int) else -1)
        if full is not None:
            watch.write(full, appends=not replaces)


def _moved(arguments: tuple[Any, ...]) -> None:
    for watch in _active(asker(2)):
        if isinstance(arguments[0], int) or not os.path.isabs(os.fsdecode(arguments[0])):
            watch.uses_folder = True


def _connected(arguments: tuple[Any, ...]) -> None:
    """A database is opened by code in C, for reading or writing: one that is as it was afterwards was read."""
    try:
        path = os.fsdecode(arguments[0])
    except TypeError:
        return
    if path.startswith("file:"):
        path = path.removeprefix("file:").partition("?")[0]
    if path and not path.startswith(":") and _isfile(path):
        for watch in _active(asker(2)):
            full, relative = _place(path, watch)
            if full is not None:
                watch.update(full, relative=relative)
    _note_effect("a database was opened")


def _started(arguments: tuple[Any, ...]) -> None:
    """A script that a subprocess is given counts as read."""
    command, folder = arguments[1], arguments[2]
    who = asker(2)
    for word in _words(command):
        try:
            path: Any = os.path.join(folder or "", os.fspath(word))
            is_file = isinstance(path, str) and _isfile(path)
        except (TypeError, ValueError):
            continue
        for watch in _active(who) if is_file else ():
            full, relative = _place(path, watch)
            if full is not None:
                watch.read(full, relative=relative)
    for tell in program_starts:
        tell()
    _note_effect("a process was started")


def _run(arguments: tuple[Any, ...]) -> None:
    for tell in program_starts:
        tell()
    _note_effect("a process was started")


def _words(command: Any) -> list[Any]:
    """The words of a command; of one that a shell gets, roughly as the shell would split it."""
    words = list(command) if isinstance(command, (list, tuple)) else [command]
    return words + [part.strip("'\"") for text in words if isinstance(text, str) for part in text.split()[1:]]


def _effect(text: str) -> Any:
    return lambda arguments: _note_effect(text)


def _note_effect(effect: str) -> None:
    watch = _watches.get(threading.get_ident())
    if watch is not None and not _is_for_import(asker(3)):
        watch.effects[effect] = None


def _is_for_import(who: Asker) -> bool:
    """Whether an installed package does something because it is imported, such as looking for fonts the first time."""
    return who.is_package and who.is_import


def _forks(arguments: tuple[Any, ...]) -> None:
    own = _watches.get(threading.get_ident())  # whoever forks, jpipe's map too: the child may run code of the user's
    for watch in [own] if own is not None else list(_watches.values()):
        watch.before_children()
    _note_effect("a process was started")


def _in_child() -> None:
    for watch in _watches.values():
        watch.in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)

_HANDLERS = {
    "open": _opened,
    "os.listdir": _listed,
    "os.scandir": _listed,
    "os.rename": _renamed,
    "os.remove": _removed,
    "os.rmdir": _removed,
    "os.mkdir": _removed,
    "os.link": _linked,
    "os.symlink": _linked,
    "os.truncate": lambda arguments: _made(arguments[0], -1),
    "os.chdir": _moved,
    "pickle.find_class": _unpickled,
    "sqlite3.connect": _connected,
    "subprocess.Popen": _started,
    "os.system": _run,
    "os.posix_spawn": _run,
    "os.exec": _effect("a process was started"),
    "os.fork": _forks,
    "socket.connect": _effect("a connection was made"),
    "socket.getaddrinfo": _effect("a connection was made"),
}


def _active(who: Asker) -> list[Watch]:
    """The watches that an asker's doings count for: that of this thread; in one of unknown origin all."""
    own = _watches.get(threading.get_ident())
    watches = [own] if own is not None else list(_watches.values())
    return [watch for watch in watches if not watch.is_busy and (watch.is_planning or not who.is_own)]


def _place(path: Any, watch: Watch, descriptor: int = -1) -> tuple[str | None, bool]:
    """The absolute form of a path as the system follows it, and whether it was named from the current folder."""
    try:
        text = os.fsdecode(path)
    except (TypeError, ValueError):
        return None, False
    folder = folder_of_descriptor(descriptor) if descriptor >= 0 else _TOLD.folder.get(threading.get_ident())
    relative = folder is None and not os.path.isabs(text)
    try:
        here = plain_getcwd() if relative else folder or ""
    except OSError:
        return None, False
    if relative:
        watch.uses_folder = watch.uses_folder or here == watch.folder
    full = os.path.join(here, text)
    if os.pardir in text:
        # `link/../x` is beside what the link leads to.
        full = os.path.join(os.path.realpath(os.path.dirname(full)), os.path.basename(full))
    return os.path.abspath(full), relative


def _isfile(path: str) -> bool:
    try:
        return stats.S_ISREG(plain_stat(path).st_mode)
    except (OSError, ValueError):
        return False


def _look(path: str, traits: str, depth: int) -> None:
    who = asker(depth)
    if who.is_import:
        return
    for watch in _active(who):
        full, relative = _place(path, watch)
        if full is not None and who.is_own:
            # jpipe looks at a file in order to know whether it is as it was.
            watch.read(full, relative=relative)
            watch.look(full, "", relative=relative)
        elif full is not None:
            watch.look(full, traits, relative=relative)


def _link(path: str, depth: int) -> None:
    who = asker(depth)
    if who.is_import:
        return
    for watch in _active(who):
        full, relative = _place(path, watch)
        if full is not None:
            watch.follow(full, relative=relative)


def _kinds(path: str, depth: int) -> bool:
    """Note that the kinds of what is in a folder count; whether what is asked of its entries is to be told."""
    who = asker(depth)
    if who.is_import or who.is_own:
        return False
    for watch in _active(who):
        full, relative = _place(path, watch)
        if full is not None:
            watch.list(full, relative=relative, kinds=True)
    return not _is_standard(depth + 1)


def _is_standard(depth: int) -> bool:
    return owner_of(sys._getframe(depth).f_code.co_filename) is Owner.PYTHON


def _here(depth: int) -> None:
    who = asker(depth)
    if who.is_users and not who.is_import:
        code = sys._getframe(depth).f_code
        asks = code.co_name == "cwd" or owner_of(code.co_filename) in (Owner.USER, Owner.CELL)
        for watch in _active(who):
            watch.uses_folder = True
            watch.asks_folder |= asks  # else the standard library asks, in order to make a path of another one


_TOLD = Told(lambda: _watches and not busy.now, _look, _link, _kinds, _here)
