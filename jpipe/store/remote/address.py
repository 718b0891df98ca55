"""An address below which objects have names: a bucket, a server or a shared folder, as fsspec knows them.

Everything in jpipe that knows fsspec is in this file. A name is given to an object once it is complete: object stores
do that by themselves, elsewhere it is written beside and moved.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from jpipe.errors import ConfigurationError, JpipeError, RemoteCacheError

__all__ = ["Address", "shown_url"]

CONNECT = 5
"""How long to wait for a connection, seconds."""
_COMPLETE = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "memory", "oss"})
"""Where an object appears under its name once all of it has arrived."""
_READ_ONLY = frozenset({"http", "https", "github", "zip", "tar"})
_PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "abfs": "adlfs", "az": "adlfs",
             "ssh": "paramiko", "sftp": "paramiko", "http": "aiohttp", "https": "aiohttp"}  # fmt: skip


def shown_url(url: str) -> str:
    """An address without the user name and password that may stand in it."""
    scheme, separator, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{separator}{host.rpartition('@')[2]}{slash}{path}"


class Address:
    """A place for objects; nothing is asked of it before the first call.

    Parameters
    ----------
    url
        Any address that fsspec knows.
    options
        Keyword arguments of its file system.
    """

    def __init__(self, url: str, options: Mapping[str, object] | None = None) -> None:
        self.url = url.rstrip("/")
        self.shown = shown_url(self.url)
        self._options = dict(options or {})
        self._opened: tuple[Any, str] | None = None

    @property
    def is_read_only(self) -> bool:
        """Whether nothing can be written there, as far as the address tells."""
        return self.url.partition("://")[0] in _READ_ONLY

    def open(self) -> None:
        """Load what knows such addresses.

        Raises
        ------
        ConfigurationError
            If nothing does, or a package is not installed.
        """
        if self._opened is not None:
            return
        scheme = self.url.partition("://")[0]
        try:
            from fsspec.core import url_to_fs

            options = {**_usual_options(scheme), **self._options}
            url = unquote(self.url) if scheme == "file" else self.url
            filesystem, path = url_to_fs(url, skip_instance_cache=True, **options)
        except ImportError as error:
            needed = " ".join(filter(None, ("fsspec", _PACKAGES.get(scheme))))
            message = f"what knows addresses such as {self.shown} is not installed: {error}"
            raise ConfigurationError(message, hint=f"pip install {needed}") from None
        except (ValueError, TypeError) as error:
            raise ConfigurationError(
                f"the remote cache {self.shown} cannot be used: {error}", hint="see docs/how-to/share-a-remote-cache.md"
            ) from None
        if hasattr(filesystem, "retries"):
            filesystem.retries = 2
        self._opened = filesystem, path.rstrip("/")

    def objects(self, folder: str) -> dict[str, int]:
        """The objects in a folder, by name, with their sizes in bytes; none where there is no such folder."""
        filesystem, root = self._ready()
        try:
            with _told(self.shown):
                found = filesystem.ls(f"{root}/{folder}", detail=True)
        except FileNotFoundError:
            return {}
        files = (one for one in found if one.get("type") != "directory")
        return {_last(one["name"]): int(one.get("size") or 0) for one in files}

    def folders(self, folder: str) -> list[str]:
        """The names of the folders in a folder."""
        filesystem, root = self._ready()
        try:
            with _told(self.shown):
                found = filesystem.ls(f"{root}/{folder}", detail=True)
        except FileNotFoundError:
            return []
        return sorted({_last(one["name"]) for one in found if one.get("type") == "directory"} - {""})

    def size(self, name: str) -> int | None:
        """Bytes of an object; None if there is none of this name."""
        filesystem, root = self._ready()
        try:
            with _told(self.shown):
                return int(filesystem.info(f"{root}/{name}")["size"] or 0)
        except FileNotFoundError:
            return None

    def read(self, name: str) -> bytes:
        """The bytes of an object.

        Raises
        ------
        FileNotFoundError
            If there is none of this name.
        """
        filesystem, root = self._ready()
        with _told(self.shown):
            return bytes(filesystem.cat_file(f"{root}/{name}"))

    def fetch(self, name: str, path: str) -> None:
        """Write an object to a file of this machine; raises like `read`."""
        filesystem, root = self._ready()
        with _told(self.shown):
            filesystem.get_file(f"{root}/{name}", path)

    def write(self, name: str, data: bytes) -> None:
        """Write an object."""
        self._write(name, lambda filesystem, target: filesystem.pipe_file(target, data))

    def send(self, path: str, name: str) -> None:
        """Write an object with the bytes of a file of this machine."""
        self._write(name, lambda filesystem, target: filesystem.put_file(path, target))

    def remove(self, name: str) -> None:
        """Remove an object, if it is there."""
        filesystem, root = self._ready()
        with contextlib.suppress(FileNotFoundError), _told(self.shown):
            filesystem.rm_file(f"{root}/{name}")

    def _write(self, name: str, put: Any) -> None:
        filesystem, root = self._ready()
        target = f"{root}/{name}"
        with _told(self.shown, missing=True):
            if self.url.partition("://")[0] in _COMPLETE:
                put(filesystem, target)
                return
            filesystem.makedirs(target.rpartition("/")[0], exist_ok=True)
            beside = f"{target}.{os.getpid()}-{os.urandom(6).hex()}.part"
            try:
                put(filesystem, beside)
                filesystem.mv(beside, target)
            except BaseException:
                with contextlib.suppress(Exception):
                    filesystem.rm_file(beside)
                raise

    def _ready(self) -> tuple[Any, str]:
        self.open()
        assert self._opened is not None
        return self._opened


def _usual_options(scheme: str) -> dict[str, Any]:
    """Listings are not remembered, for others write meanwhile; and who does not answer is not waited for."""
    if scheme in ("s3", "s3a"):
        config = {"connect_timeout": CONNECT, "read_timeout": 60, "retries": {"max_attempts": 2}}
        return {"use_listings_cache": False, "config_kwargs": config}
    if scheme in ("http", "https", "gs", "gcs", "abfs", "az"):
        return {"use_listings_cache": False}
    return {}


@contextlib.contextmanager
def _told(shown: str, *, missing: bool = False) -> Iterator[None]:
    """Failures of any client library as `RemoteCacheError`; that something is not there only if `missing`."""
    try:
        yield
    except JpipeError:
        raise
    except FileNotFoundError as error:
        if not missing:
            raise
        raise RemoteCacheError(f"{shown}: {_in_short(error)}") from None
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise
        raise RemoteCacheError(f"{shown}: {_in_short(error)}") from None
    except Exception as error:
        raise RemoteCacheError(f"{shown}: {_in_short(error)}") from None


def _in_short(error: BaseException) -> str:
    text = (str(error).splitlines() or [""])[0][:120]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _last(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2]
