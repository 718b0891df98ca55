"""What was looked at while an item ran, or while a plan was made, and what of it counts as an input."""

from __future__ import annotations

import os
import stat as stats
import sys
from collections.abc import Callable, Sequence
from typing import Any

from jpipe.files import FileDigests, Read
from jpipe.system.child_reads import ChildReads
from jpipe.system.computed_imports import candidates, file_of
from jpipe.system.input_files import Boundary
from jpipe.system.memoised import mark_of, remember, remembered
from jpipe.system.ownership import SOURCES, Owner, is_users, owner_of, top_level
from jpipe.system.watched_os import plain_getcwd, plain_stat

__all__ = ["Watch"]

Seen = tuple[int, int] | None
LARGEST_OUTPUT = 256 << 20
"""Of larger files that an item makes only the size counts, bytes."""


class Watch:
    """What was looked at while it was active.

    Parameters
    ----------
    files
        Tells what there is to see, in an item. Without it, what jpipe looks at for its own decisions counts too.

    Attributes
    ----------
    opened
        By absolute path: (mtime_ns, size) when it was first opened for reading; None when there was nothing.
    texts
        Absolute paths of Python files that were opened for their text, not to import them; True where the user's own
        code did so, for which it is data like any other.
    updated
        The same of what was opened for reading and writing: unchanged afterwards, it was read.
    written
        Absolute paths that were made, changed, renamed or removed; True for what was made anew.
    listed
        Folders that were listed, by absolute path: whether the kinds of what is in them count.
    looks
        By absolute path: what of it was looked at without opening it, as `status_of` spells it; ``->`` of a link: where
        it leads.
    seen
        What listings and looks told, by kind and path, as it was then.
    relative
        Those of all these paths that were named by a relative path.
    asks_folder
        Whether code asked where it is, of which it may have taken anything: such a result holds in this place only.
    uses_folder
        Whether the folder mattered that was current at its beginning, `folder`.
    effects
        Connections and other processes, which leave no file to look at.
    imported
        Files of the user's that were imported under computed names, ``package:NAME`` for packages, and with a ``?``
        before them places where a module was looked for in vain.
    reached
        Marks of the code that the item reaches, which counts anyway.
    is_busy
        Whether it looks itself, which does not count.
    """

    __slots__ = (
        "_children", "_files", "asks_folder", "effects", "folder", "imported", "is_busy", "is_planning", "listed",
        "looks", "opened", "reached", "relative", "seen", "texts", "updated", "uses_folder", "written",
    )  # fmt: skip

    def __init__(self, files: FileDigests | None = None) -> None:
        self._files = files
        self.is_planning = files is None
        self.is_busy = False
        self.opened: dict[str, Seen] = {}
        self.texts: dict[str, bool] = {}
        self.updated: dict[str, Seen] = {}
        self.written: dict[str, bool] = {}
        self.listed: dict[str, bool] = {}
        self.looks: dict[str, str] = {}
        self.seen: dict[tuple[str, str], Read] = {}
        self.relative: set[str] = set()
        self.uses_folder = self.asks_folder = False
        self.folder = _current()
        self.effects: dict[str, None] = {}
        self.imported: dict[str, None] = {}
        self.reached: frozenset[int] = frozenset()
        self._children: ChildReads | None = None if self.is_planning else ChildReads.of_living()

    @property
    def is_blank(self) -> bool:
        """Whether nothing was noted: then it can serve the next item."""
        return not (
            self.opened or self.updated or self.written or self.listed or self.looks or self.seen or self.relative
            or self.uses_folder or self.effects or self.imported or self.texts or self._children
        )  # fmt: skip

    def read(self, path: str, *, relative: bool) -> None:
        """A file was opened for reading; of a folder that counts only when it is listed."""
        self._tell("read", path, relative)
        self._named(path, relative)
        if path not in self.opened and not _is_folder(path):
            self.opened[path] = _seen(path)

    def take_text(self, path: str, *, by_user: bool) -> None:
        """A file that was opened may have been so for its source text."""
        if path.endswith(SOURCES):
            self.texts[path] = by_user or self.texts.get(path, False)

    def before_children(self) -> str | None:
        """The file to which processes that work for the item are to write what they look at."""
        if self._children is None and not self.is_planning:
            self.is_busy = True
            try:
                self._children = ChildReads.made()
            finally:
                self.is_busy = False
        return None if self._children is None else self._children.path

    @classmethod
    def of_child(cls, log: str) -> Watch:
        """A watch that writes all that it sees to the file of the process that this one works for."""
        watch = cls()
        watch.is_planning, watch._children = False, ChildReads.of_parent(log)
        return watch

    def in_child(self) -> None:
        """This is the child."""
        if self._children is not None:
            self._children.is_child = True

    def end_child(self) -> None:
        """The process has done its work for the item."""
        children, self._children = self._children, None
        if children is not None:
            children.close()

    def end(self) -> None:
        """The item has ended."""
        if self._children is not None:
            self._children.keep_for_living()

    def _tell(self, *words: Any) -> None:
        if self._children is not None:
            self._children.tell(*words)

    def _hear(self) -> None:
        """Take for its own what children have looked at; what they wrote first, because that is no input."""
        heard = [] if self._children is None else self._children.heard()
        for what, path, *words in heard:
            if what == "write":
                self.write(path, appends=words[0])
        for what, path, *words in heard:
            if what == "read":
                self.read(path, relative=words[0])
                self.take_text(path, by_user=False)
            elif what == "list":
                self.list(path, relative=words[0], kinds=words[1])
            elif what == "look":
                self.look(path, words[1], relative=words[0])

    def inherit(self, reached: frozenset[int]) -> None:
        """What earlier items of this process read counts, where code that this one reaches may remember it."""
        self.reached = reached
        for one in remembered(reached):
            if one.is_code:
                self.imported[one.path] = None
                continue
            self._named(one.path, one.relative)
            self.uses_folder |= one.relative
            self.opened.setdefault(one.path, one.seen)
            self.take_text(one.path, by_user=False)

    def update(self, path: str, *, relative: bool) -> None:
        """A file was opened for reading and writing."""
        self._tell("read", path, relative)
        self._named(path, relative)
        if path not in self.updated and path not in self.written:
            self.updated[path] = _seen(path)

    def write(self, path: str, *, appends: bool = False) -> None:
        """A file or folder was made, changed, renamed or removed; `appends` when something of it may have stayed."""
        self._tell("write", path, appends)
        self.written[path] = self.written.get(path, not appends)

    def list(self, path: str, *, relative: bool, kinds: bool = False) -> None:
        """A folder was listed."""
        self._tell("list", path, relative, kinds)
        self._named(path, relative)
        if path not in self.listed or kinds > self.listed[path]:
            self.listed[path] = kinds
            self._keep("list", path, lambda files: files.read(path, relative=path in self.relative, kinds=kinds))

    def look(self, path: str, traits: str, *, relative: bool) -> None:
        """Something was looked at without opening it."""
        self._tell("look", path, relative, traits)
        self._named(path, relative)
        known = self.looks.get(path, "?")
        traits = "".join(sorted({*known, *traits} - {"?"}))
        if path not in self.written and traits != known:
            self.looks[path] = traits
            self._keep("look", path, lambda files: files.status(path, traits, relative=path in self.relative))

    def follow(self, path: str, *, relative: bool) -> None:
        """It was asked where a link leads."""
        self._named(path, relative)
        if self._files is None:
            self.looks.setdefault(path, "l")
        self._keep("link", path, lambda files: files.link(path, relative=path in self.relative))

    def import_called(self, name: str, module: Any, frame: Any) -> None:
        """A module was imported by a call; None where there is none."""
        if self.is_busy:
            return
        file = None if module is None else file_of(module)
        if file is not None:
            found = [os.path.abspath(file)]
        else:
            found = [f"?{path}" for path in candidates(name)]
            if module is not None and owner_of(str(getattr(module, "__file__", ""))) is Owner.PACKAGE:
                found.append(f"package:{top_level(name)}")
        for path in found:
            self.imported[path] = None
            remember(path, None, False, frame, is_code=True)

    def unpickle(self, module: str, name: str) -> None:
        """A function or class was found by the name that a pickle has for it."""
        if self.is_planning:
            return
        loaded = sys.modules.get(module)
        for file in [file_of(loaded)] if loaded is not None else candidates(module):
            if file and is_users(file) and os.path.isfile(file) and mark_of(file, name) not in self.reached:
                self.imported[os.path.abspath(file)] = None

    def imports(self, digests: FileDigests, *, elsewhere: bool) -> tuple[Read, ...]:
        """What was imported by calls; where other processes did so too, that may be any file of the project."""
        self.is_busy = True
        try:
            paths = [digests.root] if elsewhere else []
            reads = [digests.code(path) for path in [*paths, *self.imported] if not path.startswith("?")]
            return (*reads, *(digests.read(path[1:]) for path in self.imported if path.startswith("?")))
        finally:
            self.is_busy = False

    def take(self, inner: Watch) -> None:
        """What a watch inside this one has seen counts for this one too."""
        if inner.is_planning:
            return
        for name in ("opened", "updated", "listed", "looks", "seen"):
            known = getattr(self, name)
            for path, seen in getattr(inner, name).items():
                known.setdefault(path, seen)
        self.written.update(inner.written)
        for path, by_user in inner.texts.items():
            self.take_text(path, by_user=by_user)
        self.relative |= inner.relative
        self.imported |= inner.imported
        self.uses_folder |= inner.uses_folder
        self.asks_folder |= inner.asks_folder

    def reads(self, digests: FileDigests, boundary: Boundary, started_ns: int) -> tuple[tuple[Read, ...], str | None]:
        """What counts of it, and the first file that changed while the item ran (then the result cannot be kept)."""
        self._hear()
        if not (self.opened or self.updated or self.seen or self.uses_folder or self.written):
            return (), None
        for path, before in self.updated.items():
            if _seen(path) == before:
                self.opened.setdefault(path, before)
            else:
                self.written.setdefault(path, False)
        loaded = _sources_in_memory()

        def counts(path: str) -> bool:
            is_shown = path in loaded and not self.texts.get(path)
            return path not in self.written and not is_shown and boundary.counts(path, started_ns)

        reads, changed = [], None
        for path in sorted(filter(counts, self.opened)):
            try:
                read = digests.read(path, relative=path in self.relative)
            except OSError:
                continue
            if read.kind != "folder" and self.opened[path] != (
                (read.mtime_ns, read.size) if read.kind == "file" else None
            ):
                changed = changed or read.path
            reads.append(read)
        for (kind, path), read in sorted(self.seen.items()):
            if counts(path) and not self._is_known(kind, path):
                reads.append(self._afterwards(read, path, digests) if kind == "list" else read)
        if self.uses_folder:
            reads.append(digests.here(self.folder))
        beside = os.path.dirname(digests.root) + os.sep
        is_beside = beside.count(os.sep) > 2 and any(os.path.normpath(read.path).startswith(beside) for read in reads)
        if self.asks_folder or is_beside:
            # Named from where the project lies: in another place it is another file.
            reads.append(digests.bound())
        reads += self._outputs(digests, boundary, started_ns)
        return tuple(reads), changed

    def _outputs(self, digests: FileDigests, boundary: Boundary, started_ns: int) -> Sequence[Read]:
        """The files that the item made; of those of which something may be older, only that they are there."""
        found = []
        for path, is_new in sorted(self.written.items()):
            size = (_seen(path) or (0, 0))[1]
            if _is_folder(path) or _seen(path) is None or not boundary.counts(path, started_ns):
                continue
            if is_new and size <= LARGEST_OUTPUT:
                found.append(digests.read(path, relative=path in self.relative, written=True))
            else:
                traits = "s" if is_new else ""
                found.append(digests.status(path, traits, relative=path in self.relative, written=True))
        return found

    def _is_known(self, kind: str, path: str) -> bool:
        """Whether a look tells no more than what was listed: that it is there, and what it is."""
        return kind == "look" and path in self.listed and self.looks[path] in ("", "s")

    def _afterwards(self, read: Read, path: str, digests: FileDigests) -> Read:
        """A listing as it was, or with what the item itself made in the folder."""
        if any(os.path.dirname(made) == path for made in self.written):
            return digests.read(path, relative=path in self.relative, kinds=self.listed[path])
        return read

    def _keep(self, kind: str, path: str, look: Callable[[FileDigests], Read]) -> None:
        if self._files is None:
            return
        self.is_busy = True
        try:
            self.seen[kind, path] = look(self._files)
        except OSError:
            return
        finally:
            self.is_busy = False

    def _named(self, path: str, relative: bool) -> None:
        if relative:
            self.relative.add(path)


def _sources_in_memory() -> set[str]:
    """Files of loaded modules: reading one (a traceback, a warning) makes no input of it, its code counts already."""
    return {file for module in list(sys.modules.values()) if (file := getattr(module, "__file__", None))}


def _current() -> str:
    try:
        return plain_getcwd()
    except OSError:
        return ""


def _is_folder(full: str) -> bool:
    try:
        return stats.S_ISDIR(plain_stat(full).st_mode)
    except (OSError, ValueError):
        return False


def _seen(full: str) -> Seen:
    try:
        status = plain_stat(full)
    except (OSError, ValueError):
        return None
    return status.st_mtime_ns, status.st_size
