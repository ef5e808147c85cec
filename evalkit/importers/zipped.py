"""Members of a zip file whose compression Python's zipfile may not know: inspect writes Zstandard (method 93)."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

from evalkit.errors import LogError

__all__ = ["read_member"]

_ZSTANDARD = 93
_LOCAL = 30  # bytes of a local file header before its name
MAX_BYTES = 1 << 30


def read_member(archive: zipfile.ZipFile, path: Path, name: str) -> bytes:
    """The bytes of one member.

    Raises:
        LogError: It is missing, damaged, or larger than 1 GiB.
    """
    try:
        info = archive.getinfo(name)
    except KeyError:
        raise LogError(f"has no member '{name}'", where=path) from None
    if info.file_size > MAX_BYTES:
        raise LogError(f"member '{name}' has {info.file_size:,} bytes; at most {MAX_BYTES:,} are read", where=path)
    try:
        data = _zstandard(path, info) if info.compress_type == _ZSTANDARD else archive.read(info)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, struct.error, OSError, ValueError) as error:
        raise LogError(f"member '{name}' is damaged ({error})", where=path) from None
    if len(data) != info.file_size:
        raise LogError(f"member '{name}' is cut off: {len(data):,} of {info.file_size:,} bytes", where=path)
    return data


def _zstandard(path: Path, info: zipfile.ZipInfo) -> bytes:
    import zstandard

    with path.open("rb") as stream:
        stream.seek(info.header_offset)
        header = stream.read(_LOCAL)
        if header[:4] != b"PK\x03\x04":
            raise ValueError("no local header")
        name, extra = struct.unpack("<HH", header[26:30])
        stream.seek(name + extra, 1)
        packed = stream.read(info.compress_size)
    try:
        return zstandard.ZstdDecompressor().decompressobj().decompress(packed)
    except zstandard.ZstdError as error:
        raise ValueError(str(error)) from None
