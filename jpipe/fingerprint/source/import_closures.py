"""All that an import inside a function may run, and whether names in the text are enough to follow what it defines."""

from __future__ import annotations

import os
from typing import NamedTuple

from jpipe.fingerprint.source.outline import FromImport, PlainImport
from jpipe.fingerprint.source.plain_module import BASE, OWN, Act
from jpipe.fingerprint.source.source_files import SourceFiles, parents
from jpipe.system.ownership import STANDARD_MODULES, is_jpipe_module, owns_file, top_level


class Closure(NamedTuple):
    """What importing a file may run sooner or later."""

    files: tuple[str, ...]
    packages: tuple[str, ...]
    """Top-level names of what is imported besides."""


class Closures:
    """Answers about closures, each worked out once."""

    def __init__(self, files: SourceFiles) -> None:
        self._files = files
        self._closures: dict[str, Closure] = {}
        self._imports: dict[str, Closure] = {}
        self._followed: dict[str, bool] = {}
        self._plain: dict[str, bool] = {}

    def of(self, path: str) -> Closure:
        """The closure of a file, imports inside functions included."""
        if path not in self._closures:
            self._closures[path] = self._walk(path)
        return self._closures[path]

    def _walk(self, path: str) -> Closure:
        files: set[str] = set()
        packages: set[str] = set()
        stack = [file for file in [*parents(path), path] if owns_file(file) and os.path.exists(file)]
        while stack:
            current = stack.pop()
            if current not in files:
                files.add(current)
                found = self._imports_of(current)
                stack += found.files
                packages.update(found.packages)
        return Closure(tuple(sorted(files)), tuple(sorted(packages)))

    def _imports_of(self, path: str) -> Closure:
        """What a file imports itself: asked of the disk once, for all closures that it is in."""
        known = self._imports.get(path)
        if known is None:
            files: dict[str, None] = {}
            packages: set[str] = set()
            for module, level, names in self._files.parsed(path).imports:
                target = self._files.import_target(path, module, level)
                if target is not None:
                    inner = [file for name in names if (file := self._files.submodule(target, name)) is not None]
                    files |= dict.fromkeys([*parents(target), target, *inner])
                elif not is_jpipe_module(module):
                    packages.add(top_level(module))
            own = tuple(file for file in files if owns_file(file) and os.path.exists(file))
            known = self._imports[path] = Closure(own, tuple(packages))
        return known

    def is_followed_by_name(self, path: str) -> bool:
        """Whether what a file defines can be followed by the names in its text and in those of all that it imports."""
        if path not in self._followed:
            self._followed[path] = all(map(self._is_plain, self.of(path).files))
        return self._followed[path]

    def _is_plain(self, path: str) -> bool:
        if path not in self._plain:
            acts = self._files.parsed(path).acts
            owners = self._owners(path) if acts else {}
            self._plain[path] = acts is not None and not any(_matters(act, owners) for act in acts)
        return self._plain[path]

    def _owners(self, path: str) -> dict[str, str | None]:
        """By name that a file imports: the top-level module it comes from, None for the user's own."""
        found: dict[str, str | None] = {}
        for entry in self._files.parsed(path).top:
            if isinstance(entry, FromImport):
                own = self._files.import_target(path, entry.module, entry.level) is not None
                found |= {bound: None if own else top_level(entry.module) for bound, _ in entry.names}
            elif isinstance(entry, PlainImport):
                for bound, module, _ in entry.names:
                    own = self._files.import_target(path, module, 0) is not None
                    found[bound] = None if own else top_level(module)
        return found


def _matters(act: Act, owners: dict[str, str | None]) -> bool:
    """Whether something may be found later by another way than its name."""
    owner = owners.get(act.name)
    if owner is None:
        return act.given != (BASE,)
    if owner in STANDARD_MODULES or is_jpipe_module(owner):
        return False
    return any(name in (OWN, BASE) or owners.get(name) is None for name in act.given)
