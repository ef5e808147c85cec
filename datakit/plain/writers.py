"""Writes rows as the file they came from has them: original bytes, or Arrow values, changed where a step says so."""

from __future__ import annotations

import codecs
import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any, Protocol

from datakit.core.errors import StepError, UsageError
from datakit.plain.changes import Changes, edit_csv, edit_json, edit_text, put
from datakit.plain.files import PlainFile
from datakit.plain.records import Batch, Record
from datakit.plain.targets import Target, opened

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

__all__ = ["Writer", "writer"]


class Writer(Protocol):
    """Takes the batches of one file or of several alike ones."""

    nulled: int

    def begin(self, file: PlainFile) -> None:
        """The next file's rows follow."""
        ...

    def write(self, batch: Batch, rows: Sequence[int], changes: Mapping[int, Changes]) -> None:
        """Writes these rows of a batch, by their place in it; one that is named twice stands there twice."""
        ...


@contextlib.contextmanager
def writer(target: Target, first: PlainFile) -> Iterator[Writer]:
    """A writer for files like ``first``; see :func:`~datakit.plain.targets.opened` for what stands there when."""
    if first.format != "parquet":
        with opened(target) as stream:
            lines = _Lines(stream, first)
            yield lines
            lines.finish()
        return
    if target.place != "-" and not target.compression:
        with opened(target) as stream:
            table = _Parquet(stream, first)
            with contextlib.closing(table.file):  # also where a row fails
                yield table
                table.finish()
        return
    with opened(target) as stream, tempfile.TemporaryFile() as whole:  # Parquet asks where it stands
        table = _Parquet(whole, first)
        with contextlib.closing(table.file):
            yield table
            table.finish()
        whole.seek(0)
        shutil.copyfileobj(whole, stream)


class _Lines:
    """JSON lines, a JSON array, csv, tsv or text."""

    def __init__(self, stream: IO[bytes], first: PlainFile) -> None:
        self.stream, self.first = stream, first
        self.file = first
        self.head: bytes | None = None
        self.open_line = False
        self.rows = 0
        self.nulled = 0

    def begin(self, file: PlainFile) -> None:
        if file.format != self.first.format:
            raise UsageError(f"'{file.name}' is {file.format}, '{self.first.name}' is {self.first.format}")
        self.file = file

    def _heading(self) -> None:
        """The header line, once; of further files it must be the same."""
        head = self.file.head
        if self.head is None:
            self.stream.write(b"[\n" if self.file.format == "json" else head)
            self.open_line = bool(head) and not head.endswith(b"\n")
            self.head = head
        elif self.file.format in ("csv", "tsv") and head and head.strip() != self.head.strip():
            raise UsageError(
                f"'{self.file.name}' has other columns than '{self.first.name}'", hint="Name a folder: -o FOLDER/"
            )

    def write(self, batch: Batch, rows: Sequence[int], changes: Mapping[int, Changes]) -> None:
        self._heading()
        for row in rows:
            record = batch.records[row]
            raw = _edited(record, changes[row], self.file) if row in changes else record.raw
            if self.file.format == "json":
                self.stream.write((b",\n" if self.rows else b"") + raw)
            else:
                self.stream.write((b"\n" if self.open_line else b"") + raw)
                self.open_line = not raw.endswith(b"\n")
            self.rows += 1

    def finish(self) -> None:
        """What stands after the last row."""
        self._heading()
        if self.file.format == "json":
            self.stream.write(b"\n]\n" if self.rows else b"]\n")


def _edited(record: Record, changes: Changes, file: PlainFile) -> bytes:
    """The row's bytes with some values replaced; its line end and the blank lines after it stay."""
    body = record.raw.rstrip(b"\r\n")
    end = record.raw[len(body) :]
    encoding = file.spec.encoding
    mark = codecs.BOM_UTF8 if body.startswith(codecs.BOM_UTF8) else b""
    text = body[len(mark) :].decode(encoding)
    if file.format in ("jsonl", "json"):
        text = edit_json(text, changes)
    elif file.format == "text":
        text = edit_text(text, changes)
    else:
        if () in changes:
            raise StepError("a column's name holds what is to be replaced", where=file.name, hint="Rename the column")
        text = edit_csv(text, record, changes)
    try:
        return mark + text.encode(encoding) + end
    except UnicodeEncodeError as error:
        raise StepError(f"the replaced text cannot be written in {encoding} ({error})", where=record.origin) from None


class _Parquet:
    """Parquet with the schema, metadata, compression and row groups of the first file."""

    def __init__(self, stream: IO[bytes], first: PlainFile) -> None:
        import pyarrow.parquet as pq

        with first.parquet() as file:
            self.schema: pa.Schema = file.schema_arrow
            groups = [file.metadata.row_group(index) for index in range(min(1, file.metadata.num_row_groups))]
        columns = [group.column(0) for group in groups if group.num_columns]
        compression = columns[0].compression.lower() if columns else "zstd"
        self.group_rows = groups[0].num_rows if groups else 65_536
        self.first = first
        self.held: list[Any] = []
        self.count = 0
        self.nulled = 0
        self.file: pq.ParquetWriter = pq.ParquetWriter(
            stream, self.schema, compression="none" if compression == "uncompressed" else compression
        )

    def begin(self, file: PlainFile) -> None:
        with file.parquet() as opened_file:
            if not opened_file.schema_arrow.equals(self.schema):
                raise UsageError(
                    f"'{file.name}' has other columns than '{self.first.name}'", hint="Name a folder: -o FOLDER/"
                )

    def write(self, batch: Batch, rows: Sequence[int], changes: Mapping[int, Changes]) -> None:
        import pyarrow as pa

        if not rows:
            return
        if batch.arrow is None:
            raise ValueError("rows of a line format")
        arrow = batch.arrow
        if list(rows) != list(range(arrow.num_rows)):
            arrow = arrow.take(pa.array(rows, pa.int64()))
        moved = {index: changes[row] for index, row in enumerate(rows) if row in changes}
        if moved:
            arrow = self._changed(arrow, moved, [batch.records[row] for row in rows])
        self.held.append(arrow)
        self.count += len(rows)
        if self.count >= self.group_rows:
            self._flush()

    def _changed(
        self, arrow: pa.RecordBatch, moved: Mapping[int, Changes], records: Sequence[Record]
    ) -> pa.RecordBatch:
        """The batch with new values in some rows; every other value is the old one, never converted."""
        import pyarrow as pa

        columns = list(arrow.columns)
        for place, field in enumerate(self.schema):
            rows = [row for row, found in moved.items() if any(path[:1] in ((field.name,), ()) for path in found)]
            if not rows:
                continue
            new = [self._value(field, records[row], moved[row]) for row in rows]
            order = list(range(arrow.num_rows))
            for index, row in enumerate(rows):
                order[row] = arrow.num_rows + index
            joined = pa.chunked_array([columns[place], pa.concat_arrays(new)]).unify_dictionaries().combine_chunks()
            if isinstance(joined, pa.ChunkedArray):
                joined = joined.chunk(0)
            columns[place] = joined.take(pa.array(order, pa.int64()))
        return pa.RecordBatch.from_arrays(columns, schema=arrow.schema)

    def _value(self, field: pa.Field, record: Record, changes: Changes) -> pa.Array:
        """The column's new value; where its type holds no text, the place becomes null."""
        import pyarrow as pa

        if () in changes or not isinstance(record.value, dict):
            raise StepError(
                "a column's name holds what is to be replaced", where=self.first.name, hint="Rename the column"
            )
        value = record.value[field.name]
        for path, new in changes.items():
            if path[0] != field.name:
                continue
            changed = put(value, path[1:], new)
            try:
                pa.array([changed], field.type)
            except (pa.ArrowException, TypeError, ValueError):
                changed = put(value, path[1:], None)
                self.nulled += 1
            value = changed
        try:
            return pa.array([value], field.type)
        except (pa.ArrowException, TypeError, ValueError):  # whose text would show the value
            message = f"the new value does not fit column '{field.name}' of type {field.type}"
            raise StepError(message, where=record.origin) from None

    def _flush(self) -> None:
        import pyarrow as pa

        if self.held:
            self.file.write_table(pa.Table.from_batches(self.held, self.schema), row_group_size=self.group_rows)
            self.held, self.count = [], 0

    def finish(self) -> None:
        """The last row group; the footer follows when the file is closed."""
        self._flush()
