"""The secret that tokens and surrogates are derived from. It is never written but to ``private/``, nor logged."""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path
from typing import Final

from datakit.core.errors import StepError
from datakit.core.storage import storage_errors, write_text

__all__ = ["Key", "check_reference", "load_key"]

_FILE: Final = "pii.key"


class Key:
    """A secret as a keyed hash; it shows nothing of itself when printed.

    Args:
        secret: Any length; its hash is the key.
    """

    __slots__ = ("_key",)

    def __init__(self, secret: bytes) -> None:
        self._key = hashlib.blake2b(secret, digest_size=32, person=b"datakit pii key").digest()

    @classmethod
    def random(cls) -> Key:
        """A key that nobody knows."""
        return cls(secrets.token_bytes(32))

    def digest(self, *parts: str, size: int = 16) -> bytes:
        """Keyed BLAKE2b of the parts, each preceded by its length."""
        state = hashlib.blake2b(key=self._key, digest_size=size)
        for part in parts:
            data = part.encode("utf-8", "surrogatepass")
            state.update(len(data).to_bytes(8, "little"))
            state.update(data)
        return state.digest()

    def number(self, *parts: str, below: int) -> int:
        """A number in [0, below), determined by key and parts."""
        return int.from_bytes(self.digest(*parts), "little") % below


def check_reference(reference: str) -> str:
    """Refuses what is no reference: a secret itself has no place in a recipe.

    Raises:
        ValueError: Neither ``env:NAME`` nor ``file:PATH``. The value is not repeated.
    """
    scheme, _, rest = reference.partition(":")
    if scheme not in ("env", "file") or not rest:
        raise ValueError("a key is named as env:NAME or file:PATH; the secret itself never stands in a recipe")
    return reference


def load_key(reference: str | None, *, folder: Path, private: Path | None) -> Key:
    """The key that a recipe names; without one, a random key kept in ``private`` (mode 0600), made on first use.

    Raises:
        StepError: The variable is not set or the file not readable or empty.
    """
    if reference is None:
        return _own_key(private)
    scheme, _, rest = reference.partition(":")
    if scheme == "env":
        secret = os.environ.get(rest, "").encode()
        problem = f"the environment variable '{rest}' is not set"
    else:
        path = folder / rest
        try:
            secret = path.read_bytes().strip()
        except OSError as error:
            raise StepError(f"the key file cannot be read: {error.strerror}", where=path) from None
        problem = f"the key file '{rest}' is empty"
    if not secret:
        raise StepError(problem, where="pii.key", hint="Put at least 16 random characters there")
    return Key(secret)


def _own_key(private: Path | None) -> Key:
    if private is None:
        return Key.random()
    path = private / _FILE
    if not path.exists():
        with storage_errors(private):
            private.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_text(path, secrets.token_hex(32) + "\n", private=True)
    with storage_errors(path):
        return Key(path.read_bytes().strip())
