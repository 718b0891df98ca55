"""Which distribution and version stands behind a module that is not the user's own."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
import types
from pathlib import Path

from jpipe.fingerprint.hashing import combine
from jpipe.system.ownership import STANDARD_MODULES, is_jpipe_module, is_users, module_file, top_level

_DIRECT, _NONE = "direct", "none"
_INFO = re.compile(r"^(?P<name>[^-]+)-(?P<version>[^-]+)(?:-.*)?\.(?:dist|egg)-info$")
STANDARD = "python {}.{}".format(*sys.version_info[:2])
"""Stands for the whole standard library."""

Policy = str | frozenset[str]
"""`"direct"`, `"none"`, or the normalised names of the distributions whose versions count."""


def normalised(name: str) -> str:
    """A distribution's name as the index compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def policy(packages: str | tuple[str, ...] | list[str] | None) -> Policy:
    """The policy that a step's `packages=` option asks for."""
    if packages is None or packages == _DIRECT:
        return _DIRECT
    if packages == _NONE:
        return _NONE
    return frozenset(map(normalised, (packages,) if isinstance(packages, str) else packages))


class Packages:
    """Looks versions up lazily: reading all metadata costs a tenth of a second, a folder listing a millisecond."""

    def __init__(self) -> None:
        self._versions: dict[str, str] = {}
        self._files: dict[str, str] = {}
        self._owners: dict[str, list[tuple[str, str, Path]]] | None = None
        self._by_name: dict[str, tuple[str, str, Path]] | None = None

    def version(self, top: str) -> str:
        """`name==version` of what provides a top-level module, several joined by commas."""
        found = self._versions.get(top)
        if found is None:
            found = self._versions[top] = self._version(top)
        return found

    def _version(self, top: str) -> str:
        if is_jpipe_module(top):
            return "jpipe"
        if top in STANDARD_MODULES or top in sys.builtin_module_names:
            return STANDARD
        distributions = self._providers(top)
        if distributions:
            return ",".join(sorted({f"{name}=={version}" for name, version in distributions}))
        return self._stray(top)

    def _stray(self, top: str) -> str:
        """A module without a distribution counts by the content of its file or folder."""
        file = _file_of(top)
        if not file or not os.path.exists(file):
            return f"{top}==None"
        if os.path.basename(file) != "__init__.py":
            return f"{top}==#{self._content(file)}"
        inside = sorted(Path(file).parent.rglob("*.py"))
        return f"{top}==#{combine(*(self._content(str(p)) for p in inside)).hex()}"

    def module_version(self, module: types.ModuleType) -> str:
        """As `version`; a compiled module of the user's own counts by its file."""
        file = module_file(module)
        if file and not file.endswith(".py") and is_users(file):
            return f"{os.path.basename(file)}#{self._content(file)}"
        return self.version(top_level(module.__name__))

    def _content(self, file: str) -> str:
        if file not in self._files:
            self._files[file] = combine(Path(file).read_bytes()).hex()
        return self._files[file]

    def distribution(self, name: str) -> str | None:
        """`name==version` of a distribution by its own name, None when it is not installed."""
        found = self._distributions().get(normalised(name))
        return None if found is None else f"{found[0]}=={_version(found[2], found[1])}"

    def counted(self, version: str, allowed: Policy) -> str:
        """What of a version counts under a policy: all of it, or the names alone."""
        if allowed == _DIRECT or version == STANDARD:
            return version
        kept = []
        for item in version.split(","):
            name = item.partition("==")[0]
            kept.append(item if allowed != _NONE and normalised(name) in allowed else name)
        return ",".join(kept)

    def _distributions(self) -> dict[str, tuple[str, str, Path]]:
        """Normalised name to (name, version, metadata folder), the first on the path winning."""
        if self._by_name is None:
            self._by_name = {}
            for folder in sys.path:
                for info in _listing(folder or os.curdir):
                    matched = _INFO.match(info)
                    path = Path(folder, info)
                    if matched and _has_metadata(path):
                        name = normalised(matched["name"])
                        self._by_name.setdefault(name, (name, matched["version"], path))
        return self._by_name

    def _providers(self, top: str) -> list[tuple[str, str]]:
        """The distributions that provide a top-level module.

        The one of the same name is tried first, since that needs one small file; the rest is read when it fails.
        """
        near = self._distributions().get(normalised(top))
        if near is not None and top in _provided(near[2], near[0]) and not _is_shared(top):
            return [(near[0], _version(near[2], near[1]))]
        if self._owners is None:
            self._owners = {}
            for name, version, path in self._distributions().values():
                for provided in _provided(path, name):
                    self._owners.setdefault(provided, []).append((name, version, path))
        return [(name, _version(path, version)) for name, version, path in self._owners.get(top, [])]


def _is_shared(top: str) -> bool:
    """A namespace package may come from several distributions."""
    module = sys.modules.get(top)
    return module is not None and module_file(module) is None


def _listing(folder: str) -> list[str]:
    try:
        return sorted(name for name in os.listdir(folder) if name.endswith((".dist-info", ".egg-info")))
    except OSError:
        return []


def _has_metadata(info: Path) -> bool:
    """False for the empty folder that an uninstalled version may leave behind."""
    return (info / "METADATA").exists() or (info / "PKG-INFO").exists() or (info / "RECORD").exists()


def _version(info: Path, named: str) -> str:
    """The version that the metadata gives, or else the folder's name."""
    for line in (_text(info / "METADATA") or _text(info / "PKG-INFO")).splitlines():
        if line.lower().startswith("version:"):
            return line.partition(":")[2].strip()
        if not line:
            break  # the description follows
    return named


def _file_of(top: str) -> str | None:
    """The file of a top-level module, loaded or not, without importing it."""
    module = sys.modules.get(top)
    if module is not None:
        return module_file(module)
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError, AttributeError):
        return None
    return spec.origin if spec else None


def _provided(info: Path, name: str) -> set[str]:
    """Top-level modules of a distribution, from its `top_level.txt` or the list of its files."""
    declared = _text(info / "top_level.txt").split()
    if declared:
        return set(declared)
    found = set()
    for line in _text(info / "RECORD").splitlines():
        first, slash, _ = line.rpartition(",")[0].rpartition(",")[0].strip('"').partition("/")
        if first.endswith((".dist-info", ".data", ".pth")) or first in ("..", "__pycache__", ""):
            continue
        found.add(first if slash else first.partition(".")[0])
    return found or {name.replace("-", "_")}


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""
