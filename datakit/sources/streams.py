"""What lies inside a file: decompression by first bytes, the members of a .zip, the format where none is given."""

from __future__ import annotations

import bz2
import contextlib
import csv
import gzip
import io
import lzma
import re
import zipfile
import zlib
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import PurePosixPath
from typing import IO, Any

from datakit.core.errors import SourceError
from datakit.sources.files import SourceFile

__all__ = ["Stream", "damage", "guess_format", "streams"]

_SUFFIXES = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".txt": "text",
    ".text": "text",
    ".md": "text",
}
_COMPRESSED = (".gz", ".zst", ".zip", ".bz2", ".xz")
_PEEK = 1 << 16
_NAME = re.compile(r"[^\W\d][\w./ -]{0,39}(?<! )")


class Stream:
    """Decompressed bytes of one file or zip member.

    Attributes:
        name: For origins and errors.
        bytes: The stream.
        head: Its first bytes, up to 64 KiB, without reading them.
    """

    def __init__(self, name: str, stream: IO[bytes]) -> None:
        self.name = name
        self.bytes = io.BufferedReader(stream, buffer_size=_PEEK)  # type: ignore[type-var]
        with damage(name):
            self.head = self.bytes.peek(_PEEK)


@contextlib.contextmanager
def damage(name: str) -> Iterator[None]:
    """Turns the errors of decompressors, met while reading, into one line."""
    import zstandard

    try:
        yield
    except (gzip.BadGzipFile, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, zstandard.ZstdError) as error:
        raise SourceError(
            f"damaged or cut off: the compressed data ends or breaks here ({error})", where=name, hint="Fetch it again"
        ) from error
    except OSError as error:
        raise SourceError(f"cannot be read: {error.strerror or error}", where=name) from error


def streams(file: SourceFile, *, members: str = "*") -> Iterator[Stream]:
    """Opens a file: one stream, or one for each member of a .zip that matches ``members``.

    Raises:
        SourceError: Unreadable, damaged, or a .zip without a matching member.
    """
    with file.open() as raw:
        magic = raw.read(6)
        raw.seek(0)
        if magic.startswith(b"PK\x03\x04"):
            yield from _members(file.name, raw, members)
            return
        yield Stream(file.name, _decompressed(file.name, raw, magic))


def _decompressed(name: str, raw: IO[bytes], magic: bytes) -> IO[bytes]:
    if magic.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=raw)  # type: ignore[return-value]
    if magic.startswith(b"\x28\xb5\x2f\xfd"):
        return io.BufferedReader(_Zstandard(raw), buffer_size=_PEEK)
    if magic.startswith(b"\xfd7zXZ\x00"):
        return lzma.LZMAFile(raw)
    if magic.startswith(b"BZh") and name.endswith(".bz2"):
        return bz2.BZ2File(raw)
    return raw


class _Zstandard(io.RawIOBase):
    """Zstandard frames one after another; unlike the library's reader it notices a file that is cut off."""

    def __init__(self, raw: IO[bytes]) -> None:
        import zstandard

        self.raw = raw
        self.context = zstandard.ZstdDecompressor()
        self.frame: Any = None
        self.ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self.ready:
            block = self.raw.read(_PEEK) if self.frame is None or not self.frame.unused_data else b""
            rest = b"" if self.frame is None else self.frame.unused_data
            if self.frame is None or self.frame.eof:
                if not (rest or block):
                    return 0
                self.frame = self.context.decompressobj()
            elif not block:
                raise EOFError("the last frame is not finished")
            self.ready = memoryview(self.frame.decompress(rest + block))
        size = min(len(buffer), len(self.ready))
        buffer[:size] = self.ready[:size]
        self.ready = self.ready[size:]
        return size


def _members(name: str, raw: IO[bytes], pattern: str) -> Iterator[Stream]:
    with damage(name):
        archive = zipfile.ZipFile(raw)
    names = sorted(item.filename for item in archive.infolist() if not item.is_dir())
    found = [member for member in names if fnmatch(member, pattern) or fnmatch(PurePosixPath(member).name, pattern)]
    if not found:
        known = ", ".join(names[:8]) or "nothing"
        raise SourceError(f"no member matches '{pattern}'; the archive holds {known}", where=name)
    for member in found:
        try:
            opened = archive.open(member)
        except RuntimeError as error:  # zipfile's way to say that a password is needed
            raise SourceError(f"cannot be read: {error}", where=f"{name}/{member}") from None
        with opened:
            yield Stream(f"{name}/{member}", opened)


def _is_csv(head: str) -> bool:
    """Whether rows of as many cells follow a line of distinct names; a line of prose is no such line."""
    mark = next((mark for mark in ",;|" if mark in head.split("\n", 1)[0]), ",")
    try:
        rows = list(csv.reader(io.StringIO(head, newline=""), delimiter=mark, strict=True))
    except csv.Error:
        return False
    whole = rows if head.endswith(("\n", "\r")) else rows[:-1]
    names, *others = [row for row in whole if row] or [[]]
    named = len(names) > 1 and len(set(names)) == len(names) and all(map(_NAME.fullmatch, names))
    return named and bool(others) and all(len(row) == len(names) for row in others)


def guess_format(stream: Stream) -> str:
    """The format of a file by its name, else by its first bytes.

    Raises:
        SourceError: Neither tells.
    """
    path = PurePosixPath(stream.name.lower())
    while path.suffix in _COMPRESSED:
        path = path.with_suffix("")
    if path.suffix in _SUFFIXES:
        return _SUFFIXES[path.suffix]
    head = stream.head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith((b"{", b"[")):
        return "json"
    lines = head.split(b"\n")[:20]
    tabs = {line.count(b"\t") for line in (lines[:-1] or lines)}
    if len(tabs) == 1 and tabs != {0}:
        return "tsv"
    if _is_csv(head.decode("utf-8", "replace")):
        return "csv"
    raise SourceError(
        "the format cannot be told from name or content",
        where=stream.name,
        hint="Write format: jsonl, json, csv, tsv, parquet or text",
    )
