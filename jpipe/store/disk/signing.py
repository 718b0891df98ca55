"""The user's signing key: where it lives, how it is made, and what it signs.

Whoever can write into a cache folder could otherwise have code of theirs unpickled, so every record carries a signature
by a key that is kept outside of the cache. An entry without a valid signature is a miss.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from blake3 import blake3

from jpipe.errors import CacheError
from jpipe.store.disk import system

__all__ = ["SigningKey"]

_BYTES = 32
_VARIABLE = "JPIPE_KEY_FILE"
_READ = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)


class SigningKey:
    """32 secret bytes.

    Parameters
    ----------
    secret
        The key itself.
    shared
        Whether a team shares it, in which case the cache folder may be writable by a group.
    """

    __slots__ = ("secret", "shared")

    # No dataclass: an instant answer would wait for it, and no text shall ever show the secret.
    def __init__(self, secret: bytes, shared: bool = False) -> None:
        if len(secret) != _BYTES:
            raise ValueError(f"a signing key has {_BYTES} bytes, not {len(secret)}")
        self.secret = secret
        self.shared = shared

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SigningKey) and (self.secret, self.shared) == (other.secret, other.shared)

    def __hash__(self) -> int:
        return hash((self.secret, self.shared))

    @property
    def id(self) -> bytes:
        """8 bytes that tell this key from others and give nothing of it away."""
        return blake3(b"jpipe key id" + self.secret).digest(8)

    def sign(self, purpose: bytes, *parts: bytes) -> bytes:
        """HMAC-SHA256 of `purpose` and `parts`; all parts but the last must be of a fixed length, 32 bytes."""
        import hmac  # an instant answer signs nothing, and needs no OpenSSL

        return hmac.digest(self.secret, purpose + b"\0" + b"".join(parts), "sha256")

    def signed(self, signature: bytes, purpose: bytes, *parts: bytes) -> bool:
        """Whether `signature` is what `sign` gives for the same arguments."""
        import hmac

        return hmac.compare_digest(signature, self.sign(purpose, *parts))

    def for_use(self, purpose: str) -> SigningKey:
        """A key that follows from this one and tells nothing of it: what it signs counts for one purpose only."""
        return SigningKey(blake3(self.secret, derive_key_context=f"jpipe {purpose}").digest())

    @classmethod
    def of_team(cls, file: Path) -> SigningKey:
        """The key in a file that a team hands round: 32 bytes, or as text in 64 hexadecimal digits.

        Raises
        ------
        CacheError
            If it is not there, not a key, or others can read it; the hint has the command that mends it.
        """
        make = f'python -c "import secrets; print(secrets.token_hex(32))" > {_quoted(file)}'
        try:
            return cls(_read(file, shared=True, as_text=True), shared=True)
        except FileNotFoundError:
            raise CacheError(
                f"the key of the remote cache is to be in {file}, and there is no such file",
                hint=f"ask your team for it; the first one makes it: {make} && chmod 600 {_quoted(file)}",
            ) from None
        except OSError as error:
            raise CacheError(
                f"the key of the remote cache {file} cannot be read: {error.strerror or error}",
                hint="set remote_key or JPIPE_REMOTE_KEY to a key file that you can read",
            ) from None

    @classmethod
    def load(cls, path: Path | None = None) -> SigningKey:
        """The key of this user, made on first use.

        Parameters
        ----------
        path
            The key file. Default: ``JPIPE_KEY_FILE``, which has to be there, else ``jpipe/key`` in the user's
        configuration folder.

        Raises
        ------
        CacheError
            If others can read or change the file, or if it is not a key; the hint has the command that mends it.
        """
        named = os.environ.get(_VARIABLE)
        shared = path is None and bool(named)
        file = path or (Path(named) if named else _default_path())
        try:
            return cls(_read(file, shared), shared)
        except FileNotFoundError:
            if shared:
                raise CacheError(
                    f"{_VARIABLE} names the signing key {file}, and there is no such file",
                    hint=f"unset {_VARIABLE}; or make a new key: head -c 32 /dev/urandom > {_quoted(file)}",
                ) from None
        except OSError as error:
            raise CacheError(
                f"the signing key {file} cannot be read: {error.strerror or error}",
                hint=f"set {_VARIABLE} to a key file that you can read",
            ) from None
        _create(file)
        return cls(_read(file, shared), shared)


def _default_path() -> Path:
    if system.WINDOWS:
        base = os.environ.get("APPDATA") or Path.home() / "AppData" / "Roaming"
    else:
        base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "jpipe" / "key"


def _read(file: Path, shared: bool, *, as_text: bool = False) -> bytes:
    descriptor = os.open(file, os.O_RDONLY | _READ)
    with os.fdopen(descriptor, "rb") as opened:
        _refuse_unsafe(file, os.fstat(descriptor), shared)
        secret = opened.read(4 * _BYTES + 1)
    if as_text and len(secret) != _BYTES:
        with contextlib.suppress(ValueError):
            secret = bytes.fromhex(secret.decode("ascii"))
    if len(secret) != _BYTES:
        raise CacheError(
            f"{file} is not a jpipe key: it must hold exactly {_BYTES} bytes",
            hint=f"remove it to get a new one (what is cached counts as missing then): rm {_quoted(file)}",
        )
    return secret


def _refuse_unsafe(file: Path, status: os.stat_result, shared: bool) -> None:
    if system.WINDOWS:
        return
    if not stat.S_ISREG(status.st_mode):
        raise CacheError(f"the signing key {file} is not a file")
    if not shared and status.st_uid not in (os.geteuid(), 0):
        raise CacheError(
            f"the signing key {file} belongs to another user (uid {status.st_uid})",
            hint=f"set {_VARIABLE} to a key file of your own, or remove this one: rm {_quoted(file)}",
        )
    forbidden = 0o027 if shared else 0o077
    if status.st_mode & forbidden:
        allowed = "640" if shared else "600"
        raise CacheError(
            f"the signing key {file} can be read or changed by others (mode {stat.S_IMODE(status.st_mode):o})",
            hint=f"chmod {allowed} {_quoted(file)}",
        )


def _create(file: Path) -> None:
    """Make a key; of several processes that do, the first wins and all get the same one."""
    beside = file.with_name(f".{file.name}.{os.getpid()}.{os.urandom(6).hex()}")
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(beside, system.CREATE, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as opened:
                opened.write(os.urandom(_BYTES))
                opened.flush()
                os.fsync(opened.fileno())
            _name(beside, file)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(beside)
    except OSError as error:
        raise CacheError(
            f"the signing key {file} cannot be made: {error.strerror or error}",
            hint=f"set {_VARIABLE} to a file in a folder that you can write to",
        ) from None


def _name(beside: Path, file: Path) -> None:
    with contextlib.suppress(FileExistsError):
        try:
            os.link(beside, file)
        except FileExistsError:
            raise
        except OSError:
            if not file.exists():
                os.rename(beside, file)


def _quoted(file: Path) -> str:
    import shlex  # only where there is something to say

    return shlex.quote(str(file))
