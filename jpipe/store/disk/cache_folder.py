"""The cache folder: made so that any number of processes may do it at once, and refused when it is not safe to use.

::

    cache/  README  .gitignore  CACHEDIR.TAG  format
            v1/  families/  blobs/  notes/  roots/  locks/  pins/  tmp/  quarantine/
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shlex
import stat
from pathlib import Path
from typing import NamedTuple

from jpipe.errors import CacheFolderError, NewerFormatError
from jpipe.store.disk import system
from jpipe.system.safe_paths import inside

__all__ = ["FORMAT", "Folder", "make_again", "make_folder", "open_folder"]

FORMAT = 1
_README = """\
This folder is a jpipe cache: results of pipeline steps, kept so that they need not be computed again.
It may be deleted at any time; what it held is then computed anew. `jpipe cache` says what is in it.
"""
_FILES = {
    "README": _README,
    ".gitignore": "# Made by jpipe.\n*\n",
    "CACHEDIR.TAG": "Signature: 8a477f597d28d172789f06886806bc55\n# This folder is a jpipe cache.\n",
}
_FORMAT_LINE = f"jpipe cache {FORMAT}\n"
ROOMS = ("families", "blobs", "notes", "roots", "locks", "pins", "tmp", "quarantine")
_REAL = (*ROOMS, "answers")
_IGNORED = {"lost+found", ".DS_Store"}


class Folder(NamedTuple):
    """A cache folder that was checked.

    Parameters
    ----------
    root
        Its real path.
    base
        Where this format's files are: ``root/v1``, marked as a place whose links are not followed.
    shared
        Whether a group may write to it.
    """

    root: str
    base: str
    shared: bool

    @property
    def file_mode(self) -> int:
        """Mode of a published file: nobody writes to it again."""
        return 0o440 if self.shared else 0o400

    @property
    def folder_mode(self) -> int:
        """Mode of a folder inside."""
        return 0o2770 if self.shared else 0o700

    def path(self, *names: str) -> str:
        """The path of something inside."""
        return "/".join((self.base, *names))


def open_folder(folder: Path, *, create: bool, shared: bool) -> Folder:
    """Check the cache at `folder`, making it if it is not there; on a full disk it may be missing afterwards.

    Parameters
    ----------
    folder
        Where the cache is or shall be.
    create
        False: a folder that is not there is an error.
    shared
        Whether a team's key is in use, so that a group may own and write to the folder.

    Raises
    ------
    CacheFolderError
        If something else is there, or if other users could tamper with it; the hint says how to mend it.
    NewerFormatError
        If a newer jpipe made it.
    """
    _refuse_addresses(folder)
    root = os.path.realpath(folder)
    checked = Folder(root, inside(root, f"v{FORMAT}"), shared)
    version = _version(root)
    if version is None:
        if not create and not os.path.isdir(root):
            raise CacheFolderError(f"there is no cache at {root}", hint="`jpipe run` makes one")
        _refuse_strangers(root)
        _make(checked)
    elif version > FORMAT:
        raise NewerFormatError(
            f"the cache at {root} was written by a newer jpipe (format {version}, this one knows {FORMAT})",
            hint="upgrade jpipe, or use another folder with --cache-dir",
        )
    elif not system.exists(checked.base):
        _make(checked)
    _refuse_unsafe(checked)
    return checked


def _refuse_addresses(folder: Path) -> None:
    """``s3://bucket/study`` would become a folder ``s3:``, here, and nobody would look for results there."""
    for above in (folder, *folder.parents):
        if re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]+:", above.name) and not above.exists():
            raise CacheFolderError(
                f"the cache has to be a folder, and {folder} looks like an address ({above.name}//…)",
                hint="give a folder of this machine or of a file system that is mounted here",
            )


def _version(root: str) -> int | None:
    """The format that a cache says it has; None where it does not say so, or nothing that makes sense."""
    try:
        with os.fdopen(system.open(inside(root, "format"), system.READ), "rb") as file:
            words = file.read(64).split()
    except OSError as error:
        if isinstance(error, FileNotFoundError | NotADirectoryError) or error.errno in (errno.EINVAL, errno.ELOOP):
            return None
        raise CacheFolderError(f"the cache at {root} cannot be read: {error.strerror or error}") from None
    if len(words) == 3 and words[:2] == [b"jpipe", b"cache"] and words[2].isdigit() and int(words[2]) >= FORMAT:
        return int(words[2])
    return None


def _refuse_strangers(root: str) -> None:
    """A folder without a `format` file is jpipe's only if all that is in it is what jpipe puts there first."""
    try:
        names = set(system.listdir(inside(root))) - _IGNORED
    except FileNotFoundError:
        return
    except NotADirectoryError:
        names = {"a file of that name"}
    except OSError as error:
        raise CacheFolderError(f"the cache at {root} cannot be read: {error.strerror or error}") from None
    known = {*_FILES, f"v{FORMAT}", *({"format"} if f"v{FORMAT}" in names else ())}
    own = {name for name in names if name in known or name.startswith(".jpipe-")}
    if names - own or ("README" in names and not _is_our_readme(root) and not _has_rooms(root)):
        example = min(names - own or names)
        raise CacheFolderError(
            f"{root} is not a jpipe cache (it holds {example!r}), so jpipe leaves it alone",
            hint="choose another folder with --cache-dir or JPIPE_CACHE_DIR, or move what is there",
        )


def _is_our_readme(root: str) -> bool:
    try:
        with os.fdopen(system.open(inside(root, "README"), system.READ), "rb") as file:
            return b"jpipe" in file.read(4096)
    except OSError:
        return False


def _has_rooms(root: str) -> bool:
    """Whether the folder of this format holds what jpipe puts there: then a strange README is a damaged one."""
    try:
        return set(ROOMS) <= set(system.listdir(inside(root, f"v{FORMAT}")))
    except OSError:
        return False


def _make(folder: Folder) -> None:
    try:
        _make_cache(folder)
    except OSError as error:
        if error.errno in system.DISK_FULL:
            return
        raise CacheFolderError(
            f"the cache at {folder.root} cannot be made: {error.strerror or error}",
            hint="choose another folder with --cache-dir or JPIPE_CACHE_DIR",
        ) from None


def make_again(folder: Folder) -> None:
    """Make a cache that was removed, or for which there was no room before.

    Raises
    ------
    PermissionError
        If what is there now is not safe to use.
    """
    _make_cache(folder)
    try:
        _refuse_unsafe(folder)
    except CacheFolderError as error:
        raise PermissionError(errno.EACCES, str(error), folder.root) from None


def _make_cache(folder: Folder) -> None:
    """Make what is missing, the `format` file last: whoever finds it may rely on the rest."""
    Path(folder.root).parent.mkdir(parents=True, exist_ok=True)
    make_folder(folder.root, folder.folder_mode)
    if not system.WINDOWS and os.lstat(folder.root).st_uid == os.geteuid():
        os.chmod(folder.root, folder.folder_mode)
    make_folder(folder.base, folder.folder_mode)
    for room in ROOMS:
        make_folder(folder.path(room), folder.folder_mode)
    for name, text in {**_FILES, "format": _FORMAT_LINE}.items():
        _write_once(folder.root, name, text)
    for path in (folder.base, folder.root, os.path.dirname(folder.root)):
        with contextlib.suppress(OSError):
            system.sync_folder(path)


def make_folder(path: str, mode: int) -> None:
    """Make a folder unless it is there; a link or a file in its place is an error."""
    try:
        system.mkdir(path, mode)
    except FileExistsError:
        if not stat.S_ISDIR(system.lstat(path).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, "something in it is not a folder", path) from None


def _write_once(root: str, name: str, text: str) -> None:
    if system.exists(inside(root, name)) and not (name == "format" and _version(root) is None):
        return
    beside = inside(root, f".jpipe-{os.getpid()}-{os.urandom(6).hex()}")
    descriptor = system.open(beside, system.CREATE, 0o644)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(text.encode())
            file.flush()
            system.fsync(descriptor)
        system.replace(beside, inside(root, name))
    except BaseException:
        system.unlink(beside)
        raise


def _refuse_unsafe(folder: Folder) -> None:
    """What OpenSSH asks of its own folders: real ones, and nobody but the user and root can change what is in there."""
    for path in filter(system.exists, (folder.root, folder.base, *map(folder.path, _REAL))):
        shown = os.path.normpath(path)
        status = _folder_status(path, shown)
        if not system.WINDOWS:
            _refuse_owner(shown, status, folder.shared)
            _refuse_mode(shown, status, 0o002 if folder.shared else 0o022)
    parent = os.path.dirname(folder.root)
    while not system.WINDOWS and parent != (above := os.path.dirname(parent)):
        _refuse_parent(parent)
        parent = above


def _folder_status(path: str, shown: str) -> os.stat_result:
    try:
        status = system.lstat(path)
    except OSError as error:
        raise CacheFolderError(f"the cache cannot be used: {shown}: {error.strerror or error}") from None
    if not stat.S_ISDIR(status.st_mode):
        is_link = stat.S_ISLNK(status.st_mode)
        raise CacheFolderError(
            f"{shown} should be a folder and is not" + (": it is a link, which could lead anywhere" if is_link else ""),
            hint=f"rm {shlex.quote(shown)}",
        )
    return status


def _refuse_owner(path: str, status: os.stat_result, shared: bool) -> None:
    user = os.geteuid()
    under_sudo = user == 0 and "SUDO_UID" in os.environ and status.st_uid != 0
    if under_sudo:
        raise CacheFolderError(
            f"{path} belongs to uid {status.st_uid} and you are root by sudo: its owner could not use what you write",
            hint="run it without sudo, or with another --cache-dir",
        )
    if not shared and user != 0 and status.st_uid not in (user, 0):
        raise CacheFolderError(
            f"{path} belongs to another user (uid {status.st_uid}), who could change what is in it",
            hint="use a folder of your own with --cache-dir; for a team's cache, set JPIPE_KEY_FILE to the team's key",
        )


def _refuse_mode(path: str, status: os.stat_result, forbidden: int) -> None:
    if not os.access(path, os.R_OK | os.X_OK):
        raise CacheFolderError(
            f"{path} cannot be read (mode {stat.S_IMODE(status.st_mode):o})", hint=f"chmod u+rwx {shlex.quote(path)}"
        )
    if status.st_mode & forbidden:
        letters = "go-w" if forbidden & 0o020 else "o-w"
        raise CacheFolderError(
            f"other users can write to {path} (mode {stat.S_IMODE(status.st_mode):o})",
            hint=f"chmod {letters} {shlex.quote(path)}",
        )


def _refuse_parent(path: str) -> None:
    """In a folder that all may write to and that is not sticky, anybody may put another cache in place of this one."""
    try:
        status = os.stat(path)
    except OSError:
        return
    if status.st_mode & 0o002 and not status.st_mode & stat.S_ISVTX:
        raise CacheFolderError(
            f"other users can replace the cache: they can write to {path} (mode {stat.S_IMODE(status.st_mode):o})",
            hint=f"chmod o-w {shlex.quote(path)}",
        )
