"""Rows of a plain file together with the bytes they were written as."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from datakit.sources import BadRow, SourceSpec, Stream
from datakit.sources.spec import FORMATS

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Batch", "Record", "line_records"]


@dataclass(frozen=True, slots=True)
class Record:
    """One row.

    Attributes:
        number: Place among all rows of all files, from 0.
        origin: File and line (of Parquet: and row), ``tickets.csv:12``.
        raw: The bytes it stands as, line end included; empty for Parquet.
        value: Its columns, or what is wrong with it.
    """

    number: int
    origin: str
    raw: bytes
    value: dict[str, Any] | BadRow


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows that follow one another.

    Attributes:
        records: The rows.
        arrow: The same rows as Parquet has them; None for line formats.
    """

    records: list[Record]
    arrow: pa.RecordBatch | None = None


class _Recorder:
    """Hands lines to a reader and remembers them until the next row shows where the last one ended."""

    def __init__(self, lines: Iterator[bytes]) -> None:
        self.lines = lines
        self.held: deque[bytes] = deque()
        self.first = 1

    def __iter__(self) -> _Recorder:
        return self

    def __next__(self) -> bytes:
        line = next(self.lines)
        self.held.append(line)
        return line

    def before(self, number: int | None) -> bytes:
        """The lines not given out yet that stand before this one; all of them with None."""
        count = len(self.held) if number is None else number - self.first
        self.first += count
        return b"".join(self.held.popleft() for _ in range(count))


def line_records(stream: Stream, format: str, spec: SourceSpec, start: int) -> Iterator[bytes | Record]:
    """What stands before the first row (a header line, mostly), then every row with its bytes.

    Blank lines belong to the row before them. A JSON array has ``[`` as its head and rows without separators.

    Args:
        stream: The decompressed file.
        format: csv, tsv, jsonl, json or text.
        spec: How to read it.
        start: Number of the first row.
    """
    recorder = _Recorder(iter(stream.bytes))
    stream.bytes = cast("Any", recorder)
    reader = FORMATS.load(format)(stream, spec)
    if format == "json":
        yield b""
        for number, (line, raw, value) in enumerate(reader, start):
            data = raw if isinstance(raw, bytes) else raw.encode(spec.encoding)
            yield Record(number, f"{stream.name}:{line}", data, value)
        return
    held: tuple[int, dict[str, Any] | BadRow] | None = None
    number = start
    for line, _, value in reader:
        before = recorder.before(line)
        if held is None:
            yield before
        else:
            yield Record(number, f"{stream.name}:{held[0]}", before, held[1])
            number += 1
        if format == "text" and isinstance(value, dict):
            value.pop("file", None)
        held = (line, value)
    rest = recorder.before(None)
    if held is None:
        yield rest
    else:
        yield Record(number, f"{stream.name}:{held[0]}", rest, held[1])
