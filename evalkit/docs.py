"""Local data files of a task read into plain rows: no hub, no cache of datasets, no type guessing beyond the format's.

lm-eval takes them through the ``custom_dataset`` key of a task's configuration.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from datakit.core.quoting import well_quoted
from evalkit.errors import EvalError

__all__ = ["FORMATS", "Docs", "read_docs"]

FORMATS = ("json", "csv", "parquet", "text")


class Docs(list[dict[str, Any]]):
    """Rows with the one attribute of ``datasets.Dataset`` that lm-eval asks for besides a list's own."""

    @property
    def features(self) -> dict[str, None]:
        """Column names of the first row."""
        return dict.fromkeys(self[0]) if self else {}


def read_docs(kind: str, files: Sequence[Path], options: Mapping[str, Any]) -> Docs:
    """Reads files of one format, ``.gz`` and ``.zst`` included.

    Args:
        kind: One of :data:`FORMATS`, as in ``dataset_path`` of a task.
        files: In this order.
        options: ``sample_by`` (line | paragraph | document) and ``document_start`` (regular expression of a line that
            begins a document) and ``document_chars`` (the first so many characters are taken) for text.

    Raises:
        EvalError: A file that is missing, unreadable or empty.
    """
    rows = Docs()
    for path in files:
        try:
            rows.extend(_READERS[kind](path, options))
        except FileNotFoundError:
            raise EvalError("no such file", where=path) from None
        except OSError as error:
            raise EvalError(error.strerror or str(error), where=path) from error
        except ValueError as error:
            raise EvalError(f"not readable as {kind}: {error}", where=path) from None
    if not rows:
        raise EvalError("no rows", where=", ".join(map(str, files)))
    columns = dict.fromkeys(key for row in rows for key in row)
    if any(len(row) < len(columns) for row in rows):
        rows = Docs({key: row.get(key) for key in columns} for row in rows)
    return rows


def _text_of(path: Path) -> str:
    import pyarrow as pa

    with pa.input_stream(str(path), compression="detect") as stream:
        return bytes(stream.read()).decode("utf-8-sig")


def _json(path: Path, options: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    text = _text_of(path)
    if text.lstrip()[:1] == "[":
        rows = json.loads(text)
        if any(not isinstance(row, dict) for row in rows):
            raise ValueError("a list of objects is expected")
        yield from rows
        return
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            row = json.loads(line)
            if not isinstance(row, dict):
                raise ValueError(f"line {number} is no object")
            yield row


def _csv(path: Path, options: Mapping[str, Any]) -> list[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.csv as pc

    if ".tsv" not in path.suffixes:
        return _rows(pc.read_csv(str(path), parse_options=pc.ParseOptions(newlines_in_values=True)))
    text = _text_of(path)
    quoted = well_quoted(text, "\t")
    parse = pc.ParseOptions(newlines_in_values=quoted, delimiter="\t", quote_char='"' if quoted else False)
    return _rows(pc.read_csv(pa.BufferReader(text.encode()), parse_options=parse))


def _parquet(path: Path, options: Mapping[str, Any]) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    return _rows(pq.read_table(str(path), partitioning=None))


def _rows(table: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def _text(path: Path, options: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    text = _text_of(path).replace("\r\n", "\n")
    if start := options.get("document_start"):
        parts = _documents(text, re.compile(start))
    elif (by := options.get("sample_by", "line")) == "document":
        parts = [text]
    elif by in ("line", "paragraph"):
        parts = text.split("\n") if by == "line" else re.split(r"\n[ \t]*\n", text)
    else:
        raise ValueError(f"sample_by '{by}' is not one of line, paragraph, document")
    for part in parts:
        if (kept := part[: options.get("document_chars")]).strip():
            yield {"text": kept}


def _documents(text: str, start: re.Pattern[str]) -> list[str]:
    parts: list[list[str]] = [[]]
    for line in text.split("\n"):
        if start.match(line) and parts[-1]:
            parts.append([])
        parts[-1].append(line)
    return ["\n".join(part) for part in parts]


_READERS: dict[str, Any] = {"json": _json, "csv": _csv, "parquet": _parquet, "text": _text}
