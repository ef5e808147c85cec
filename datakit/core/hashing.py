"""Stable content hashes: BLAKE2b-128 in hexadecimal, every part length-prefixed so that parts never run together."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

__all__ = ["digest", "file_digest", "json_digest", "tree_digest"]

_BLOCK = 1 << 20


def digest(*parts: str | bytes | int) -> str:
    """BLAKE2b-128 of the parts, 32 hexadecimal characters; lone surrogates are hashed as they are."""
    state = hashlib.blake2b(digest_size=16)
    for part in parts:
        data = part if isinstance(part, bytes) else str(part).encode("utf-8", "surrogatepass")
        state.update(len(data).to_bytes(8, "little"))
        state.update(data)
    return state.hexdigest()


def json_digest(value: Any) -> str:
    """Hash of a JSON-serialisable value; the order of keys does not matter."""
    return digest(json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str))


def file_digest(path: Path) -> str:
    """BLAKE2b-128 of a file's bytes, read in blocks of 1 MiB."""
    state = hashlib.blake2b(digest_size=16)
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            state.update(block)
    return state.hexdigest()


def tree_digest(folder: Path, patterns: Iterable[str] = ("*",), *, deep: bool = True) -> str:
    """Hash of names and bytes of a folder's files that match a pattern; for model weights and data folders.

    Args:
        folder: The folder.
        patterns: Of file names.
        deep: Files of the folders in it too. A model is what lies in its folder itself: kept checkpoints, or the same
            weights in another format, lie below and are not loaded.
    """
    look = folder.rglob if deep else folder.glob
    found = {path for pattern in patterns for path in look(pattern) if path.is_file()}
    parts: list[str] = []
    for path in sorted(found):
        parts += [path.relative_to(folder).as_posix(), file_digest(path)]
    return digest(*parts)
