"""The dataset as a folder of Parquet files with a data card, as ``datasets.load_dataset(folder)`` reads it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import pyarrow as pa

from datakit.core.errors import StepError
from datakit.core.example import SCHEMA
from datakit.core.storage import atomic_directory, write_table, write_text

__all__ = ["SPLITS", "check_content", "plain", "write_dataset"]

SPLITS = ("train", "validation", "test")


def plain(table: pa.Table) -> pa.Table:
    """Exactly the columns of the schema, without metadata, in one chunk: equal rows give equal bytes."""
    return table.select(SCHEMA.names).cast(SCHEMA).combine_chunks()


def write_dataset(
    folder: Path,
    splits: Mapping[str, pa.Table],
    *,
    replay: Mapping[str, pa.Table],
    card: Callable[[Mapping[str, pa.Table], Mapping[str, int]], str],
    documents: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Path]:
    """Writes ``{split}-00000-of-00001.parquet``, ``replay/{source}.parquet`` and ``README.md``, all or nothing.

    Args:
        folder: Takes the place of one that is there.
        splits: Split name to rows; empty ones are not written.
        replay: Source name to rows that are neither split nor templated.
        card: Makes the card from the written splits and the bytes of their files.
        documents: File name to text, put beside the card.

    Returns:
        Source name to its file, for ``replay``.
    """
    written = {name: plain(splits[name]) for name in SPLITS if name in splits and splits[name].num_rows}
    sizes: dict[str, int] = {}
    with atomic_directory(folder) as temporary:
        for name, table in written.items():
            path = temporary / f"{name}-00000-of-00001.parquet"
            write_table(path, table)
            sizes[name] = path.stat().st_size
        for name, table in replay.items():
            write_table(temporary / "replay" / f"{name}.parquet", plain(table))
        for name, text in documents.items():
            write_text(temporary / name, text)
        write_text(temporary / "README.md", card(written, sizes))
    return {name: folder / "replay" / f"{name}.parquet" for name in replay}


def check_content(table: pa.Table) -> None:
    """Refuses rows of fields alone: they train nothing.

    Raises:
        StepError: A row has neither text nor messages.
    """
    empty = pa.compute.and_(table.column("messages").is_null(), table.column("text").is_null())
    count = pa.compute.sum(empty).as_py() or 0
    if count:
        first = table.filter(empty).column("origin")[0].as_py()
        raise StepError(
            f"{count} rows have neither text nor messages",
            where=first,
            hint="Map a column to text, to messages or to prompt and answer, or add a template step",
        )
