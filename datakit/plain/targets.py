"""Where output goes: a local file that appears whole or not at all, an fsspec URL, or standard output."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from datakit.core.errors import UsageError
from datakit.core.storage import atomic_file
from datakit.plain.files import PlainFile
from datakit.sources.files import network_errors

__all__ = ["Target", "is_url", "opened", "plan", "suffixes"]

_DATA = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".tab", ".parquet", ".pq", ".txt", ".text", ".md")
_COMPRESSED = {".gz": "gz", ".zst": "zst", ".xz": "xz", ".bz2": "bz2"}
# Object stores need no folder, and making one could make a bucket out of a mistyped name.
_HAVE_FOLDERS = {"file", "local", "memory", "sftp", "ssh", "smb", "hdfs", "webhdfs"}
_SAME = {".ndjson": ".jsonl", ".tab": ".tsv", ".pq": ".parquet", ".text": ".txt", ".md": ".txt"}
_FORMATS = {"jsonl": ".jsonl", "json": ".json", "csv": ".csv", "tsv": ".tsv", "parquet": ".parquet", "text": ".txt"}


@dataclass(frozen=True, slots=True)
class Target:
    """One output.

    Attributes:
        place: Path, URL, or ``-``.
        compression: gz, zst, xz, bz2 or "".
    """

    place: str
    compression: str = ""


def is_url(place: str) -> bool:
    """Whether fsspec and not the operating system knows the place."""
    return re.match(r"[a-z][a-z0-9+.-]*://|[a-z][a-z0-9+.-]+::", place) is not None


def suffixes(name: str) -> tuple[str, str]:
    """Data suffix and compression of a file name, "" for what it has not."""
    path = PurePosixPath(name.lower())
    compression = _COMPRESSED.get(path.suffix, "")
    if compression:
        path = path.with_suffix("")
    found = path.suffix if path.suffix in _DATA else ""
    return _SAME.get(found, found), compression


def plan(files: Sequence[PlainFile], output: str | None) -> tuple[list[Target], str | None]:
    """The target of every file, and where the dropped rows go.

    One output file takes the rows of all files; a folder (a name without a data suffix, or one that is there) gets a
    file for each under its own name.

    Raises:
        UsageError: No output named, another format, or the input itself.
    """
    if output is None:
        if len(files) == 1 and files[0].name == "stdin":
            output = "-"
        else:
            raise UsageError(
                "where shall the rows go?", hint="Name a file or folder: -o OUT; or -o - for standard output"
            )
    if output == "-":
        return [Target("-")] * len(files), None
    data, compression = suffixes(output)
    is_folder = output.endswith("/") or not data or (not is_url(output) and Path(output).is_dir())
    if not is_folder:
        for file in files:
            _check_format(file, data, output)
        targets = [Target(output, compression)] * len(files)
    else:
        targets = [Target(f"{output.rstrip('/')}/{name}", suffixes(name)[1]) for name in _names(files)]
    for file, target in zip(files, targets, strict=True):
        _refuse_same(file, target.place)
    return targets, f"{output.rstrip('/')}.dropped.jsonl"


def _check_format(file: PlainFile, data: str, output: str) -> None:
    if _FORMATS[file.format] != data and not (file.format == "jsonl" and data == ".json"):
        raise UsageError(
            f"'{output}' is another format than '{file.name}' ({file.format})",
            hint="Change formats with: datakit convert",
        )


def _names(files: Sequence[PlainFile]) -> list[str]:
    """Names below a common folder, so that files of one name in two folders stay two."""
    parts = [PurePosixPath(file.name.split("://")[-1]).parts for file in files]
    if len(files) == 1:
        return [files[0].file_name]
    shared = 0
    while all(len(part) > shared + 1 for part in parts) and len({part[shared] for part in parts}) == 1:
        shared += 1
    names = ["/".join(name for name in part[shared:] if name != "..") for part in parts]
    if len(set(names)) < len(names):
        raise UsageError("two input files have the same name", hint="Name the files one by one, or one output file")
    return names


def _refuse_same(file: PlainFile, place: str) -> None:
    same = place == file.name
    if not is_url(place) and not is_url(file.name) and Path(place).exists():
        same = Path(place).resolve() == Path(file.name).resolve()
    if same:
        raise UsageError(f"'{place}' is the input", hint="Name another output; what is dropped could not be told again")


@contextlib.contextmanager
def opened(target: Target, *, private: bool = False) -> Iterator[IO[bytes]]:
    """A file to write bytes to; it stands at its place when the block ends well, and not at all otherwise.

    Raises:
        StorageError: It cannot be written.
        SourceError: The place of a URL is not there.
        Unreachable: A URL that does not answer, or refuses.
    """
    if target.place == "-":
        with _compressed(cast("IO[bytes]", sys.stdout.buffer), target.compression) as stream:
            yield stream
        sys.stdout.flush()
    elif is_url(target.place):
        with tempfile.TemporaryDirectory(prefix="datakit-") as folder:
            path = Path(folder) / "upload"
            with path.open("wb") as raw, _compressed(raw, target.compression) as stream:
                yield stream
            _upload(path, target.place)
    else:
        with (
            atomic_file(Path(target.place), private=private) as temporary,
            temporary.open("wb") as raw,
            _compressed(raw, target.compression) as stream,
        ):
            yield stream


def _upload(path: Path, url: str) -> None:
    import fsspec

    with network_errors(url, action="written"):
        system, place = fsspec.core.url_to_fs(url)
        protocols = {system.protocol} if isinstance(system.protocol, str) else set(system.protocol)
        if protocols & _HAVE_FOLDERS:
            system.makedirs(system._parent(place), exist_ok=True)
        system.put_file(str(path), place)


@contextlib.contextmanager
def _compressed(raw: IO[bytes], compression: str) -> Iterator[IO[bytes]]:
    """The stream through a compressor; equal content gives equal bytes."""
    stream: Any = raw
    if compression == "gz":
        stream = gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0)
    elif compression == "zst":
        import zstandard

        stream = zstandard.ZstdCompressor(level=6).stream_writer(raw, closefd=False)
    elif compression == "xz":
        stream = lzma.LZMAFile(raw, "wb")  # noqa: SIM115  (closed below)
    elif compression == "bz2":
        stream = bz2.BZ2File(raw, "wb")
    try:
        yield stream
    finally:
        if stream is not raw:
            stream.close()
