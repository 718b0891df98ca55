"""Compression of stored values by joblib's names and levels."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from jpipe.errors import ConfigurationError

__all__ = ["compress", "decompress", "method_of"]

_DEFAULT_LEVEL = 3
_CODES = {"zlib": 2, "gzip": 3, "bz2": 4, "lzma": 5, "xz": 6, "lz4": 7}
_NAMES = {code: name for name, code in _CODES.items()}
_MODULES = {"zlib": "zlib", "gzip": "gzip", "bz2": "bz2", "lzma": "lzma", "xz": "lzma", "lz4": "lz4.frame"}


def method_of(option: bool | int | str | tuple[str, int]) -> tuple[str, int] | None:
    """(method, level) of joblib's ``compress=``; None for no compression.

    Raises
    ------
    ConfigurationError
        For a method or level that joblib does not know, or a method that is not installed.
    """
    if isinstance(option, (tuple, list)):
        if len(option) != 2:
            raise ConfigurationError(f"compress={option!r}: it takes (method, level)")
        name, level = option
    elif isinstance(option, str):
        name, level = option, _DEFAULT_LEVEL
    else:
        name, level = "zlib", _DEFAULT_LEVEL if option is True else int(option)
    if name not in _CODES:
        raise ConfigurationError(f"compress={option!r}: the methods are {', '.join(_CODES)}")
    if level not in range(10):
        raise ConfigurationError(f"compress={option!r}: the level is a whole number from 0 to 9")
    if level == 0:
        return None
    _module(name)
    return name, level


def compress(method: tuple[str, int], data: bytes) -> tuple[int, bytes]:
    """The number that stands for the method in a file, and the compressed bytes."""
    name, level = method
    return _CODES[name], _compressor(name, level)(data)


def decompress(code: int, data: bytes) -> bytes:
    """The bytes that `compress` was given."""
    decompressed: bytes = _module(_NAMES[code]).decompress(data)
    return decompressed


def _compressor(name: str, level: int) -> Callable[[bytes], bytes]:
    module = _module(name)
    if name == "gzip":
        return lambda data: module.compress(data, compresslevel=level, mtime=0)
    if name in ("lzma", "xz"):
        container = module.FORMAT_ALONE if name == "lzma" else module.FORMAT_XZ
        return lambda data: module.compress(data, format=container, preset=level)
    if name == "lz4":
        return lambda data: module.compress(data, compression_level=level)
    return lambda data: module.compress(data, level)


def _module(name: str) -> Any:
    try:
        return importlib.import_module(_MODULES[name])
    except ImportError:
        raise ConfigurationError(
            f"compress={name!r} needs the package {_MODULES[name].partition('.')[0]}, which is not installed"
        ) from None
