"""A source of a recipe: opened, with the key of its content, and read into a table with its ledger."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from datakit.core.errors import SourceError
from datakit.core.example import SCHEMA
from datakit.core.hashing import json_digest
from datakit.core.step import StepOutput, entry, ledger_table
from datakit.core.storage import write_text
from datakit.sources.files import SourceFile, resolve
from datakit.sources.huggingface import is_dataset, open_dataset
from datakit.sources.mapping import Batch, effective_columns, label_reader
from datakit.sources.rows import BadRow, Row
from datakit.sources.spec import FORMATS, SourceSpec
from datakit.sources.streams import damage, guess_format, streams

__all__ = ["Source", "SourceOutput", "label_names", "open_source", "read"]

VERSION = 1
_BATCH = 4096


@dataclass(frozen=True, slots=True)
class _Piece:
    """Rows of one file, zip member or split."""

    name: str
    rows: Iterator[Row]
    classes: dict[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SourceOutput:
    """What a source holds.

    Attributes:
        output: Table of the schema, and the ledger of the rows that were skipped.
        rows_in: Rows read; ``rows_in = rows out + dropped``.
        labels: Label names in the order of their integers; empty without a label column.
        columns: Our name to the file's name.
    """

    output: StepOutput
    rows_in: int
    labels: tuple[str, ...]
    columns: dict[str, str]


class Source:
    """A source that is open for reading; made by :func:`open_source`.

    Attributes:
        name: In the recipe.
        spec: What the recipe says.
        files: Name and digest of each file or split.
        key: Hash of the content and of everything in the recipe that determines the rows.
    """

    def __init__(self, name: str, spec: SourceSpec, parts: list[Any]) -> None:
        self.name = name
        self.spec = spec
        self._parts = parts
        self.files = [(part.name, part.digest() if callable(part.digest) else part.digest) for part in parts]
        said = spec.model_dump(mode="json", exclude={"private", "use", "path", "license"})
        self.key = json_digest({"reader": VERSION, "name": name, "spec": said, "files": self.files})

    def _pieces(self) -> Iterator[_Piece]:
        for part in self._parts:
            if not isinstance(part, SourceFile):
                yield _Piece(part.name, part.rows(), part.classes)
                continue
            for stream in streams(part, members=self.spec.members):
                known = guess_format(stream) if self.spec.format == "auto" else self.spec.format
                yield _Piece(stream.name, FORMATS.load(known)(stream, self.spec))

    def read(self, *, bad_rows: Path | None = None) -> SourceOutput:
        """Reads all rows.

        Args:
            bad_rows: Where rows skipped by ``on_bad_row: skip`` are kept (JSON lines, mode 0600); None keeps none.

        Raises:
            SourceError: Unreadable, a wrong column, a bad row under ``on_bad_row: fail``, or no rows at all.
        """
        reading = _Reading(self.name, self.spec)
        for piece in self._pieces():
            if reading.is_full:
                break
            with damage(piece.name):
                reading.take(piece)
        if bad_rows is not None and reading.kept:
            write_text(bad_rows, "".join(reading.kept), private=True)
        return reading.finish([name for name, _ in self.files])


class _Reading:
    """The state of reading one source."""

    def __init__(self, name: str, spec: SourceSpec) -> None:
        self.name, self.spec = name, spec
        self.tables: list[pa.Table] = []
        self.ledger: list[dict[str, Any]] = []
        self.kept: list[str] = []
        self.columns: dict[str, str] = {}
        self.names: tuple[str, ...] = spec.labels.names if spec.labels else ()
        self.rows = 0
        self.first_bad: str | None = None

    @property
    def is_full(self) -> bool:
        """Whether ``limit`` is reached."""
        return self.spec.limit is not None and self.rows >= self.spec.limit

    def take(self, piece: _Piece) -> None:
        """Adds the rows of a piece, up to ``limit``."""
        if self.spec.limit is not None:
            piece = replace(piece, rows=islice(piece.rows, self.spec.limit - self.rows))
        head = list(islice(piece.rows, _BATCH))
        there: dict[str, None] = {}
        for _, _, value in head:
            if type(value) is dict:
                there.update(dict.fromkeys(value))
        if not there:
            for line, raw, value in chain(head, piece.rows):
                self._refuse(piece.name, line, raw, value, self._id(piece.name))
            return
        columns = effective_columns(self.spec, there, piece.name)
        self.columns = self.columns or columns
        if not self.names and "label" in columns:
            self.names = piece.classes.get(columns["label"], ())
        strict = set(self.spec.mapped()) - {"choices", "system", "id"}
        batch = Batch(self.name, piece.name, columns, label_reader(self.names), strict)
        for line, raw, value in chain(head, piece.rows):
            bad = batch.add(line, raw, value) if type(value) is dict else value
            if bad is not None:
                self._refuse(piece.name, line, raw, bad, batch)
            elif len(batch.ids) == _BATCH:
                self._flush(batch)
        self._flush(batch)

    def _id(self, part: str) -> Batch:
        return Batch(self.name, part, {}, label_reader(()), ())

    def _flush(self, batch: Batch) -> None:
        if batch.ids:
            self.rows += len(batch.ids)
            self.tables.append(batch.table())
            batch.clear()

    def _refuse(self, part: str, line: int, raw: str | bytes, value: dict[str, Any] | BadRow, batch: Batch) -> None:
        bad = value if isinstance(value, BadRow) else BadRow("bad_row", "the row has no columns")
        origin = f"{part}:{line}"
        self.first_bad = self.first_bad or f"{origin}: {bad.message}"
        if self.spec.on_bad_row == "fail":
            raise SourceError(bad.message, where=origin, hint="Mend the row, or write on_bad_row: skip for this source")
        self.rows += 1
        step = f"source:{self.name}"
        self.ledger.append(entry(step, batch.id_of(line, raw), "dropped", bad.reason, evidence={"origin": origin}))
        text = raw.decode("utf-8", "surrogateescape") if isinstance(raw, bytes) else raw
        kept = {"origin": origin, "reason": bad.reason, "message": bad.message, "raw": text}
        self.kept.append(json.dumps(kept) + "\n")

    def finish(self, files: Iterable[str]) -> SourceOutput:
        """Everything together.

        Raises:
            SourceError: No rows, or none that can be used.
        """
        where = ", ".join(files)
        if self.rows == 0:
            raise SourceError(f"the source '{self.name}' is empty: no rows", where=where)
        if not self.tables:
            raise SourceError(f"none of {self.rows} rows can be used; the first: {self.first_bad}", where=where)
        table = pa.concat_tables(self.tables)
        output = StepOutput(table, ledger_table(self.ledger))
        output.balance(f"source:{self.name}", self.rows)
        names = self.names or label_names(table)
        return SourceOutput(output, self.rows, names, self.columns)


def label_names(table: pa.Table) -> tuple[str, ...]:
    """The distinct labels of a table: digits by value, others by spelling."""
    found = [name for name in table.column("label").unique().to_pylist() if name is not None]
    if all(name.isdecimal() for name in found):
        return tuple(sorted(found, key=int))
    return tuple(sorted(found))


def open_source(name: str, spec: SourceSpec, *, folder: Path = Path(), offline: bool = False) -> Source:
    """Finds the files of a source and hashes them.

    Args:
        name: Source name; part of every row's id.
        spec: What the recipe says.
        folder: Folder of the recipe; relative paths start there.
        offline: ``network: never``.

    Raises:
        SourceError: A file is missing or cannot be read.
        Unreachable: A hub or server that does not answer or may not be asked.
    """
    parts: list[Any] = []
    for path in spec.paths():
        if is_dataset(path, folder) and spec.format in ("auto", "hf"):
            parts += open_dataset(path, spec, folder, offline=offline)
        elif spec.format == "hf":
            raise SourceError(f"no such folder: '{path}'", hint="Write hf:org/name for a dataset on the hub")
        else:
            parts += resolve(path, folder, offline=offline)
    return Source(name, spec, parts)


def read(path: str | Path, *, name: str = "data", folder: Path | None = None, **options: Any) -> pa.Table:
    """Reads a file into a table of the schema, for scripts.

    Args:
        path: As in a recipe: file, glob, fsspec URL, ``hf:org/name``, ``-``. A Parquet file that datakit wrote
            (or a folder of such files) comes back as it is.
        name: Source name; part of every row's id.
        folder: Where relative paths and file names start; the current folder by default.
        options: The other keys of a source in a recipe: ``columns``, ``labels``, ``on_bad_row``, ...

    Returns:
        Table with the columns of ``datakit.core.example.SCHEMA``.

    Raises:
        SourceError: As in a build.
        UsageError: An option is unknown or has a wrong value.
    """
    from pydantic import ValidationError

    from datakit.core.errors import UsageError

    start = folder or Path.cwd()
    if not options and (ours := _own(start / path)) is not None:
        return ours
    try:
        spec = SourceSpec(path=str(path), **options)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"{key}: {first['msg']}" if key else first["msg"]) from None
    return open_source(name, spec, folder=start).read().output.table


def _own(path: Path) -> pa.Table | None:
    """Rows that datakit wrote; None where it is another file."""
    import pyarrow.parquet as pq

    files = sorted(path.glob("*-00000-of-*.parquet")) if path.is_dir() else [path] if path.suffix == ".parquet" else []
    try:
        if files and all(pq.read_schema(file).names == SCHEMA.names for file in files):
            return pa.concat_tables([pq.read_table(file, partitioning=None).cast(SCHEMA) for file in files])
    except (pa.ArrowException, OSError):
        return None
    return None
