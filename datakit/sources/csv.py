"""Tables as text: csv and tsv, with the line number of every row, quoted line breaks included."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from typing import Any

from datakit.core.errors import SourceError
from datakit.core.quoting import well_quoted
from datakit.sources.rows import BadRow, Row, line_encoding, lines, numbered
from datakit.sources.spec import SourceSpec
from datakit.sources.streams import Stream

__all__ = ["read_csv", "read_tsv"]

_SAMPLE = 1 << 20


def read_csv(stream: Stream, spec: SourceSpec) -> Iterator[Row]:
    """Rows of a file with separated values; without ``delimiter`` its first line shows , ; tab or |."""
    first = stream.head.split(b"\n", 1)[0]
    found = "," if b"," in first else next((mark for mark in ";\t|" if mark.encode() in first), ",")
    yield from _read(stream, spec, spec.delimiter or found, quoted=spec.quoting != "none")


def read_tsv(stream: Stream, spec: SourceSpec) -> Iterator[Row]:
    """Rows of a file with tabs; whether quotes are text is told by the first megabyte unless ``quoting`` says it."""
    yield from _read(
        stream, spec, spec.delimiter or "\t", quoted=None if spec.quoting == "auto" else spec.quoting != "none"
    )


class _Lines:
    """Decoded lines for the csv module; remembers what the current row consumed."""

    def __init__(self, source: Iterable[bytes], encoding: str) -> None:
        self.source = iter(source)
        self.encoding = encoding
        self.taken: list[str] = []

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        # Undecodable bytes pass as lone surrogates, so that one bad row does not end the file.
        raw = next(self.source)
        try:
            line = raw.decode(self.encoding, "surrogateescape")
        except UnicodeDecodeError:  # broken in the middle of a two-byte character
            line = "\udcff" + raw.decode(self.encoding, "replace")
        self.taken.append(line)
        return line

    def take(self) -> str:
        raw = "".join(self.taken)
        self.taken.clear()
        return raw.rstrip("\r\n")


def _read(stream: Stream, spec: SourceSpec, delimiter: str, *, quoted: bool | None) -> Iterator[Row]:
    csv.field_size_limit(2**31 - 1)  # the module's limit of 128 kB a cell is no limit of ours
    source: Iterable[bytes] = lines(stream, spec.encoding)
    encoding = line_encoding(spec.encoding)
    if quoted is None:
        source, quoted = _sniff_quoting(iter(source), encoding, delimiter)
    text = _Lines(source, encoding)
    reader = csv.reader(text, delimiter=delimiter, quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE, strict=True)
    names = _header(stream, spec, reader, text)
    width = len(names) if names is not None else None
    while True:
        start = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            yield _broken(stream, text.take(), start, reader.line_num, str(error))
            continue
        raw = text.take()
        if cells is None:
            return
        if not cells:
            continue
        if names is None:
            names, width = numbered([""] * len(cells)), len(cells)
        if len(cells) != width:
            value: dict[str, Any] | BadRow = BadRow(
                "bad_row", f"{len(cells)} cells where the table has {width} columns"
            )
        else:
            value = dict(zip(names, cells, strict=True))
        if not raw.isascii() and _undecodable(raw):
            value = BadRow("bad_encoding", f"the row is not valid {encoding}")
        yield start, raw, value


def _undecodable(raw: str) -> bool:
    try:
        raw.encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False


def _broken(stream: Stream, raw: str, start: int, end: int, message: str) -> Row:
    """A row the csv module refuses; a quote that is never closed has swallowed the rest of the file and is fatal."""
    if "unexpected end of data" in message:
        raise SourceError(
            f"a quote opened in this row is never closed (the file ends in line {end})",
            where=f"{stream.name}:{start}",
            hint="Mend it, or write quoting: none if quotes are text in this file",
        )
    return start, raw, BadRow("bad_row", f"stray quote: {message}. Where quotes are text, write quoting: none")


def _header(stream: Stream, spec: SourceSpec, reader: Any, text: _Lines) -> list[str] | None:
    """Column names; None where the first row will number them."""
    if isinstance(spec.header, tuple):
        names = list(spec.header)
    elif not spec.header:
        return None
    else:
        try:
            names = numbered([cell.strip() for cell in next((row for row in reader if row), [])])
        except csv.Error as error:
            raise SourceError(f"the header line cannot be read ({error})", where=f"{stream.name}:1") from None
    raw = text.take()
    if _undecodable(raw):
        raise SourceError(f"not valid {text.encoding}", where=f"{stream.name}:1", hint="Write its encoding")
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        raise SourceError(
            f"two columns are named '{doubled[0]}'",
            where=f"{stream.name}:1",
            hint="Rename one, or give header: [names]",
        )
    return names


def _sniff_quoting(source: Iterator[bytes], encoding: str, delimiter: str) -> tuple[Iterator[bytes], bool]:
    """Whether the first megabyte is well-formed with quoted cells; also the lines, put back in front."""
    head: list[bytes] = []
    size = 0
    for line in source:
        head.append(line)
        size += len(line)
        if size > _SAMPLE:
            break
    return _chain(head, source), well_quoted(
        b"".join(head).decode(encoding, "replace"), delimiter, is_cut=size > _SAMPLE
    )


def _chain(head: list[bytes], rest: Iterator[bytes]) -> Iterator[bytes]:
    yield from head
    head.clear()
    yield from rest
