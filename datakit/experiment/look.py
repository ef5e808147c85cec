"""Looks at a data file nobody has described yet: format, encoding, header, columns and what they seem to mean."""

from __future__ import annotations

import contextlib
import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datakit.core.errors import SourceError
from datakit.experiment.columns import Column, columns, is_label
from datakit.plain.columns import is_value

if TYPE_CHECKING:
    from datakit.sources import SourceSpec, Stream

__all__ = ["ROWS", "Sight", "look"]

ROWS = 50_000
"""Rows that are looked at, fewer where they are long; a thousand are too few, since many files are sorted by label."""

_RAW = 1 << 26
_BYTES = 1 << 22


@dataclass(frozen=True, slots=True)
class Sight:
    """What was seen.

    Attributes:
        path: As given.
        format: jsonl, json, csv, tsv, parquet or text.
        rows: The rows that were looked at, at most :data:`ROWS`.
        is_whole: Whether the file has no more rows.
        bad: Rows that cannot be read, and the first one's trouble.
        first_bad: What is wrong with the first of them.
        columns: In the file's order.
        options: Keys a source needs beside the path: encoding, header, delimiter.
    """

    path: str
    format: str
    rows: tuple[Mapping[str, Any], ...]
    is_whole: bool
    bad: int
    first_bad: str | None
    columns: tuple[Column, ...]
    options: Mapping[str, Any]

    def column(self, name: str) -> Column:
        """The column of that name."""
        return next(column for column in self.columns if column.name == name)

    def texts(self, name: str) -> Iterator[str]:
        """The column's values that are text."""
        return (value for row in self.rows if isinstance(value := row.get(name), str))


def look(path: str, *, folder: Path | None = None) -> Sight:
    """Looks at the first rows of a file.

    Args:
        path: File, glob (its first file is looked at) or fsspec URL.
        folder: Where a relative path starts; the current folder by default.

    Raises:
        SourceError: Nothing there, unreadable, empty, binary, or no rows that can be told apart.
    """
    from datakit.sources.streams import guess_format

    with _opened(path, folder) as stream:
        name = stream.name
        _refuse_binary(stream)
        try:
            format = guess_format(stream)
        except SourceError:
            format = "text"
        options = _encoding(stream)
    if format in ("csv", "tsv"):
        with _opened(path, folder) as stream:
            options |= _header(stream, format, options)
    with _opened(path, folder) as stream:
        rows, bad, first_bad, is_whole = _rows(stream, format, _spec(path, format, options))
    if bad > len(rows):
        raise SourceError(
            f"{bad} of {bad + len(rows)} rows do not fit the others ({first_bad})",
            where=name,
            hint="Is it a table? Accepted are csv, tsv, jsonl, json, parquet and text",
        )
    if not rows:
        raise SourceError("no rows", where=name, hint="A row is a line, or a JSON object")
    if format == "text" and _is_tokens(rows):
        raise SourceError(
            "one token a line, as CoNLL files have it, is no row",
            where=name,
            hint="Make it jsonl first",
        )
    if bad:
        options["on_bad_row"] = "skip"
    return Sight(path, format, tuple(rows), is_whole, bad, first_bad, columns(rows), options)


@contextlib.contextmanager
def _opened(path: str, folder: Path | None) -> Iterator[Stream]:
    """The first stream of the first file; the readers consume it, so it is opened anew for every look."""
    from datakit.sources.files import resolve
    from datakit.sources.streams import damage, streams

    with damage(path):
        yield from itertools.islice(streams(next(iter(resolve(path, folder or Path.cwd())))), 1)


def _spec(path: str, format: str, options: Mapping[str, Any]) -> SourceSpec:
    from datakit.sources import SourceSpec

    return SourceSpec(path=path, format=format, **options)


def _refuse_binary(stream: Stream) -> None:
    head = stream.head
    if not head.strip():
        raise SourceError("the file is empty", where=stream.name)
    is_wide = head.startswith((b"\xff\xfe", b"\xfe\xff"))
    if b"\0" in head and not is_wide and not head.startswith(b"PAR1"):
        raise SourceError(
            "this is a binary file", where=stream.name, hint="Accepted are csv, tsv, jsonl, json, parquet and text"
        )


def _encoding(stream: Stream) -> dict[str, Any]:
    """The encoding to write into a recipe; nothing for UTF-8. Judged by the first 4 MiB."""
    if stream.head.startswith(b"PAR1"):
        return {}
    if stream.head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return {"encoding": "utf-16"}
    lines = stream.bytes.read(_BYTES).split(b"\n")
    broken = [line for line in (lines[:-1] or lines) if not _decodes(line, "utf-8")]
    if not broken:
        return {}
    proper = sum(_decodes(line, "utf-8") and not line.isascii() for line in lines)
    if proper > len(broken):
        return {}  # UTF-8 with some broken rows: they are counted as such
    korean = all(_decodes(line, "cp949") for line in broken)
    text = b"\n".join(broken).decode("cp949", "replace")
    if korean and len(re.findall("[가-힣]", text)) > len(re.findall(r"[^\x00-\x7f]", text)) / 2:
        return {"encoding": "cp949"}
    return {"encoding": "latin-1"}


def _decodes(line: bytes, encoding: str) -> bool:
    try:
        line.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _header(stream: Stream, format: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Column names for a table whose first line is a row like the others; nothing where it names the columns."""
    rows, *_ = _rows(stream, format, _spec("-", format, {**options, "header": False}))
    if len(rows) < 2:
        return {}
    first = list(rows[0].values())
    below = [[row[name] for row in rows[1:]] for name in rows[0]]
    if not any(is_value(cell, column) for cell, column in zip(first, below, strict=True)):
        return {}
    facts = [replace(column, name=str(index)) for index, column in enumerate(columns(rows))]
    return {"header": _invented(facts)}


def _invented(facts: Sequence[Column]) -> list[str]:
    """Names for columns that have none: text for the longest, label for the one with few values."""
    names = [f"column{index}" for index in range(1, len(facts) + 1)]
    texts = sorted((column for column in facts if column.kind == "text"), key=lambda column: -column.length)
    if texts:
        names[int(texts[0].name)] = "text"
    for column in facts:
        if names[int(column.name)] != "text" and is_label(column):
            names[int(column.name)] = "label"
            break
    return names


def _rows(stream: Stream, format: str, spec: SourceSpec) -> tuple[list[dict[str, Any]], int, str | None, bool]:
    """The first rows, the number of bad ones among them, the first one's trouble, and whether that was all."""
    from datakit.sources import BadRow
    from datakit.sources.spec import FORMATS

    rows: list[dict[str, Any]] = []
    bad, first_bad, size = 0, None, 0
    for line, raw, value in FORMATS.load(format)(stream, spec):
        if len(rows) + bad == ROWS or size > _RAW:
            return rows, bad, first_bad, False
        size += len(raw)
        if isinstance(value, BadRow):
            bad += 1
            first_bad = first_bad or f"line {line}: {value.message}"
        else:
            rows.append(value)
    return rows, bad, first_bad, True


def _is_tokens(rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the lines are a word and its tags: always the same number of cells, the last one of few."""
    cells = [str(row.get("text", "")).split() for row in rows]
    width, count = Counter(map(len, cells)).most_common(1)[0]
    tags = {line[-1] for line in cells if line}
    return 2 <= width <= 10 and count > 0.95 * len(rows) and len(tags) <= max(2, len(rows) / 20)
