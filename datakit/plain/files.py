"""Plain files to read: found by path, glob, URL or standard input, opened as often as a step needs, batch by batch."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any

from datakit.core.errors import SourceError, UsageError
from datakit.plain.records import Batch, Record, line_records
from datakit.sources import SourceSpec, Stream
from datakit.sources.files import SourceFile, resolve
from datakit.sources.streams import damage, guess_format, streams

if TYPE_CHECKING:
    import pyarrow.parquet as pq

__all__ = ["FORMATS", "PlainFile", "Reading", "open_files"]

FORMATS = ("jsonl", "json", "csv", "tsv", "parquet", "text")

_OR = f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
_ROWS = 4096
_BYTES = 32 << 20
_MAGIC = {b"\x1f\x8b": "gz", b"\x28\xb5\x2f\xfd": "zst", b"\xfd7zXZ\x00": "xz", b"BZh": "bz2", b"PK\x03\x04": "zip"}


@dataclass(frozen=True, slots=True)
class Reading:
    """How files are read where they do not say it themselves.

    Attributes:
        format: One of :data:`FORMATS`; ``auto`` goes by name, then content.
        encoding: Of text formats.
        delimiter: Of a csv.
        header: Whether the first line of a csv or tsv names the columns.
        quoting: As in a recipe's source.
        offline: Whether other machines may not be asked.
    """

    format: str = "auto"
    encoding: str = "utf-8"
    delimiter: str | None = None
    header: bool = True
    quoting: str = "auto"
    offline: bool = False

    def spec(self, format: str) -> SourceSpec:
        """The same as a recipe says it.

        Raises:
            UsageError: No such encoding, or a delimiter of several characters.
        """
        from pydantic import ValidationError

        try:
            return SourceSpec.model_validate(
                {
                    "path": "-",
                    "format": format,
                    "encoding": self.encoding,
                    "delimiter": self.delimiter,
                    "header": self.header,
                    "quoting": self.quoting,
                }
            )
        except ValidationError as error:
            raise UsageError(error.errors()[0]["msg"].removeprefix("Value error, ")) from None


class PlainFile:
    """One file.

    Attributes:
        name: As errors and origins name it.
        format: One of :data:`FORMATS`.
        compression: gz, zst, xz, bz2 or "".
        spec: How it is read.
    """

    def __init__(self, source: SourceFile, reading: Reading) -> None:
        self.source = source
        self.name = source.name
        with source.open() as raw:
            magic = raw.read(6)
        self.compression = next((name for mark, name in _MAGIC.items() if magic.startswith(mark)), "")
        if self.compression == "zip":
            raise SourceError("an archive of files", where=self.name, hint="Unpack it, or convert its files one by one")
        with self._stream() as stream:
            self.format = _format(stream, reading)
        self.spec = reading.spec(self.format)
        self.head = b""

    @property
    def file_name(self) -> str:
        """The name without folders; of standard input one that fits its format."""
        if self.name == "stdin":
            return "stdin." + {"text": "txt"}.get(self.format, self.format)
        return PurePosixPath(self.name.split("::")[0]).name

    @contextlib.contextmanager
    def _stream(self) -> Iterator[Stream]:
        opened = streams(self.source)
        try:
            with damage(self.name):
                yield next(opened)
        finally:
            opened.close()  # type: ignore[attr-defined]

    def batches(self, start: int = 0) -> Iterator[Batch]:
        """The rows in batches of a bounded size; ``head`` is known when the first one is there.

        Args:
            start: Number of the first row.

        Raises:
            SourceError: Unreadable or damaged.
        """
        if self.format == "parquet":
            yield from self._parquet(start)
            return
        with self._stream() as stream:
            rows = line_records(stream, self.format, self.spec, start)
            head = next(rows)
            assert isinstance(head, bytes)
            self.head = head
            held: list[Record] = []
            size = 0
            for row in chain(rows):
                assert isinstance(row, Record)
                held.append(row)
                size += len(row.raw)
                if len(held) == _ROWS or size > _BYTES:
                    yield Batch(held)
                    held, size = [], 0
            if held:
                yield Batch(held)

    @contextlib.contextmanager
    def parquet(self) -> Iterator[pq.ParquetFile]:
        """The Parquet file, open.

        Raises:
            SourceError: No Parquet, or cut off.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        with contextlib.ExitStack() as stack:
            if self.compression:
                stream = stack.enter_context(self._stream())
                raw: IO[bytes] = io.BytesIO(stream.bytes.read())
            else:
                raw = stack.enter_context(self.source.open())
            try:
                yield pq.ParquetFile(raw)
            except (pa.ArrowException, OSError) as error:
                raise SourceError(f"not a readable Parquet file ({error})", where=self.name) from error

    def _parquet(self, start: int) -> Iterator[Batch]:
        number = start
        with self.parquet() as file:
            names = file.schema_arrow.names
            if doubled := next((name for name in names if names.count(name) > 1), None):
                raise SourceError(f"two columns are named '{doubled}'", where=self.name, hint="Rename one")
            for batch in file.iter_batches(batch_size=_batch_rows(file.metadata)):
                values: list[dict[str, Any]] = batch.to_pylist()
                records = [
                    Record(place, f"{self.name}:{place - start + 1}", b"", value)
                    for place, value in enumerate(values, number)
                ]
                number += len(records)
                yield Batch(records, batch)


def _batch_rows(metadata: Any) -> int:
    """Rows per batch so that a batch of wide rows stays small too."""
    size: int = sum(metadata.row_group(index).total_byte_size for index in range(metadata.num_row_groups))
    rows: int = _BYTES * max(metadata.num_rows, 1) // max(size, 1)
    return max(1, min(_ROWS, rows))


def _format(stream: Stream, reading: Reading) -> str:
    """The format; nothing on standard input is a table without rows, as the last step of a chain may leave it."""
    if reading.format != "auto":
        if reading.format not in FORMATS:
            raise UsageError(f"no format named '{reading.format}'", hint=f"Known: {', '.join(FORMATS)}")
        found = reading.format
    elif not stream.head and stream.name == "stdin":
        return "jsonl"
    else:
        try:
            found = guess_format(stream)
        except SourceError as error:
            raise SourceError(error.message, where=error.where, hint=f"Say it: --format {_OR}") from None
    if found == "json" and not _is_array(stream.head):
        return "jsonl"
    return found


def _is_array(head: bytes) -> bool:
    return head.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n\x00").startswith(b"[")


def open_files(paths: Sequence[str], reading: Reading | None = None, *, folder: Path | None = None) -> list[PlainFile]:
    """The files that paths, globs, URLs or ``-`` stand for, in order.

    Raises:
        SourceError: Nothing there, unreadable, or of no known format.
        UsageError: No path, or standard input twice.
    """
    reading = reading or Reading()
    if not paths:
        raise UsageError("no file is named", hint="Name a file, several, a glob, a URL, or - for standard input")
    if list(paths).count("-") > 1:
        raise UsageError("standard input can be read only once")
    found = [file for path in paths for file in resolve(path, folder or Path.cwd(), offline=reading.offline)]
    return [PlainFile(file, reading) for file in found]
