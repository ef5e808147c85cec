"""A folder of a run laid out like a run of its own: part of the rows, and what is trained and measured on them."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from datakit.core.errors import StorageError
from datakit.core.storage import atomic_directory, read_json, read_table, write_json, write_table
from datakit.experiment.layout import Layout

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["make_part", "split_rows"]

_FORMAT = 1
_NOTE = "part.json"


def split_rows(layout: Layout, name: str) -> pa.Table | None:
    """All rows of a split; None where there is none."""
    import pyarrow as pa

    tables = [read_table(path) for path in layout.split(name)]
    return pa.concat_tables(tables) if tables else None


def make_part(layout: Layout, place: Layout, splits: Mapping[str, pa.Table], facts: Mapping[str, Any]) -> None:
    """Writes ``place.data`` unless the same stands there: the given splits, and the run's rows for replay.

    Args:
        layout: The run.
        place: Where the part lies.
        splits: Split to rows; an empty one is not written.
        facts: All that determines the rows; compared with what was noted before.
    """
    if place.split("train") and _noted(place) == dict(facts):
        return
    with atomic_directory(place.data) as folder:
        if (layout.data / "replay").is_dir():
            shutil.copytree(layout.data / "replay", folder / "replay")
        for name, table in splits.items():
            if table.num_rows:
                write_table(folder / f"{name}-00000-of-00001.parquet", table)
    write_json(place.root / _NOTE, facts, format=_FORMAT)


def _noted(place: Layout) -> dict[str, Any] | None:
    try:
        facts = read_json(place.root / _NOTE, format=_FORMAT)
    except StorageError:
        return None
    return {key: value for key, value in facts.items() if key != "format"}
