"""Parquet, read in batches; the row number counts from 1."""

from __future__ import annotations

import json
from collections.abc import Iterator

from datakit.core.errors import SourceError
from datakit.sources.rows import Row
from datakit.sources.spec import SourceSpec
from datakit.sources.streams import Stream

__all__ = ["canonical", "read_parquet"]

_BATCH = 4096


def read_parquet(stream: Stream, spec: SourceSpec) -> Iterator[Row]:
    """Rows of a Parquet file.

    Raises:
        SourceError: No Parquet, or cut off.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        file = pq.ParquetFile(_seekable(stream))
        for batch in file.iter_batches(batch_size=_BATCH):
            for value in batch.to_pylist():
                number += 1
                yield number, canonical(value), value
    except pa.ArrowException as error:
        raise SourceError(f"not a readable Parquet file ({error})", where=stream.name, hint="Fetch it again") from error


def canonical(value: object) -> str:
    """One text for a row of a typed table, for its id."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)


def _seekable(stream: Stream) -> object:
    """The stream, or its bytes in memory where a compressor makes seeking slow or impossible."""
    import io

    raw = stream.bytes.raw
    if hasattr(raw, "fileno") and type(raw).__name__ in ("BufferedReader", "FileIO"):
        return stream.bytes
    return io.BytesIO(stream.bytes.read())
