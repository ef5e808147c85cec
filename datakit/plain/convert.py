"""Plain files in another file format, row by row, and as examples for the formats of trainers."""

from __future__ import annotations

import csv
import datetime
import decimal
import io
import json
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO, Any

import pyarrow as pa

from datakit.core.errors import StepError, UsageError
from datakit.core.example import Example, Message, from_table, to_table
from datakit.plain.engine import PlainResult, read_columns
from datakit.plain.files import PlainFile
from datakit.plain.mapping import Mapper, finite
from datakit.plain.reader import Reader
from datakit.plain.records import Record
from datakit.plain.targets import Target, opened, suffixes

__all__ = ["FILE_FORMATS", "convert", "examples", "plain_number", "plain_value"]

FILE_FORMATS = ("jsonl", "json", "csv", "tsv", "parquet")
_GROUP_ROWS = 65_536
_SPLITS = ("train", "validation", "test")


def convert(files: Sequence[PlainFile], to: str, output: str, *, skip_bad_rows: bool = False) -> PlainResult:
    """Writes the rows of all files into one file of another format; compression goes by its name.

    A csv has texts only, so nested values become JSON in it and missing ones empty, and its cells stay texts in the
    other formats. Parquet's types come from all rows.

    Raises:
        SourceError: A row cannot be read.
        StepError: A column holds what the format cannot: values of several kinds in Parquet, bytes in text.
        UsageError: No such format.
    """
    if to not in FILE_FORMATS:
        raise UsageError(f"'{to}' is no file format", hint=f"Known: {', '.join(FILE_FORMATS)}")
    ending = suffixes(output)[0]
    if ending and ending != f".{to}":
        raise UsageError(f"'{output}' is no name for {to}", hint=f"Name it with .{to}")
    reader, result = Reader(skip=skip_bad_rows), PlainResult(outputs=(output,))
    schema = _schema(files, reader, typed=to == "parquet") if to in ("csv", "tsv", "parquet") else pa.schema([])

    def rows() -> Iterator[tuple[PlainFile, list[Record]]]:
        for file, batch in reader.batches(files):
            good = []
            for record in batch.records:
                bad = reader.bad(file, record)
                if bad is None:
                    good.append(record)
                else:
                    result.dropped[f"read: {bad.reason}"] += 1
            result.rows_in += len(batch.records)
            result.rows_out += len(good)
            yield file, good

    with opened(Target(output, suffixes(output)[1])) as stream:
        _WRITERS[to](stream, rows(), schema)
    return result


def _schema(files: Sequence[PlainFile], reader: Reader, *, typed: bool) -> pa.Schema:
    """Columns of all files in the order they first stand in, with types that fit every row where wanted."""
    found: list[pa.Schema] = []
    for file, batch in reader.batches(files):
        if batch.arrow is not None:
            found.append(batch.arrow.schema.remove_metadata())
            continue
        rows = [record.value for record in batch.records if isinstance(record.value, dict)]
        names = list(dict.fromkeys(name for row in rows for name in row))
        fields = [(name, _type(rows, name, file.name) if typed else pa.null()) for name in names]
        found.append(pa.schema(fields))
    try:
        return pa.unify_schemas(list(dict.fromkeys(found)), promote_options="permissive") if found else pa.schema([])
    except pa.ArrowException as error:
        if typed:
            raise StepError(f"one column holds values of several kinds ({error})", hint="Use --to jsonl") from None
        return pa.schema([(name, pa.null()) for name in dict.fromkeys(name for one in found for name in one.names)])


def _type(rows: Sequence[Mapping[str, Any]], name: str, where: str) -> pa.DataType:
    try:
        return pa.array([row.get(name) for row in rows]).type
    except (pa.ArrowException, OverflowError) as error:
        raise StepError(
            f"column '{name}' holds values that no one type fits ({error})", where=where, hint="Use --to jsonl"
        ) from None


def plain_value(value: Any) -> Any:
    """What JSON has no form for: moments as ISO 8601, decimals as text.

    Raises:
        StepError: Bytes.
    """
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, (bytes, bytearray)):
        raise StepError("bytes have no form in a text format", hint="Use --to parquet, or take the column out")
    if isinstance(value, (decimal.Decimal, uuid.UUID, datetime.timedelta)):
        return str(value)
    raise StepError(f"a {type(value).__name__} has no form in JSON")


def _json(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, default=plain_value, allow_nan=False)
    except (ValueError, TypeError):  # NaN and infinity are no JSON
        return json.dumps(finite(value), ensure_ascii=False, default=plain_value)


Rows = Iterator[tuple[PlainFile, list[Record]]]


def _jsonl(stream: IO[bytes], rows: Rows, schema: pa.Schema) -> None:
    for file, records in rows:
        for record in records:
            if file.format == "jsonl" and file.spec.encoding.lower() in ("utf-8", "utf8"):
                stream.write(record.raw.strip(b"\r\n").removeprefix(b"\xef\xbb\xbf") + b"\n")
            else:
                stream.write(_json(record.value).encode("utf-8") + b"\n")


def _array(stream: IO[bytes], rows: Rows, schema: pa.Schema) -> None:
    first = True
    for _, records in rows:
        for record in records:
            stream.write((b"[\n" if first else b",\n") + _json(record.value).encode("utf-8"))
            first = False
    stream.write(b"[]\n" if first else b"\n]\n")


def _table(delimiter: str) -> Callable[[IO[bytes], Rows, pa.Schema], None]:
    def write(stream: IO[bytes], rows: Rows, schema: pa.Schema) -> None:
        text = io.TextIOWrapper(stream, encoding="utf-8", newline="", write_through=True)
        out = csv.writer(text, delimiter=delimiter, lineterminator="\n")
        if schema.names:
            out.writerow(schema.names)
        for _, records in rows:
            for record in records:
                value = record.value if isinstance(record.value, dict) else {}
                out.writerow([_cell(value.get(name)) for name in schema.names])
        text.detach()

    return write


def _cell(value: Any) -> Any:
    if value is None or isinstance(value, str):
        return value
    return _json(value) if isinstance(value, (dict, list, tuple, bool)) else str(plain_number(value))


def plain_number(value: Any) -> Any:
    """A number as it is; anything else as :func:`plain_value` has it."""
    return value if isinstance(value, (int, float)) else plain_value(value)


def _parquet(stream: IO[bytes], rows: Rows, schema: pa.Schema) -> None:
    import shutil

    import pyarrow.parquet as pq

    with tempfile.TemporaryFile() as whole:  # Parquet asks where it stands, which a compressor cannot say
        try:
            with pq.ParquetWriter(whole, schema, compression="zstd") as out:
                for file, records in rows:
                    values = [record.value for record in records if isinstance(record.value, dict)]
                    columns = [_column(values, field, file.name) for field in schema]
                    if values:
                        out.write_table(pa.Table.from_arrays(columns, schema=schema), row_group_size=_GROUP_ROWS)
            pq.ParquetFile(whole).close(force=False)  # it writes lists a hundred deep that it cannot read
        except (pa.ArrowException, OSError) as error:
            raise StepError(f"Parquet cannot hold these rows ({error})", hint="Use --to jsonl") from None
        whole.seek(0)
        shutil.copyfileobj(whole, stream)


def _column(values: Sequence[Mapping[str, Any]], field: pa.Field, where: str) -> pa.Array:
    try:
        return pa.array([value.get(field.name) for value in values], field.type)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise StepError(f"column '{field.name}' does not fit {field.type} ({error})", where=where) from None


_WRITERS: dict[str, Callable[[IO[bytes], Rows, pa.Schema], None]] = {
    "jsonl": _jsonl,
    "json": _array,
    "csv": _table(","),
    "tsv": _table("\t"),
    "parquet": _parquet,
}


def examples(
    files: Sequence[PlainFile], *, columns: Mapping[str, str] | None = None, skip_bad_rows: bool = False
) -> tuple[dict[str, pa.Table], int]:
    """Split to examples, and the number of bad rows left out; what follows from one user as several turns is one.

    Files that are all called train, validation or test are splits; others are train.

    Raises:
        SourceError: A row cannot be read.
        UsageError: No rows, or a column that is not there.
    """
    mapped = read_columns(files, columns)
    if mapped is None:
        raise UsageError("there are no rows")
    names = [file.file_name.partition(".")[0] for file in files]
    are_splits = len(set(names)) == len(names) and set(names) <= set(_SPLITS)
    mapper, reader = Mapper(mapped, fields=()), Reader(skip=skip_bad_rows)
    found: dict[str, list[pa.Table]] = {}
    bad = 0
    for file, batch in reader.batches(files):
        good = [record for record in batch.records if reader.bad(file, record) is None]
        bad += len(batch.records) - len(good)
        table = mapper.table(good)
        if "context" in mapped:
            table = to_table(_joined(example) for example in from_table(table))
        split = file.file_name.partition(".")[0] if are_splits else _SPLITS[0]
        found.setdefault(split, []).append(table)
    return {split: pa.concat_tables(tables) for split, tables in found.items()}, bad


def _joined(example: Example) -> Example:
    """One turn where a user speaks twice: an instruction and what it is about."""
    from dataclasses import replace

    turns: list[Message] = []
    for turn in example.messages or ():
        if turns and turn.role == "user" == turns[-1].role:
            turns[-1] = Message("user", f"{turns[-1].content}\n\n{turn.content}")
        else:
            turns.append(turn)
    return replace(example, messages=tuple(turns) or None)
