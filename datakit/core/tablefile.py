"""Any plain file with rows as an Arrow table: Parquet, Arrow, CSV, TSV, JSON, JSON lines, text; compressed too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datakit.core.errors import DatakitError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["as_text", "read_rows"]

_COMPRESSED = (".gz", ".bz2", ".zst")


def read_rows(path: Path) -> pa.Table:
    """Rows of a file that is not a source of a recipe: benchmark items, a reference set.

    Args:
        path: By its ending; ``.gz``, ``.bz2`` and ``.zst`` are taken off. Values of JSON become text; a text file has
            one row a line, in the column ``text``.

    Raises:
        DatakitError: It cannot be read, or its ending is not known.
    """
    import pyarrow as pa

    try:
        return _read(path)
    except (OSError, pa.ArrowInvalid, ValueError) as error:
        raise DatakitError(
            f"cannot read '{path.name}': {error}", where=path, hint="Parquet, CSV, TSV, JSON, JSON lines or text"
        ) from None


def _read(path: Path) -> pa.Table:
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet

    kind = next((suffix for suffix in reversed(path.suffixes) if suffix not in _COMPRESSED), "")
    if kind == ".parquet":
        return pa.parquet.read_table(path, partitioning=None)
    with pa.input_stream(str(path), compression="detect") as stream:
        if kind in (".csv", ".tsv"):
            options = pa.csv.ParseOptions(delimiter="\t" if kind == ".tsv" else ",", newlines_in_values=True)
            return pa.csv.read_csv(stream, parse_options=options)
        content = stream.read().decode("utf-8-sig")
    lines = [line for line in content.split("\n") if line.strip()]
    if kind == ".txt":
        return pa.table({"text": pa.array([line.rstrip("\r") for line in lines], pa.string())})
    if kind not in (".json", ".jsonl", ".ndjson"):
        raise ValueError(f"unknown kind of file '{kind}'")
    rows = json.loads(content) if content.lstrip().startswith("[") else [json.loads(line) for line in lines]
    if not all(isinstance(row, dict) for row in rows):
        raise ValueError("every row must be an object")
    names = list(dict.fromkeys(name for row in rows for name in row))
    return pa.table({name: pa.array([as_text(row.get(name)) for row in rows], pa.string()) for name in names})


def as_text(value: Any) -> str | None:
    """A cell as text: strings as they are, lists of strings by line, everything else as JSON."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(entry, str) for entry in value):
        return "\n".join(value)
    return json.dumps(value, ensure_ascii=False, default=str)
